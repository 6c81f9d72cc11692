"""
Many clients at once on real Postgres: whatever the order, the rows must agree with each other.

What each step alone must do is in the contract suites.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from genjobs.adapters.postgres import (
    Pool,
    PostgresIngestLedger,
    PostgresJobLedger,
    PostgresJobStore,
    PostgresSupervision,
    PostgresUploadLedger,
    PostgresUploadStore,
)
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.domain.attempts import Beat
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import IngestRules
from genjobs.domain.job import Progress
from genjobs.domain.lifecycle import Phase
from genjobs.domain.tenancy import Owner
from genjobs.testing import an_owner
from genjobs.testing.clock import BEGINNING
from tests.integration.job_walk import JobWalk
from tests.postgres import Database
from tests.row_checks import BROKEN

_CLIENTS = 8
_STEPS = 60


@pytest.fixture
async def pools(database: Database) -> AsyncIterator[tuple[Pool, Pool]]:
    async with database.open_pools() as (api, worker):
        yield api, worker


@pytest.fixture
async def owners(database: Database) -> list[Owner]:
    tenants = [an_owner(), an_owner()]
    for owner in tenants:
        await database.make_tenant(owner.tenant_id)
    return [an_owner(user, owner.tenant_id) for owner in tenants for user in ("u_1", "u_2")]


@pytest.mark.parametrize("seed", range(4))
async def test_any_interleaving_leaves_rows_that_agree(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner], seed: int
) -> None:
    world = make_world(pools, owners, seed)

    async def client() -> None:
        for _ in range(_STEPS):
            await world.step()

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    await check(database, world)
    assert world.completed  # the walk got to the interesting places


async def test_connections_cut_at_random_leave_rows_that_agree(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner]
) -> None:
    world = make_world(pools, owners, 99)
    outages = 0
    done = asyncio.Event()

    async def client() -> None:
        nonlocal outages
        for _ in range(_STEPS):
            try:
                await world.step()
            except Unavailable:
                outages += 1

    async def cut() -> None:
        while not done.is_set():
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 "
                "AND usename IN ('genjobs_api', 'genjobs_worker') AND random() < 0.5",
                database.name,
            )
            await asyncio.sleep(0.02)

    cutting = asyncio.create_task(cut())
    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    done.set()
    await cutting
    await check(database, world)
    assert outages


async def test_cancel_that_meets_a_dispatch_frees_the_slot_it_gave(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner]
) -> None:
    world = make_world(pools, owners, 0)
    await world.create()
    dispatcher = await asyncpg.connect(**connect_arguments(database.worker))
    try:
        async with dispatcher.transaction():
            given = await dispatcher.fetch(
                "SELECT * FROM genjobs.dispatch($1, 1, '10 min')", world.now
            )
            assert len(given) == 1
            # Sees the job without a slot, and waits for the dispatch to commit.
            cancelling = asyncio.create_task(world.cancel(*world.jobs[0]))
            async with asyncio.timeout(10):
                while not await database.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE usename = 'genjobs_api' "
                    "AND wait_event_type = 'Lock' AND datname = $1",
                    database.name,
                ):
                    await asyncio.sleep(0.01)
        await cancelling
    finally:
        await dispatcher.close()
    await check(database, world)


async def test_signs_of_life_cost_no_index_and_do_not_bloat(
    database: Database, owners: list[Owner]
) -> None:
    await database.execute("SELECT pg_stat_reset_single_table_counters('genjobs.slots'::regclass)")
    async with database.open_pools() as (api, worker):
        world = make_world((api, worker), owners, 0)
        await world.create()
        [assignment] = await world.ledger.dispatch(now=BEGINNING, limit=1)
        started = await world.ledger.start(assignment, ExecutionId(uuid4()), now=BEGINNING)
        for n in range(200):
            progress = Progress(fraction=n / 200, node_id="3", node_class="KSampler", step=n)
            beat = Beat(execution=started.execution, phase=Phase.RENDERING, progress=progress)
            await world.ledger.heartbeat([beat], now=BEGINNING)
    # The closed connections report what they did.
    async with asyncio.timeout(10):
        while (updates := await _slot_updates(database))["all"] < 202:
            await asyncio.sleep(0.05)
    # A page that someone reads at the moment is not pruned, so a few may go elsewhere.
    assert updates["hot"] >= 0.95 * updates["all"]


async def _slot_updates(database: Database) -> asyncpg.Record:
    [row] = await database.execute(
        "SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables "
        "WHERE relid = 'genjobs.slots'::regclass"
    )
    return row


#: Short enough that leases and starts are missed within the walk.
DEADLINES = Deadlines(lease=timedelta(seconds=60), start=timedelta(seconds=60), max_attempts=2)


def make_world(pools: tuple[Pool, Pool], owners: list[Owner], seed: int) -> JobWalk:
    api, worker = pools
    rules = IngestRules(lease=timedelta(seconds=60), deadline=timedelta(minutes=5), tries=2)
    return JobWalk(
        store=PostgresJobStore(api),
        ledger=PostgresJobLedger(worker, DEADLINES),
        ingests=PostgresIngestLedger(worker, rules),
        supervision=PostgresSupervision(worker, DEADLINES),
        uploads=PostgresUploadStore(api),
        upload_ledger=PostgresUploadLedger(worker),
        owners=owners,
        chance=random.Random(seed),
    )


async def check(database: Database, world: JobWalk) -> None:
    [stat] = await database.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = $1", database.name
    )
    assert stat["deadlocks"] == 0
    broken = [name for name, query in BROKEN.items() if await database.execute(query)]
    assert broken == []
    await world.end()
    broken = [name for name, query in BROKEN.items() if await database.execute(query)]
    assert broken == []
    seen = await world.ledger.overview(now=world.now)
    assert (seen.slots_free, seen.queued, seen.running) == (seen.slots_total, 0, 0)
    started = [(item.job_id, item.attempt) for item in world.executions]
    assert len(started) == len(set(started))  # nobody was told to run what another one runs
    # Who was told that the outcome is theirs is who is recorded, and nobody else is.
    rows = await database.execute(
        "SELECT a.job_id, a.execution_id FROM genjobs.attempts a JOIN genjobs.jobs j "
        "ON (j.tenant_id, j.id, j.attempt) = (a.tenant_id, a.job_id, a.attempt) "
        "WHERE j.status = 'completed'"
    )
    recorded = {(row["job_id"], row["execution_id"]) for row in rows}
    assert set(world.completed) <= recorded
