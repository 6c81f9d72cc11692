"""Dispatch where the engine has to be called: coalescing, outages, cancels, and closing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from genjobs.adapters.local.signals import LocalSignals
from genjobs.application import dispatch as module
from genjobs.application.dispatch import BATCH, Dispatching, DispatchJobs
from genjobs.application.submission import Submission
from genjobs.domain.attempts import Assignment
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.tenancy import Reach
from genjobs.testing import (
    FakeClock,
    Harness,
    MemoryCaller,
    MemoryCallLedger,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    a_new_job,
    a_workflow,
    an_owner,
    open_harness,
)


class CountingLedger(MemoryJobLedger):
    """Counts statements, each of which takes a while."""

    def __init__(self, jobs: MemoryJobs) -> None:
        super().__init__(jobs)
        self.limits: list[int] = []

    async def dispatch(self, *, now: datetime, limit: int) -> Sequence[Assignment]:
        self.limits.append(limit)
        await asyncio.sleep(0.01)
        return await super().dispatch(now=now, limit=limit)


class SlowCaller(MemoryCaller):
    """Makes calls once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def call(self, assignment: Assignment) -> str:
        await self.may.wait()
        return await super().call(assignment)


class World:
    """Dispatching over fakes."""

    def __init__(self, caller: MemoryCaller | None = None) -> None:
        self.clock = FakeClock()
        self.jobs = MemoryJobs(window=64)
        self.ledger = CountingLedger(self.jobs)
        self.calls = MemoryCallLedger(self.jobs)
        self.caller = caller or MemoryCaller()
        self.waiters = LocalSignals()
        self.dispatch = DispatchJobs(
            ledger=self.ledger, calls=self.calls, caller=self.caller, clock=self.clock
        )
        self.dispatching = Dispatching(dispatch=self.dispatch, waiters=self.waiters)

    async def submit(self) -> Job:
        new = a_new_job(an_owner(), at=self.clock.now())
        return (await MemoryJobStore(self.jobs).create(new)).job

    def status(self, job: Job) -> JobStatus:
        return self.jobs.rows[job.id].job.status


async def test_what_is_said_meanwhile_becomes_one_statement() -> None:
    world = World()
    jobs = [await world.submit() for _ in range(12)]
    world.dispatching.wake()
    await asyncio.sleep(0)
    for _ in range(50):
        world.dispatching.wake()
    await world.dispatching.drain()

    assert {given.job_id for given in world.caller.open.values()} == {job.id for job in jobs}
    assert world.ledger.limits == [BATCH, BATCH]


async def test_more_than_a_batch_goes_out_at_one_word() -> None:
    world = World()
    for _ in range(2 * BATCH + 5):
        await world.submit()
    world.dispatching.wake()
    await world.dispatching.drain()

    assert len(world.caller.open) == 2 * BATCH + 5
    assert len(world.ledger.limits) == 3


async def test_waiters_of_the_process_are_woken_as_well() -> None:
    world = World()
    waiting = asyncio.create_task(world.dispatching.wait(30))
    await asyncio.sleep(0)
    world.dispatching.wake()
    await asyncio.wait_for(waiting, 1)
    await world.dispatching.drain()


async def test_job_that_nobody_can_be_called_for_is_queued_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", timedelta(milliseconds=20))
    world = World()
    world.caller.available = False
    job = await world.submit()
    world.dispatching.wake()
    await asyncio.sleep(0.1)
    assert world.status(job) is JobStatus.QUEUED
    assert world.jobs.rows[job.id].slot is None
    # After a failure only one job at a time is tried, ever more seldom.
    assert world.ledger.limits[1:] == [1] * (len(world.ledger.limits) - 1)
    assert 2 <= len(world.ledger.limits) <= 5

    world.caller.available = True
    await asyncio.sleep(0.2)
    assert [given.job_id for given in world.caller.open.values()] == [job.id]
    await world.dispatching.drain()


async def test_failure_of_long_ago_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", timedelta(milliseconds=100))
    world = World()
    world.caller.available = False
    job = await world.submit()
    world.dispatching.wake()
    await asyncio.sleep(0.05)
    reach = Reach(tenant_id=job.owner.tenant_id, user_id=None)
    await MemoryJobStore(world.jobs).request_cancel(reach, job.id, now=world.clock.now())
    world.caller.available = True
    await asyncio.sleep(0.2)  # it looked again, and there was nothing to try
    await world.submit()
    world.dispatching.wake()
    await asyncio.sleep(0.05)
    assert len(world.caller.open) == 1
    await world.dispatching.drain()


async def test_outage_of_the_engine_costs_one_attempt_a_try_whatever_waits() -> None:
    world = World()
    world.caller.available = False
    jobs = [await world.submit() for _ in range(50)]
    assert (await world.dispatch(1)).withdrawn == 1
    assert sum(world.jobs.rows[job.id].job.attempt for job in jobs) == 1


async def test_database_that_is_away_is_left_to_the_supervisor() -> None:
    world = World()
    await world.submit()
    world.jobs.available = False
    world.dispatching.wake()
    await world.dispatching.drain()
    world.jobs.available = True
    assert world.caller.open == {}

    world.dispatching.wake()
    await world.dispatching.drain()
    assert len(world.caller.open) == 1


async def test_cancel_while_the_call_is_made_cancels_the_call() -> None:
    caller = SlowCaller()
    world = World(caller)
    job = await world.submit()
    world.dispatching.wake()
    await asyncio.sleep(0.05)
    reach = Reach(tenant_id=job.owner.tenant_id, user_id=None)
    await MemoryJobStore(world.jobs).request_cancel(reach, job.id, now=world.clock.now())
    caller.may.set()
    await world.dispatching.drain()

    assert caller.cancelled == ["call-1"]
    assert caller.open == {}


async def test_call_that_cannot_be_noted_stands() -> None:
    caller = SlowCaller()
    world = World(caller)
    job = await world.submit()
    world.dispatching.wake()
    await asyncio.sleep(0.05)
    world.jobs.available = False
    caller.may.set()
    await world.dispatching.drain()
    world.jobs.available = True

    assert [given.job_id for given in caller.open.values()] == [job.id]
    assert world.jobs.rows[job.id].slot is not None


async def test_end_of_the_process_does_not_wait_for_an_engine_that_does_not_answer() -> None:
    world = World(SlowCaller())
    job = await world.submit()
    world.dispatching.wake()
    await asyncio.sleep(0.05)
    began = asyncio.get_running_loop().time()
    await world.dispatching.drain(timedelta(milliseconds=50))

    assert asyncio.get_running_loop().time() - began < 1
    # It holds its slot until the start deadline: perhaps the call was made.
    assert world.jobs.rows[job.id].slot is not None


# -- in the whole of genjobs ----------------------------------------------------------------------


@pytest.fixture
async def pushing() -> AsyncIterator[Harness]:
    async with open_harness(dispatch_url="modal://app/Worker") as harness:
        yield harness


async def _settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def _submit(harness: Harness) -> Job:
    job = await harness.genjobs.submit(
        harness.genjobs.owner("u_1"), Submission(workflow=a_workflow())
    )
    await _settled()
    return job


async def test_submit_calls_the_engine(pushing: Harness) -> None:
    job = await _submit(pushing)
    [given] = pushing.caller.open.values()
    assert (given.job_id, given.attempt) == (job.id, 1)


async def test_submit_succeeds_while_the_engine_is_away(pushing: Harness) -> None:
    pushing.caller.available = False
    job = await _submit(pushing)
    view = await pushing.genjobs.get(pushing.genjobs.reach("u_1"), job.id)
    assert view.job.status is JobStatus.QUEUED


async def test_cancel_of_a_job_that_waits_cancels_its_call_once(pushing: Harness) -> None:
    job = await _submit(pushing)
    for _ in range(3):
        await pushing.genjobs.cancel(pushing.genjobs.reach("u_1"), job.id)
    await _settled()
    assert pushing.caller.cancelled == ["call-1"]


async def test_cancel_of_a_running_job_is_told_to_its_worker(pushing: Harness) -> None:
    job = await _submit(pushing)
    [given] = pushing.caller.open.values()
    await pushing.ledger.start(
        given, ExecutionId(uuid4()), now=pushing.clock.now(), call_id="worker#call-1"
    )
    await pushing.genjobs.cancel(pushing.genjobs.reach("u_1"), job.id)
    await _settled()
    assert pushing.caller.cancelled == ["call-1"]


async def test_supervisor_cancels_a_call_that_did_not_start_and_makes_another(
    pushing: Harness,
) -> None:
    job = await _submit(pushing)
    pushing.clock.advance(timedelta(minutes=11))
    assert (await pushing.supervisor.tick()).reclaimed == 1
    await _settled()

    assert pushing.caller.cancelled == ["call-1"]
    [given] = pushing.caller.open.values()
    assert (given.job_id, given.attempt) == (job.id, 2)


async def test_supervisor_dispatches_what_nobody_else_did(pushing: Harness) -> None:
    owner = pushing.genjobs.owner("u_1")
    await MemoryJobStore(pushing.jobs).create(a_new_job(owner, at=pushing.clock.now()))
    await pushing.supervisor.tick()
    await _settled()
    assert len(pushing.caller.open) == 1


async def test_end_of_a_job_dispatches_the_next() -> None:
    async with open_harness(
        dispatch_url="modal://app/Worker", max_containers=1, worker_places=1
    ) as harness:
        first, second = await _submit(harness), await _submit(harness)
        [(call_id, given)] = harness.caller.open.items()
        del harness.caller.open[call_id]
        await harness.worker.run_job(given, asyncio.Event())
        await _settled()

        assert given.job_id == first.id
        assert [given.job_id for given in harness.caller.open.values()] == [second.id]


async def test_unavailable_database_is_not_hidden_from_a_direct_caller() -> None:
    world = World()
    world.jobs.available = False
    with pytest.raises(Unavailable):
        await world.dispatch()
