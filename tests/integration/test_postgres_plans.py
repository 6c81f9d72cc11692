"""The plans of the statements that must stay cheap however many jobs there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from genjobs.adapters.postgres import PostgresJobStore, open_pool
from genjobs.adapters.postgres.job_store import _GET, _listing
from genjobs.adapters.postgres.pool import connect_arguments, session_arguments
from genjobs.domain.ids import JobId
from genjobs.domain.job import JobQuery
from genjobs.domain.tenancy import Reach
from genjobs.testing import a_tenant_id
from genjobs.testing.clock import BEGINNING
from tests.postgres import Database


@pytest.fixture(params=["never analyzed", "analyzed when other", "after ANALYZE"])
async def skewed(database: Database, request: pytest.FixtureRequest) -> Reach:
    """One tenant with 30,000 jobs of one user, and 300 tenants with ten each."""
    # A table that filled faster than statistics were taken is planned for as if it were empty, or
    # as what it was before.
    await database.execute("ALTER TABLE genjobs.jobs SET (autovacuum_enabled = false)")
    if request.param == "analyzed when other":
        await _a_few_finished_jobs(database)
        await database.execute("ANALYZE genjobs.jobs")
        await database.execute("TRUNCATE genjobs.tenants CASCADE")
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


async def _a_few_finished_jobs(database: Database) -> None:
    await database.execute(
        "INSERT INTO genjobs.tenants SELECT gen_random_uuid(), 't', now() "
        "FROM generate_series(1, 9)"
    )
    await database.execute(
        """
        INSERT INTO genjobs.jobs (tenant_id, id, user_id, status, eligible, eligible_at, not_before,
            priority, created_at, queue_deadline, queue_timeout, run_timeout, retention, inputs,
            metadata)
        SELECT t.id, gen_random_uuid(), 'u_' || n, 'completed', true, now(), now(), 0, now(), now(),
            '30 min', '10 min', '7 d', '[]', '{}'
        FROM genjobs.tenants t, generate_series(1, 20) n
        """
    )


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
        used = {node["Index Name"] for node in _nodes(plan) if "Index Name" in node}
        for node in _nodes(plan):
            reads_jobs = any(part.get("Relation Name") == "jobs" for part in _nodes(node))
            assert node.get("Relation Name") != "jobs" or "Index" in node["Node Type"], (name, plan)
            # The few slots may be sorted for the join.
            assert not (reads_jobs and "Sort" in node["Node Type"]), (name, plan)
        assert indexes.get(name) in {None, *used}, (name, plan)
        assert used, (name, plan)


async def _generic_plan(url: str, statement: str, values: list[Any]) -> dict[str, Any]:
    """Return the plan that a prepared statement gets once it is planned for all values."""
    connection = await asyncpg.connect(**connect_arguments(url), **session_arguments(url))
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *values)
        return json.loads(rows[0][0])[0]["Plan"]  # type: ignore[no-any-return]
    finally:
        await connection.close()


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


async def test_position_costs_no_more_than_its_bound(database: Database, skewed: Reach) -> None:
    [row] = await database.execute(
        "SELECT id FROM genjobs.jobs WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1",
        skewed.tenant_id,
    )
    async with open_pool(database.api) as pool:
        job = await PostgresJobStore(pool).get(skewed, JobId(row["id"]))
    assert job is not None
    assert job.queue_position == 1000
