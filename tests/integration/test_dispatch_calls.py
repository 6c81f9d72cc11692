"""Several processes dispatch to one engine, on real Postgres: no call too many or too few."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

import pytest

from genjobs.adapters.local.signals import LocalSignals
from genjobs.adapters.postgres import (
    PostgresCallLedger,
    PostgresJobLedger,
    PostgresJobStore,
    administration,
    open_pool,
)
from genjobs.adapters.system import SystemClock
from genjobs.application.dispatch import Dispatching, DispatchJobs
from genjobs.domain.attempts import Assignment
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import StaleAttempt, Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing import MemoryCaller, a_new_job, a_tenant_id
from tests.postgres import Database

JOBS = 40


class Engine(MemoryCaller):
    """Takes a moment for each call, and refuses some."""

    def __init__(self, refused: float = 0.0) -> None:
        super().__init__()
        self._random = random.Random(7)
        self._refused = refused

    async def call(self, assignment: Assignment) -> str:
        await asyncio.sleep(self._random.random() / 50)
        if self._random.random() < self._refused:
            raise Unavailable
        return await super().call(assignment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Three processes' dispatchers, one store."""

    store: PostgresJobStore
    ledger: PostgresJobLedger
    processes: list[Dispatching]
    owner: Owner
    engine: Engine
    database: Database

    async def submit(self) -> Job:
        new = a_new_job(self.owner, at=SystemClock().now())
        return (await self.store.create(new)).job

    async def cancel(self, job: Job) -> None:
        """Cancel as ``CancelJob`` does."""
        reach = Reach(tenant_id=self.owner.tenant_id, user_id=None)
        now = SystemClock().now()
        after = await self.store.request_cancel(reach, job.id, now=now)
        assert after is not None
        given = Assignment(owner=self.owner, job_id=job.id, attempt=after.attempt)
        self.processes[0].recall([given])

    async def drain(self) -> None:
        for process in self.processes:
            await process.drain()


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def site(database: Database, engine: Engine) -> AsyncIterator[Site]:
    await administration.set_window(database.owner, JOBS)
    tenant = a_tenant_id()
    await database.make_tenant(tenant)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(open_pool(database.api))
        processes = []
        for _ in range(3):
            worker = await stack.enter_async_context(open_pool(database.worker, size=4))
            ledger = PostgresJobLedger(worker, Deadlines())
            dispatch = DispatchJobs(
                ledger=ledger,
                calls=PostgresCallLedger(worker),
                caller=engine,
                clock=SystemClock(),
            )
            processes.append(Dispatching(dispatch=dispatch, waiters=LocalSignals()))
        yield Site(
            store=PostgresJobStore(api),
            ledger=ledger,
            processes=processes,
            owner=Owner(tenant_id=tenant, user_id="u_1"),
            engine=engine,
            database=database,
        )


async def test_each_job_is_called_for_once(site: Site) -> None:
    async def arrive(number: int) -> Job:
        job = await site.submit()
        site.processes[number % 3].wake()
        return job

    jobs = await asyncio.gather(*(arrive(number) for number in range(JOBS)))
    await site.drain()

    called = [given.job_id for given in site.engine.open.values()]
    assert sorted(called) == sorted(job.id for job in jobs)
    rows = await site.database.execute("SELECT job_id, call_id FROM genjobs.slots")
    kept = {row["call_id"]: row["job_id"] for row in rows}
    assert kept == {name: given.job_id for name, given in site.engine.open.items()}


async def test_cancels_among_calls_leave_no_call_for_a_cancelled_job(site: Site) -> None:
    jobs = [await site.submit() for _ in range(JOBS)]
    for process in site.processes:
        process.wake()

    async def cancelled(job: Job) -> None:
        await asyncio.sleep(random.Random(str(job.id)).random() / 15)
        await site.cancel(job)

    await asyncio.gather(*(cancelled(job) for job in jobs[::2]))
    await site.drain()

    left = {given.job_id for given in site.engine.open.values()}
    assert left == {job.id for job in jobs[1::2]}


@pytest.mark.parametrize("engine", [Engine(refused=0.3)])
async def test_calls_that_fail_and_starts_at_once_lose_nothing(site: Site) -> None:
    """An engine that refuses some: each job is queued, or held by one call that may start."""
    jobs = [await site.submit() for _ in range(JOBS)]
    await asyncio.gather(*(process.dispatch() for process in site.processes))

    rows = await site.database.execute("SELECT job_id, call_id FROM genjobs.slots")
    held = {row["job_id"]: row["call_id"] for row in rows if row["job_id"] is not None}
    assert held == {given.job_id: name for name, given in site.engine.open.items()}
    assert len(held) < len(jobs)
    reach = Reach(tenant_id=site.owner.tenant_id, user_id=None)
    for job in jobs:
        now = await site.store.get(reach, job.id)
        assert now is not None
        assert now.status is JobStatus.QUEUED
        late = Assignment(owner=site.owner, job_id=job.id, attempt=now.attempt)
        start = site.ledger.start(late, ExecutionId(uuid4()), now=SystemClock().now())
        if job.id in held:
            await start
        else:
            with pytest.raises(StaleAttempt):
                await start
    drift = await site.database.execute(
        "SELECT queued, in_flight FROM genjobs.tenant_load WHERE tenant_id = $1",
        site.owner.tenant_id,
    )
    assert [tuple(row) for row in drift] == [(len(jobs) - len(held), len(held))]
