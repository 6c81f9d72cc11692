"""Supervisors at once, and what meets what they do, on real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from uuid import uuid4

from genjobs.adapters.local.signals import LocalSignals
from genjobs.adapters.postgres import (
    Pool,
    PostgresErasureLedger,
    PostgresReconciliation,
    PostgresRetention,
    PostgresUploadLedger,
    administration,
)
from genjobs.application.erasing import EraseWhatIsAsked
from genjobs.application.escalate import EscalateCancels
from genjobs.application.purge import PurgeFiles
from genjobs.application.purge_uploads import PurgeUploads
from genjobs.application.reconcile import ReconcileFiles
from genjobs.application.supervise import Supervise
from genjobs.application.sweep import SweepFiles
from genjobs.domain.attempts import Completed, Recorded
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Timings
from genjobs.domain.retention import RetentionRules
from genjobs.domain.supervision import Patience, Termination
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing import MemoryArtifactStore, MemoryWorkerControl, a_new_job
from genjobs.testing.clock import BEGINNING
from tests.integration.job_walk import JobWalk
from tests.integration.test_postgres_races import DEADLINES, check, make_world, owners, pools
from tests.postgres import Database

__all__ = ["owners", "pools"]  # fixtures


NOTHING = Completed(outputs=(), timings=Timings())


class _WalkClock:
    """The time of a walk."""

    def __init__(self, world: JobWalk) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.now

    def monotonic(self) -> float:
        return 0.0


def _supervisor(world: JobWalk, pools: tuple[Pool, Pool]) -> Supervise:
    clock, shared = _WalkClock(world), world.supervision
    artifacts, rules = MemoryArtifactStore(), RetentionRules()
    _, worker = pools
    uploads = PostgresUploadLedger(worker)
    return Supervise(
        ledger=world.ledger,
        ingests=world.ingests,
        supervision=shared,
        escalate=EscalateCancels(
            supervision=shared,
            workers=MemoryWorkerControl(),
            clock=clock,
            patience=Patience.of(DEADLINES),
        ),
        erase=EraseWhatIsAsked(
            artifacts=artifacts,
            erasures=PostgresErasureLedger(worker, rules),
            clock=clock,
            settle=DEADLINES.lease,
        ),
        purge=PurgeFiles(
            artifacts=artifacts, retention=PostgresRetention(worker, rules), clock=clock
        ),
        reconcile=ReconcileFiles(
            artifacts=artifacts, reconciliation=PostgresReconciliation(worker), clock=clock
        ),
        sweep=SweepFiles(artifacts=artifacts, supervision=shared, uploads=uploads, clock=clock),
        purge_uploads=PurgeUploads(uploads=uploads, artifacts=artifacts),
        clock=clock,
        signals=LocalSignals(),
    )


async def test_five_supervisors_at_once_do_each_thing_once(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner]
) -> None:
    """Running, silent, cancelled, waiting and claimed jobs, all due at the same moment."""
    world = make_world(pools, owners, 3)
    supervisors = [_supervisor(world, pools) for _ in range(5)]
    for supervisor in supervisors:
        await supervisor.tick()
    world.now = BEGINNING + timedelta(seconds=90)
    runs = []
    for n in range(8):
        await world.create()
        [given] = await world.ledger.dispatch(now=BEGINNING, limit=1)
        if n < 6:
            execution = ExecutionId(uuid4())
            call_id = f"worker-{n % 2}"
            started = await world.ledger.start(given, execution, now=BEGINNING, call_id=call_id)
            runs.append(started.execution)
    for owner, job_id in world.jobs[:2]:
        reach = Reach(tenant_id=owner.tenant_id, user_id=None)
        await world.store.request_cancel(reach, job_id, now=BEGINNING)
    for n in range(6):
        owner = owners[n % len(owners)]
        new = a_new_job(owner, at=BEGINNING, pending=["a.png"])
        world.jobs.append((owner, (await world.store.create(new)).job.id))
    assert len(await world.ingests.claim([ExecutionId(uuid4()) for _ in range(6)], now=BEGINNING))
    for n in range(7):  # in time, so that no gap excuses anybody
        at = BEGINNING + timedelta(seconds=12 * n)
        await world.supervision.begin_tick(now=at)
    ticks = await asyncio.gather(*(supervisor.tick() for supervisor in supervisors))

    assert sum(tick.rescued + tick.escalated for tick in ticks) == 6
    assert sum(tick.reclaimed + tick.expired for tick in ticks) == 2
    assert sum(tick.ingests_rescued for tick in ticks) == 6
    assert sum(tick.drift for tick in ticks) == 0
    world.executions.extend(runs)
    await check(database, world)


async def test_finish_meets_rescue_and_escalation(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner]
) -> None:
    world = make_world(pools, owners, 4)
    late = BEGINNING + timedelta(minutes=2)
    for n in range(12):
        await world.create()
        [given] = await world.ledger.dispatch(now=BEGINNING, limit=1)
        execution = ExecutionId(uuid4())
        started = await world.ledger.start(given, execution, now=BEGINNING, call_id=f"w{n}")
        world.executions.append(started.execution)
        owner, job_id = world.jobs[-1]
        steps: list[Awaitable[object]] = [
            world.ledger.finish(started.execution, NOTHING, now=late),
            world.ledger.rescue_lost(now=late, limit=9),
        ]
        if n % 2:
            await world.store.request_cancel(
                Reach(tenant_id=owner.tenant_id, user_id=None), job_id, now=BEGINNING
            )
            silent = await world.supervision.silent_cancels(now=late, limit=9)
            steps += [
                world.supervision.end_silent(item, Termination.TERMINATED, now=late)
                for item in silent
                for _ in range(2)
            ]
        world.chance.shuffle(steps)
        recorded, ended = Recorded.STALE, 0
        for result in await asyncio.gather(*steps):
            if isinstance(result, Recorded):
                recorded = result
            else:
                ended += len(result)  # type: ignore[arg-type]
        assert (recorded is Recorded.YOURS) == (ended == 0)
        assert ended <= 1
        if recorded is Recorded.YOURS:
            world.completed.append((job_id, execution))
    await check(database, world)


async def test_pause_meets_dispatchers(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner]
) -> None:
    world = make_world(pools, owners, 5)
    for _ in range(8):
        await world.create()
    paused = asyncio.Event()
    after: list[int] = []

    async def dispatch() -> None:
        while not paused.is_set():
            await world.ledger.dispatch(now=world.now, limit=1)
        after.append(len(await world.ledger.dispatch(now=world.now, limit=9)))

    async def pause() -> int:
        await world.supervision.pause(now=world.now)
        paused.set()
        return (await world.ledger.overview(now=world.now)).slots_free

    *_, free = await asyncio.gather(*(dispatch() for _ in range(4)), pause())
    assert after == [0] * 4
    assert (await world.ledger.overview(now=world.now)).slots_free == free
    await world.supervision.resume()
    await check(database, world)


async def test_window_that_shrinks_lets_slots_go_as_they_become_free(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner]
) -> None:
    world = make_world(pools, owners, 6)
    for _ in range(10):
        await world.create()
    given = await world.ledger.dispatch(now=world.now, limit=8)
    await administration.set_window(database.owner, 3)
    seen = await world.ledger.overview(now=world.now)
    assert (seen.slots_total, seen.slots_free) == (8, 0)

    for assignment in given:
        started = await world.ledger.start(assignment, ExecutionId(uuid4()), now=world.now)
        await world.ledger.finish(started.execution, NOTHING, now=world.now)
    again = await world.ledger.dispatch(now=world.now, limit=8)
    assert len(again) == 2  # two wait; with a window of three there would be room for one more
    seen = await world.ledger.overview(now=world.now)
    assert (seen.slots_total, seen.slots_free) == (3, 1)
    await world.supervision.begin_tick(now=world.now)
    assert len(await database.execute("SELECT 1 FROM genjobs.slots")) == 3
    await administration.set_window(database.owner, 8)
    assert (await world.ledger.overview(now=world.now)).slots_free == 6
    await check(database, world)


async def test_wrong_counts_are_found_and_mended(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner]
) -> None:
    world = make_world(pools, owners, 7)
    for _ in range(6):
        await world.create()
    await database.execute("UPDATE genjobs.user_load SET queued = queued + 3, ready = 0")
    await database.execute("UPDATE genjobs.tenant_load SET in_flight = 9")
    tick = await _supervisor(world, pools).tick()
    assert tick.drift >= 3
    assert tick.overview.drift == tick.drift
    assert (await _supervisor(world, pools).tick()).drift == 0
    await check(database, world)


async def test_tenant_whose_counts_cannot_be_mended_holds_up_nobody(
    database: Database, pools: tuple[Pool, Pool], owners: list[Owner]
) -> None:
    """As after a defect of the recount itself: the dispatcher must neither turn round for ever."""
    world = make_world(pools, owners, 7)
    for _ in range(6):
        await world.create()
    broken = owners[0].tenant_id
    await database.execute(
        "UPDATE genjobs.jobs SET slot_no = 7, ready = false WHERE tenant_id = $1", broken
    )
    [whole] = await database.execute(
        "SELECT pg_get_functiondef('genjobs.recount_load'::regproc) AS definition"
    )
    await database.execute(
        "CREATE OR REPLACE FUNCTION genjobs.recount_load(p_tenant uuid) RETURNS integer "
        "LANGUAGE sql AS 'SELECT 0'"
    )
    try:
        async with asyncio.timeout(5):
            given = await world.ledger.dispatch(now=world.now, limit=6)
    finally:
        await database.execute(whole["definition"])
    assert given
    assert broken not in {assignment.owner.tenant_id for assignment in given}
    others = [owner for owner, _ in world.jobs if owner.tenant_id != broken]
    assert len(given) == len(others)
