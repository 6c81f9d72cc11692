"""The second wall: what the API's role reaches when a statement forgets to name a tenant."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from genjobs.adapters.postgres import (
    PostgresJobLedger,
    PostgresJobStore,
    PostgresTenantDirectory,
    open_pool,
)
from genjobs.adapters.postgres.credentials import PostgresCredentials
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.adapters.postgres.tenancy import PostgresTenancy
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.job import JobQuery
from genjobs.domain.plans import DefaultLimits
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing import a_key_record, a_key_text, a_new_job, an_owner
from genjobs.testing.clock import BEGINNING
from tests.postgres import Database

#: What holds no data of tenants.
_OPEN = {"alembic_version", "supervision"}


@pytest.fixture
async def owners(database: Database) -> tuple[Owner, Owner]:
    """Two tenants, each with a row in every table."""
    owners = an_owner(), an_owner()
    tenancy = PostgresTenancy(database.owner, DefaultLimits())
    credentials = PostgresCredentials(database.owner)
    async with database.open_pools() as (api, worker):
        store, ledger = PostgresJobStore(api), PostgresJobLedger(worker, Deadlines())
        for owner in owners:
            await database.make_tenant(owner.tenant_id)
            key = a_key_record(a_key_text(str(owner.tenant_id)), owner.tenant_id)
            await credentials.add_key(key, "key", BEGINNING)
            await tenancy.set_plan(owner.tenant_id, "plan", {"max_queued": 5})
            await credentials.revoke_tokens(owner, BEGINNING)
            await store.create(a_new_job(owner, key="k"))
            await store.create(a_new_job(owner, pending=["a.png"]))
            await ledger.dispatch(now=BEGINNING, limit=1)
            await database.execute(
                "WITH made AS (INSERT INTO genjobs.uploads VALUES ($1, gen_random_uuid(), $2, 'k', "
                "'a.png', 'image/png', 1, 'used', now(), now()) RETURNING id) "
                "INSERT INTO genjobs.upload_uses "
                "SELECT $1, j.id, made.id FROM made, genjobs.jobs j WHERE j.tenant_id = $1",
                *(owner.tenant_id, owner.user_id),
            )
            await database.execute(
                "INSERT INTO genjobs.erasures (tenant_id, id, whole_user, user_id, requested_at, "
                "due_at) VALUES ($1, gen_random_uuid(), true, 'u_erased', now(), now())",
                owner.tenant_id,
            )
            await database.execute(
                "INSERT INTO genjobs.missing_files "
                "SELECT tenant_id, id, 'k', now() FROM genjobs.jobs WHERE tenant_id = $1",
                owner.tenant_id,
            )
            await database.execute(
                "INSERT INTO genjobs.issuer_keys VALUES ($1, 'k', $2, 'EdDSA', 'x', '{}', now())",
                f"https://{owner.tenant_id}.test",
                owner.tenant_id,
            )
    return owners


async def _tables(database: Database) -> list[asyncpg.Record]:
    return await database.execute(
        "SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, "
        "(SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid "
        " AND attname IN ('tenant_id', 'id') ORDER BY attname DESC LIMIT 1) AS key "
        "FROM pg_class c WHERE c.relnamespace = 'genjobs'::regnamespace AND c.relkind IN ('r', 'p')"
    )


async def test_every_table_is_walled_in(database: Database) -> None:
    tables = [table for table in await _tables(database) if table["name"] not in _OPEN]
    policies = await database.execute(
        "SELECT tablename, roles::text[] AS roles, qual, with_check FROM pg_policies "
        "WHERE schemaname = 'genjobs'"
    )
    assert len(tables) >= 13
    for table in tables:
        assert table["enabled"], table["name"]
        assert table["forced"], table["name"]
        mine = [
            policy
            for policy in policies
            if policy["tablename"] == table["name"] and "genjobs_api" in policy["roles"]
        ]
        assert len(mine) == 1, table["name"]
        for side in ("qual", "with_check"):
            assert "current_setting('genjobs.tenant'" in mine[0][side], table["name"]
        assert not any(
            {"public", "genjobs_api"} & set(policy["roles"]) and policy["qual"] == "true"
            for policy in policies
            if policy["tablename"] == table["name"]
        )


async def test_what_supervisors_share_is_out_of_the_apis_reach(database: Database) -> None:
    """The row is of no tenant: neither rights nor a policy lead the API's role to it."""
    connection = await asyncpg.connect(**connect_arguments(database.api))
    try:
        for statement in (
            "SELECT 1 FROM genjobs.supervision",
            "UPDATE genjobs.supervision SET paused_at = now()",
            "SELECT genjobs.resume_dispatch()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
    [walls] = await database.execute(
        "SELECT bool_and(relrowsecurity AND relforcerowsecurity) AS up, "
        "(SELECT count(*) FROM pg_policies WHERE tablename = 'supervision' "
        " AND roles && '{genjobs_api,public}') AS leading_in "
        "FROM pg_class WHERE oid = 'genjobs.supervision'::regclass"
    )
    assert tuple(walls) == (True, 0)


@pytest.mark.parametrize("named", [None, "", "00000000-0000-0000-0000-000000000000"])
async def test_without_a_tenant_no_row_is_seen(
    database: Database, owners: tuple[Owner, Owner], named: str | None
) -> None:
    connection = await asyncpg.connect(**connect_arguments(database.api))
    try:
        seen = 0
        for table in await _tables(database):
            [row] = await database.execute(f"SELECT count(*) AS n FROM genjobs.{table['name']}")
            assert row["n"] >= 2 or table["name"] in _OPEN, table["name"]
            async with connection.transaction():
                if named is not None:
                    await connection.execute("SELECT set_config('genjobs.tenant', $1, true)", named)
                # What the role may read at all; a slot that is free belongs to nobody.
                try:
                    rows = await connection.fetch(
                        f"SELECT {table['key'] or '1'} AS key FROM genjobs.{table['name']}"
                    )
                except asyncpg.InsufficientPrivilegeError:
                    continue
                finally:
                    seen += 1
            if table["name"] not in _OPEN:
                assert [row for row in rows if row["key"] is not None] == [], table["name"]
                assert named or rows == [], table["name"]
        assert seen >= 13
    finally:
        await connection.close()


async def test_with_a_tenant_only_its_rows_are_seen(
    database: Database, owners: tuple[Owner, Owner]
) -> None:
    connection = await asyncpg.connect(**connect_arguments(database.api))
    try:
        for owner in owners:
            async with connection.transaction():
                await connection.execute(
                    "SELECT set_config('genjobs.tenant', $1, true)", str(owner.tenant_id)
                )
                for name in (
                    *("jobs", "ingests", "user_load", "tenant_load", "plans", "attempts"),
                    *("uploads", "upload_uses"),
                ):
                    rows = await connection.fetch(f"SELECT tenant_id FROM genjobs.{name}")
                    assert {row["tenant_id"] for row in rows} == {owner.tenant_id}, name
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO genjobs.idempotency VALUES ($1, 'u', 'x', '', gen_random_uuid(), now())",
        "INSERT INTO genjobs.ingest_turns VALUES ($1, 'u', 1)",
        "INSERT INTO genjobs.upload_uses VALUES ($1, gen_random_uuid(), gen_random_uuid())",
        "INSERT INTO genjobs.user_load (tenant_id, user_id) VALUES ($1, 'u_9')",
        "UPDATE genjobs.slots SET tenant_id = $1 WHERE job_id IS NOT NULL",
    ],
)
async def test_nothing_is_written_for_another_tenant(
    database: Database, owners: tuple[Owner, Owner], statement: str
) -> None:
    mine, theirs = owners
    connection = await asyncpg.connect(**connect_arguments(database.api))
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT set_config('genjobs.tenant', $1, true)", str(mine.tenant_id)
            )
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await connection.execute(statement, theirs.tenant_id)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("api", "SELECT secret_sha256 FROM genjobs.api_keys"),
        ("api", "SELECT * FROM genjobs.api_keys"),
        ("api", "UPDATE genjobs.api_keys SET scopes = '{}', revoked_at = NULL"),
        ("api", "INSERT INTO genjobs.token_cutoffs VALUES (gen_random_uuid(), 'u', now())"),
        ("api", "UPDATE genjobs.tenants SET limits = '{}'"),
        ("api", "UPDATE genjobs.plans SET limits = '{}'"),
        ("api", "DELETE FROM genjobs.issuer_keys"),
        ("api", "UPDATE genjobs.uploads SET key = 'x'"),
        ("api", "DELETE FROM genjobs.uploads"),
        ("worker", "INSERT INTO genjobs.upload_uses SELECT * FROM genjobs.upload_uses"),
        ("worker", "SELECT id FROM genjobs.api_keys"),
        ("worker", "SELECT * FROM genjobs.find_key('x')"),
        ("worker", "SELECT issuer FROM genjobs.issuer_keys"),
        ("worker", "UPDATE genjobs.tenants SET limits = '{}'"),
    ],
)
async def test_credentials_and_limits_are_out_of_reach(
    database: Database, owners: tuple[Owner, Owner], role: str, statement: str
) -> None:
    connection = await asyncpg.connect(**connect_arguments(getattr(database, role)))
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT set_config('genjobs.tenant', $1, true)", str(owners[0].tenant_id)
            )
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                await connection.execute(statement)
    finally:
        await connection.close()


#: Functions that run with the owner's rights, and who may call them.
_DEFINERS = {
    "find_key": "genjobs_api",
    **dict.fromkeys(("drop_tombstones", "cancel_erased", "remove_erased"), "genjobs_worker"),
}


async def test_few_functions_have_the_owners_rights(database: Database) -> None:
    rows = await database.execute(
        "SELECT proname, proconfig, array(SELECT r.rolname::text FROM pg_roles r "
        " WHERE r.rolname IN ('genjobs_api', 'genjobs_worker') "
        " AND has_function_privilege(r.oid, p.oid, 'EXECUTE')) AS callers "
        "FROM pg_proc p WHERE prosecdef AND pronamespace = 'genjobs'::regnamespace"
    )
    assert {row["proname"]: row["callers"] for row in rows} == {
        name: [caller] for name, caller in _DEFINERS.items()
    }
    assert all(row["proconfig"] == ["search_path=pg_catalog, pg_temp"] for row in rows)


async def test_tenants_that_take_turns_on_one_connection_do_not_meet(
    database: Database, owners: tuple[Owner, Owner]
) -> None:
    async with open_pool(database.api, size=1) as pool:
        store = PostgresJobStore(pool)
        directory = PostgresTenantDirectory(pool, DefaultLimits())
        chance = random.Random(7)

        async def look(owner: Owner) -> None:
            reach = Reach(tenant_id=owner.tenant_id, user_id=None)
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            jobs = await store.list_jobs(reach, JobQuery(limit=10))
            assert {job.owner.tenant_id for job in jobs} == {owner.tenant_id}
            other = owners[owner is owners[0]]
            foreign = Reach(tenant_id=other.tenant_id, user_id=None)
            assert await store.get(foreign, jobs[0].id) is None
            usage = await directory.usage(reach, now=BEGINNING)
            assert usage.tenant is not None
            [row] = await pool.rows("SELECT count(*) AS n FROM genjobs.jobs")
            assert row["n"] == 0

        await asyncio.gather(*(look(chance.choice(owners)) for _ in range(300)))


async def test_reads_refuse_to_write(database: Database, owners: tuple[Owner, Owner]) -> None:
    """The query path on a connection that refuses writes."""
    setting = f"ROLE genjobs_api IN DATABASE {database.name}"
    await database.execute(f"ALTER {setting} SET default_transaction_read_only = on")
    try:
        async with open_pool(database.api) as pool:
            store = PostgresJobStore(pool)
            reach = Reach(tenant_id=owners[0].tenant_id, user_id=owners[0].user_id)
            [job, *_] = await store.list_jobs(reach, JobQuery(limit=10))
            assert await store.get(reach, job.id) is not None
            directory: Any = PostgresTenantDirectory(pool, DefaultLimits())
            assert (await directory.usage(reach, now=BEGINNING)).user is not None
            assert (await directory.standing(owners[0])).tokens_since == BEGINNING
    finally:
        await database.execute(f"ALTER {setting} RESET default_transaction_read_only")
