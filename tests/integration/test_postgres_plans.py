"""The plans of the statements that must stay cheap however many jobs there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from genjobs.adapters.postgres import PostgresJobStore, open_pool
from genjobs.adapters.postgres.overview import OVERVIEW
from genjobs.adapters.postgres.pool import connect_arguments, session_arguments
from genjobs.adapters.postgres.pool_ledger import OBSERVE
from genjobs.adapters.postgres.supervision import ORPHANS
from genjobs.domain.ids import JobId
from genjobs.domain.tenancy import Reach
from genjobs.testing import a_tenant_id
from tests.postgres import Database


@pytest.fixture(params=["never analyzed", "analyzed when other", "after ANALYZE"])
async def skewed(database: Database, request: pytest.FixtureRequest) -> Reach:
    """One tenant with 30,000 jobs of one user, and 300 tenants with ten each."""
    # A table that filled faster than statistics were taken is planned for as if it were empty, or
    # as what it was before.
    # Autovacuum would tell of any of them that it is empty, and an empty table is rightly walked.
    tables = await database.execute(
        "SELECT oid::regclass::text AS name FROM pg_class "
        "WHERE relnamespace = 'genjobs'::regnamespace AND relkind = 'r'"
    )
    for table in tables:
        await database.execute(f"ALTER TABLE {table['name']} SET (autovacuum_enabled = false)")
    # What earlier tests, or autovacuum until now, have left: sizes of all tables among it.
    await database.execute("TRUNCATE genjobs.tenants CASCADE")
    await database.execute(
        "DELETE FROM pg_statistic WHERE starelid IN "
        "(SELECT oid FROM pg_class WHERE relnamespace = 'genjobs'::regnamespace)"
    )
    if request.param == "analyzed when other":
        await _a_few_finished_jobs(database)
        await database.execute("ANALYZE genjobs.jobs")
        await database.execute("TRUNCATE genjobs.tenants CASCADE")
    big = a_tenant_id()
    await database.execute(
        "INSERT INTO genjobs.tenants SELECT id, id::text, now() FROM "
        "(SELECT $1::uuid AS id UNION ALL SELECT gen_random_uuid() FROM generate_series(1, 300)) x",
        big,
    )
    await database.execute(
        """
        INSERT INTO genjobs.jobs (tenant_id, id, user_id, status, eligible, eligible_at, ready,
            not_before, priority, created_at, queue_deadline, queue_timeout, run_timeout,
            retention, inputs, metadata)
        SELECT t.id, gen_random_uuid(), 'u_1', 'queued', true, now(), true, now(), 0, now(), now(),
            '30 min', '10 min', '7 d', '[]', '{}'
        FROM genjobs.tenants t,
            generate_series(1, CASE WHEN t.id = $1 THEN 30000 ELSE 10 END)
        """,
        big,
    )
    await database.execute(
        "INSERT INTO genjobs.user_load (tenant_id, user_id, queued, ready) "
        "SELECT tenant_id, user_id, count(*), count(*) FROM genjobs.jobs GROUP BY 1, 2"
    )
    await database.execute(
        "INSERT INTO genjobs.tenant_load (tenant_id, queued, ready_users) "
        "SELECT tenant_id, sum(queued), count(*) FROM genjobs.user_load GROUP BY 1"
    )
    # Many slots, in a table that has grown by being written: no reason to read all jobs for them.
    await database.execute(
        "INSERT INTO genjobs.slots (slot_no) SELECT generate_series(1, 3000) ON CONFLICT DO NOTHING"
    )
    if request.param == "after ANALYZE":
        await database.execute("ANALYZE genjobs.jobs")
    return Reach(tenant_id=big, user_id="u_1")


async def _a_few_finished_jobs(database: Database) -> None:
    await database.execute(
        "INSERT INTO genjobs.tenants SELECT gen_random_uuid(), n::text, now() "
        "FROM generate_series(1, 9) n"
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


#: Variables that a function's own statements read.
_VARIABLES = {"v_tenant": "uuid", "v_user": "text"}


async def _statements(database: Database, function: str) -> list[tuple[str, list[str]]]:
    """Return the SELECTs of a function, with the types of what stands in them as $1, $2."""
    [row] = await database.execute(
        "SELECT prosrc, proargnames, array(SELECT format_type(t, NULL) "
        "FROM unnest(proargtypes) t) AS types FROM pg_proc "
        "WHERE pronamespace = 'genjobs'::regnamespace AND proname = $1",
        function,
    )
    source = re.sub(r"--[^\n]*", "", row["prosrc"]).replace("PERFORM", "SELECT")
    types = dict(zip(row["proargnames"], row["types"], strict=False)) | _VARIABLES
    variable = re.compile("|".join(rf"(?<![\w.]){re.escape(name)}\b" for name in types))
    statements = []
    for found in re.findall(r"\b(SELECT [^;]*? FROM genjobs\.[^;]*?)(?:;|\n\s+LOOP)", source):
        text = re.sub(r"\bINTO (?:STRICT )?[\w, ]+? FROM", "FROM", found)
        used = list(dict.fromkeys(variable.findall(text)))
        for place, name in enumerate(used, 1):
            text = re.sub(rf"(?<![\w.]){name}\b", f"${place}::{types[name]}", text)
        if "v_" not in text:  # one that reads a row of a loop is told by its key
            statements.append((text, [types[name] for name in used]))
    return statements


#: Functions of the hot path, and the indexes of jobs that their statements may walk.
_WALKS = {
    "get_job": {"jobs_pkey", "jobs_user_ready"},
    "list_jobs": {"jobs_pkey", "jobs_user"},
    "find_submitted": set(),
    "dispatch": {"jobs_paused", "jobs_user_ready"},
    "end_pauses": {"jobs_paused"},
    "expire_queued": {"jobs_expiry"},
    "rescue_lost": set(),
    "reclaim_unstarted": set(),
    "recount_next": set(),
}
_OF_THE_API = {"get_job", "list_jobs", "find_submitted"}


async def test_statements_walk_the_index_that_is_theirs(database: Database, skewed: Reach) -> None:
    values = {
        "uuid": str(skewed.tenant_id),
        "text": str(skewed.user_id),
        "timestamp with time zone": "infinity",
        "integer": "50",
        "text[]": "{queued}",
    }
    for function, indexes in _WALKS.items():
        url = database.api if function in _OF_THE_API else database.worker
        statements = await _statements(database, function)
        used = set()
        assert statements
        for statement, types in statements:
            given = [values[name] for name in types]
            plan = await _generic_plan(url, statement, skewed, types, given)
            for node in _nodes(plan):
                small = node.get("Relation Name") in {
                    *("slots", "tenant_load", "tenants", "supervision"),
                }
                assert small or node["Node Type"] != "Seq Scan", (statement, plan)
                assert "Bitmap" not in node["Node Type"], (statement, plan)
                reads_jobs = any(part.get("Relation Name") == "jobs" for part in _nodes(node))
                assert not (reads_jobs and "Sort" in node["Node Type"]), (statement, plan)
                used.add(node.get("Index Name"))
        # Another index of jobs would be walked from end to end for what it does not hold.
        assert {name for name in used if name and name.startswith("jobs")} == indexes, function


#: Statements of the supervisor, what they are given, and the indexes of jobs that they may walk.
_ID = "00000000-0000-0000-0000-000000000001"
_SUPERVISION: dict[str, tuple[list[tuple[str, str]], set[str]]] = {
    "overview": (
        [("timestamp with time zone", "infinity")],
        {"jobs_ready", "jobs_expiry", "jobs_pkey", "jobs_purge_due"},
    ),
    "observe": (
        [("timestamp with time zone", "2026-01-01")],
        {"jobs_ready", "jobs_pkey"},
    ),
    "orphans": (
        [
            *[("uuid[]", f"{{{_ID}}}")] * 2,
            ("text[]", "{x}"),
            *[("integer[]", "{1}")] * 2,
        ],
        {"jobs_pkey"},
    ),
    "recount_load": ([("uuid", _ID)], {"jobs_user_ready", "jobs_paused", "jobs_pkey"}),
    "take_silent": (
        [
            ("timestamp with time zone", "infinity"),
            ("integer", "5"),
            *[("interval", "30 s")] * 3,
        ],
        {"jobs_pkey"},
    ),
    "take_inputs": (
        [*[("timestamp with time zone", "infinity")] * 2, ("integer", "5")],
        {"jobs_inputs_due"},
    ),
    "take_ended": (
        [("timestamp with time zone", "infinity"), ("integer", "5")],
        {"jobs_purge_due"},
    ),
    "drop_tombstones": (
        [("timestamp with time zone", "infinity"), ("integer", "5")],
        {"jobs_tombstones"},
    ),
}


async def _supervision_statement(database: Database, name: str) -> str:
    whole = {"overview": OVERVIEW, "observe": OBSERVE, "orphans": ORPHANS}
    if name in whole:
        return whole[name]
    [row] = await database.execute(
        "SELECT prosrc, proargnames FROM pg_proc "
        "WHERE pronamespace = 'genjobs'::regnamespace AND proname = $1",
        name,
    )
    source = re.sub(r"--[^\n]*", "", row["prosrc"])
    # What a WITH of the function, or the choice of the rows that it writes, reads.
    [text] = re.findall(
        r"WITH \w+ AS \(\s+(\(?SELECT .*?)\n    \)(?:, counted|\s+UPDATE)", source, re.S
    ) or re.findall(r"ARRAY\(\s+(SELECT .*? SKIP LOCKED)\)\)", source, re.S)
    named = [name for name in row["proargnames"][:5] if re.search(rf"\b{name}\b", text)]
    for place, argument in enumerate(named, 1):
        text = re.sub(rf"\b{argument}\b", f"${place}", text)
    return str(text)


@pytest.mark.parametrize("name", _SUPERVISION)
async def test_supervisor_walks_no_whole_table(
    database: Database, skewed: Reach, name: str
) -> None:
    given, indexes = _SUPERVISION[name]
    statement = await _supervision_statement(database, name)
    types, values = [list(part) for part in zip(*given, strict=True)]
    plan = await _generic_plan(database.worker, statement, skewed, types, values)
    used = set()
    for node in _nodes(plan):
        large = node.get("Relation Name") in {"jobs", "ingests", "attempts"}
        assert not (large and node["Node Type"] == "Seq Scan"), plan
        assert "Bitmap" not in node["Node Type"], plan
        used.add(node.get("Index Name"))
    assert {index for index in used if index and index.startswith("jobs")} <= indexes, plan


async def _generic_plan(
    url: str, statement: str, reach: Reach, types: list[str], values: list[str]
) -> dict[str, Any]:
    """Return the plan that a statement gets once it is planned for all values."""
    connection = await asyncpg.connect(**connect_arguments(url), **session_arguments(url))
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await connection.execute(
                "SELECT set_config('genjobs.tenant', $1, true)", str(reach.tenant_id)
            )
            # EXPLAIN of a statement with values would plan it for these values.
            taken = f"({', '.join(types)})" if types else ""
            given = f"({', '.join(map(repr, values))})" if values else ""
            await connection.execute(f"PREPARE planned{taken} AS {statement}")
            rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE planned{given}")
            await connection.execute("DEALLOCATE planned")
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
