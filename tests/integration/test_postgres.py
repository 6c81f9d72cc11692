"""The schema on real Postgres: migrations, roles, plans, outages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from genjobs.adapters.postgres import PostgresJobStore, administration, migrate, open_pool
from genjobs.adapters.postgres.job_store import _GET, _listing
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.adapters.postgres.revision import HEAD
from genjobs.adapters.postgres.tables import SCHEMA, metadata
from genjobs.domain.errors import ConfigurationError, Unavailable
from genjobs.domain.ids import JobId
from genjobs.domain.job import JobQuery
from genjobs.domain.tenancy import Reach
from genjobs.testing import a_new_job, a_tenant_id, an_owner
from genjobs.testing.clock import BEGINNING
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
        "SELECT * FROM genjobs.tenants",
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
    await administration.ensure_tenant(database.owner, owner.tenant_id, "test")
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
    await administration.ensure_tenant(database.owner, owner.tenant_id, "test")
    async with open_pool("postgresql+asyncpg://x@127.0.0.1:1/x") as pool:
        with pytest.raises(Unavailable):
            await PostgresJobStore(pool).check()
    async with open_pool(database.api) as pool:
        store = PostgresJobStore(pool)
        job, _ = await store.create(a_new_job(owner))
        # Every connection is cut, as by a restart of the server.
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'genjobs_api'"
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


async def test_window_grows_and_shrinks_to_what_is_free(database: Database) -> None:
    for size in (12, 3):
        await administration.set_window(database.owner, size)
        [row] = await database.execute("SELECT count(*) AS n FROM genjobs.slots")
        assert row["n"] == size


@pytest.fixture(params=["before ANALYZE", "after ANALYZE"])
async def skewed(database: Database, request: pytest.FixtureRequest) -> Reach:
    """One tenant with 30,000 jobs of one user, and 300 tenants with ten each."""
    # A table that filled faster than statistics were taken is planned for as if it were empty.
    await database.execute("ALTER TABLE genjobs.jobs SET (autovacuum_enabled = false)")
    big = a_tenant_id()
    await database.execute(
        "INSERT INTO genjobs.tenants SELECT id, 't', now() FROM "
        "(SELECT $1::uuid AS id UNION ALL SELECT gen_random_uuid() FROM generate_series(1, 300)) x",
        big,
    )
    await database.execute(
        """
        INSERT INTO genjobs.jobs (tenant_id, id, user_id, status, eligible, eligible_at, not_before,
            priority, created_at, queue_deadline, queue_timeout, run_timeout, retention, inputs,
            metadata)
        SELECT t.id, gen_random_uuid(), 'u_1', 'queued', true, now(), now(), 0, now(), now(),
            '30 min', '10 min', '7 d', '[]', '{}'
        FROM genjobs.tenants t,
            generate_series(1, CASE WHEN t.id = $1 THEN 30000 ELSE 10 END)
        """,
        big,
    )
    if request.param == "after ANALYZE":
        await database.execute("ANALYZE genjobs.jobs")
    return Reach(tenant_id=big, user_id="u_1")


async def test_big_listings_and_picks_walk_an_index(database: Database, skewed: Reach) -> None:
    middle = JobId(a_tenant_id())
    statements = {
        "first page": _listing(skewed, JobQuery(limit=51)),
        "next page": _listing(skewed, JobQuery(limit=51, before=middle)),
        "whole tenant": _listing(
            Reach(tenant_id=skewed.tenant_id, user_id=None), JobQuery(limit=51, before=middle)
        ),
        "oldest ready": (
            "SELECT j.tenant_id, j.user_id FROM genjobs.jobs j WHERE j.status = 'queued' "
            "AND j.eligible AND j.slot_no IS NULL AND j.not_before > '-infinity' "
            "AND j.not_before <= $1 ORDER BY j.not_before, j.id LIMIT 1",
            [BEGINNING + timedelta(days=9999)],
        ),
        "head of a user": (
            "SELECT j.id FROM genjobs.jobs j WHERE j.tenant_id = $1 AND j.user_id = $2 "
            "AND j.status = 'queued' AND j.eligible AND j.slot_no IS NULL "
            "ORDER BY -j.priority, j.id LIMIT 1",
            [skewed.tenant_id, skewed.user_id],
        ),
        "expiry": (
            "SELECT j.id FROM genjobs.jobs j WHERE j.status = 'queued' "
            "AND j.queue_deadline <= $1 ORDER BY j.queue_deadline LIMIT 100",
            [BEGINNING],
        ),
    }
    job = JobId(a_tenant_id())
    statements["one job"] = (_GET, [skewed.tenant_id, job, skewed.user_id])
    indexes = {"oldest ready": "jobs_ready", "head of a user": "jobs_user_ready"}
    indexes["one job"] = "jobs_user_ready"
    for name, (statement, values) in statements.items():
        plan = await _generic_plan(database.api, statement, values)
        assert "Seq Scan on jobs" not in plan, (name, plan)
        assert "Bitmap" not in plan, (name, plan)
        assert "Sort" not in plan, (name, plan)
        assert indexes.get(name, "Index") in plan, (name, plan)


async def _generic_plan(url: str, statement: str, values: list[Any]) -> str:
    """Return the plan that a prepared statement gets once it is planned for all values."""
    settings = {"plan_cache_mode": "force_generic_plan", "enable_bitmapscan": "off"}
    connection = await asyncpg.connect(**connect_arguments(url), server_settings=settings)
    try:
        rows = await connection.fetch(f"EXPLAIN {statement}", *values)
        return "\n".join(row[0] for row in rows)
    finally:
        await connection.close()


async def test_position_costs_no_more_than_its_bound(database: Database, skewed: Reach) -> None:
    [row] = await database.execute(
        "SELECT id FROM genjobs.jobs WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1",
        skewed.tenant_id,
    )
    async with open_pool(database.api) as pool:
        job = await PostgresJobStore(pool).get(skewed, JobId(row["id"]))
    assert job is not None
    assert job.queue_position == 1000
