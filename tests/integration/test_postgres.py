"""The schema on real Postgres: migrations, roles, plans, outages."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from genjobs.adapters.postgres import PostgresJobStore, administration, migrate, open_pool
from genjobs.adapters.postgres.keeping_tables import metadata
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.adapters.postgres.revision import HEAD
from genjobs.adapters.postgres.tables import SCHEMA
from genjobs.domain.errors import ConfigurationError, Unavailable
from genjobs.domain.tenancy import Reach
from genjobs.testing import a_new_job, an_owner
from tests.postgres import Database, fresh_database


async def _as(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def test_migrated_database_is_what_the_tables_say(database: Database) -> None:
    def compare(connection: Connection) -> list[Any]:
        options = {
            "include_schemas": True,
            "version_table_schema": SCHEMA,
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
        }
        return list(
            compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        )

    engine = create_async_engine(database.owner, poolclass=NullPool)
    async with engine.connect() as connection:
        differences = await connection.run_sync(compare)
    assert differences == []


async def test_upgrades_at_once_take_turns(server: str) -> None:
    async with fresh_database(server) as database:
        await asyncio.gather(*(_upgrade_elsewhere(database.owner) for _ in range(4)))
        rows = await database.execute("SELECT version_num FROM genjobs.alembic_version")
        assert [row["version_num"] for row in rows] == [HEAD]
        await migrate.upgrade(database.owner)  # again is harmless


async def test_upgrade_replaces_other_code_of_the_same_revision(server: str) -> None:
    async with fresh_database(server) as database:
        await migrate.upgrade(database.owner)
        await database.execute("COMMENT ON SCHEMA genjobs IS 'sha256:of another day'")
        await database.execute("DROP FUNCTION genjobs.get_job")
        await migrate.upgrade(database.owner)

        [row] = await database.execute(
            "SELECT count(*) AS n FROM pg_proc WHERE proname = 'get_job'"
        )
        assert row["n"] == 1


async def test_rows_of_before_are_counted_by_the_upgrade(server: str) -> None:
    """From the revision without counts to the one with them, with jobs waiting and running."""
    async with fresh_database(server) as database:
        before = ["0001_tables.sql", "0002_ingests.sql"]
        folder = resources.files("genjobs.adapters.postgres.migrations") / "sql"
        owner = await asyncpg.connect(**connect_arguments(database.owner))
        try:
            await owner.execute("CREATE SCHEMA genjobs")
            for name in before:
                await owner.execute((folder / name).read_text())
            await owner.execute(
                "CREATE TABLE genjobs.alembic_version (version_num varchar(32) PRIMARY KEY); "
                "INSERT INTO genjobs.alembic_version VALUES ('0002')"
            )
        finally:
            await owner.close()
        tenants = [an_owner().tenant_id for _ in range(2)]
        for tenant in tenants:  # names were not unique then
            await database.execute(
                "INSERT INTO genjobs.tenants VALUES ($1, 'default', now())", tenant
            )
        await database.execute("INSERT INTO genjobs.slots (slot_no) VALUES (1)")
        columns = (
            "tenant_id, id, user_id, status, eligible, not_before, priority, created_at, "
            "queue_deadline, queue_timeout, run_timeout, retention, inputs, metadata, slot_no"
        )
        for status, eligible, slot in (
            *[("queued", True, None)] * 3,
            ("queued", False, None),
            ("running", True, 1),
            ("completed", True, None),
        ):
            await database.execute(
                f"INSERT INTO genjobs.jobs ({columns}) VALUES ($1, gen_random_uuid(), 'u', $2, $3, "
                "now(), 0, now(), now(), '1 s', '1 s', '1 s', '[]', '{}', $4)",
                *(tenants[0], status, eligible, slot),
            )
        await migrate.upgrade(database.owner)

        loads = await database.execute("SELECT queued, in_flight, ready FROM genjobs.user_load")
        assert [tuple(load) for load in loads] == [(4, 1, 3)]
        totals = await database.execute(
            "SELECT queued, in_flight, ready_users FROM genjobs.tenant_load ORDER BY queued DESC"
        )
        assert [tuple(total) for total in totals] == [(4, 1, 1), (0, 0, 0)]
        names = await database.execute("SELECT DISTINCT name FROM genjobs.tenants")
        assert len(names) == 2


async def _upgrade_elsewhere(url: str) -> None:
    import sys

    script = (
        "import asyncio, sys; from genjobs.adapters.postgres import migrate; "
        "asyncio.run(migrate.upgrade(sys.argv[1]))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, url), stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()


async def test_roles_own_nothing_and_are_no_superusers(database: Database) -> None:
    owned = await database.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner "
        "WHERE r.rolname IN ('genjobs_api', 'genjobs_worker')"
    )
    assert owned == []
    roles = await database.execute(
        "SELECT rolname FROM pg_roles WHERE rolname IN ('genjobs_api', 'genjobs_worker') "
        "AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)"
    )
    assert roles == []


async def test_powerful_role_is_refused_and_the_apis_is_not(database: Database) -> None:
    async with open_pool(database.api) as pool:
        await PostgresJobStore(pool).refuse_powerful_role()
    for url in (database.owner, database.admin):
        async with open_pool(url) as pool:
            with pytest.raises(ConfigurationError):
                await PostgresJobStore(pool).refuse_powerful_role()
    # SET ROLE would make a member what the role is.
    name = f"genjobs_test_member_{uuid4().hex[:8]}"
    await database.execute(f"CREATE ROLE {name}_of BYPASSRLS")
    await database.execute(f"CREATE ROLE {name} LOGIN IN ROLE genjobs_api, {name}_of")
    try:
        async with open_pool(database.api.replace("genjobs_api@", f"{name}@")) as pool:
            with pytest.raises(ConfigurationError):
                await PostgresJobStore(pool).refuse_powerful_role()
    finally:
        await database.execute(f"DROP ROLE {name}, {name}_of")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT document FROM genjobs.workflows",
        "DELETE FROM genjobs.jobs",
        "UPDATE genjobs.jobs SET user_id = 'x'",
        "UPDATE genjobs.jobs SET outputs = '[]'",
        "INSERT INTO genjobs.slots (slot_no) VALUES (999)",
        "SELECT * FROM genjobs.dispatch(now(), 1, '1 s')",
        "SELECT * FROM genjobs.expire_queued(now(), 1, '{}')",
        "SELECT * FROM genjobs.api_keys",
        "SELECT secret_sha256 FROM genjobs.api_keys",
        "UPDATE genjobs.api_keys SET revoked_at = NULL",
        "INSERT INTO genjobs.plans VALUES (gen_random_uuid(), 'mine', '{}')",
        "UPDATE genjobs.tenants SET limits = '{}'",
        "DELETE FROM genjobs.user_load",
        "SELECT genjobs.recount_load(gen_random_uuid())",
        "CREATE TABLE genjobs.mine (x integer)",
        "CREATE TABLE public.mine (x integer)",
        "TRUNCATE genjobs.jobs",
    ],
)
async def test_api_role_can_do_no_more_than_it_needs(database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _as(database.api, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO genjobs.idempotency VALUES (NULL, NULL, NULL, NULL, NULL, NULL)",
        "DELETE FROM genjobs.jobs",
        "SELECT * FROM genjobs.request_cancel(NULL, NULL, NULL, now())",
        "DROP TABLE genjobs.jobs",
    ],
)
async def test_worker_role_can_do_no_more_than_it_needs(database: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _as(database.worker, statement)


async def test_job_rows_are_small_and_hold_no_workflow(database: Database) -> None:
    owner = an_owner()
    await database.make_tenant(owner.tenant_id)
    big = {"1": {"class_type": "PreviewAny", "inputs": {"source": "x" * 500_000}}}
    async with open_pool(database.api) as pool:
        await PostgresJobStore(pool).create(a_new_job(owner, workflow=big))
    [row] = await database.execute("SELECT pg_column_size(j.*) AS bytes FROM genjobs.jobs j")
    assert row["bytes"] < 1000


async def test_unmigrated_database_is_unavailable(server: str) -> None:
    async with fresh_database(server) as database, open_pool(database.api) as pool:
        store = PostgresJobStore(pool)
        with pytest.raises(Unavailable):
            await store.check()
        with pytest.raises(Unavailable):
            await store.create(a_new_job(an_owner()))


async def test_unreachable_database_is_unavailable_and_comes_back(database: Database) -> None:
    owner = an_owner()
    await database.make_tenant(owner.tenant_id)
    async with open_pool("postgresql+asyncpg://x@127.0.0.1:1/x") as pool:
        with pytest.raises(Unavailable):
            await PostgresJobStore(pool).check()
    async with open_pool(database.api) as pool:
        store = PostgresJobStore(pool)
        job = (await store.create(a_new_job(owner))).job
        # Every connection is cut, as by a restart of the server.
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = 'genjobs_api' AND datname = $1",
            database.name,
        )
        reach = Reach(tenant_id=owner.tenant_id, user_id=owner.user_id)
        for _ in range(20):
            try:
                found = await store.get(reach, job.id)
                break
            except Unavailable:
                await asyncio.sleep(0.05)
        assert found == job


async def test_newer_database_is_fine_and_older_is_not(database: Database) -> None:
    async with open_pool(database.api) as pool:
        store = PostgresJobStore(pool)
        try:
            await database.execute("UPDATE genjobs.alembic_version SET version_num = '9999'")
            await store.check()
            await database.execute("UPDATE genjobs.alembic_version SET version_num = '0000'")
            with pytest.raises(Unavailable):
                await store.check()
        finally:
            await database.execute(f"UPDATE genjobs.alembic_version SET version_num = '{HEAD}'")


async def test_upgrade_leaves_a_newer_database_alone(database: Database) -> None:
    try:
        await database.execute("UPDATE genjobs.alembic_version SET version_num = '9999'")
        await migrate.upgrade(database.owner)
        [row] = await database.execute("SELECT version_num FROM genjobs.alembic_version")
        assert row["version_num"] == "9999"
    finally:
        await database.execute(f"UPDATE genjobs.alembic_version SET version_num = '{HEAD}'")


async def test_window_grows_and_shrinks_to_what_is_free(database: Database) -> None:
    for size in (12, 3):
        await administration.set_window(database.owner, size)
        [row] = await database.execute("SELECT count(*) AS n FROM genjobs.slots")
        assert row["n"] == size
