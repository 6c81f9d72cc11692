"""A random walk through the job ports, by any number of clients at once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from genjobs.domain.attempts import Assignment, Beat, Completed, Execution, Recorded
from genjobs.domain.errors import StaleAttempt
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import Progress, Timings
from genjobs.domain.lifecycle import Phase
from genjobs.domain.ports import JobLedger, JobStore
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing import a_new_job
from genjobs.testing.clock import BEGINNING


@dataclass(slots=True)
class JobWalk:
    """What the clients share: who asks for what, and what they were told."""

    store: JobStore
    ledger: JobLedger
    owners: list[Owner]
    chance: random.Random
    now: datetime = BEGINNING
    jobs: list[tuple[Owner, JobId]] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    completed: list[tuple[JobId, UUID]] = field(default_factory=list)

    async def step(self) -> None:
        self.now += timedelta(seconds=self.chance.choice((0, 1, 5)))
        await self.chance.choice(
            (
                self.create,
                self.create,
                self._dispatch,
                self._start,
                self._start,
                self._beat,
                self._finish,
                self._release,
                self._cancel_any,
                self._cancel_as_it_is_dispatched,
                self._supervise,
            )
        )()

    async def create(self) -> None:
        timeout = timedelta(seconds=self.chance.choice((20, 1800)))
        new = a_new_job(self.chance.choice(self.owners), at=self.now, queue_timeout=timeout)
        self.jobs.append((new.owner, new.id))  # stored or not: an answer may be lost
        await self.store.create(new)

    async def _dispatch(self) -> None:
        self.assignments.extend(await self.ledger.dispatch(now=self.now, limit=3))

    async def _start(self) -> None:
        if self.assignments:
            assignment = self.chance.choice(self.assignments)  # also those that were started before
            try:
                started = await self.ledger.start(assignment, ExecutionId(uuid4()), now=self.now)
            except StaleAttempt:
                return
            self.executions.append(started.execution)

    async def _beat(self) -> None:
        beats = [
            Beat(execution=item, phase=Phase.RENDERING, progress=Progress(fraction=0.5))
            for item in self.executions[-5:]
        ]
        await self.ledger.heartbeat(beats, now=self.now)

    async def _finish(self) -> None:
        if self.executions:
            execution = self.chance.choice(self.executions)
            outcome = Completed(outputs=(), timings=Timings(gpu_seconds=1.0))
            if await self.ledger.finish(execution, outcome, now=self.now) is Recorded.YOURS:
                self.completed.append((execution.job_id, execution.execution_id))

    async def _release(self) -> None:
        if self.executions:
            await self.ledger.release(self.chance.choice(self.executions), now=self.now)

    async def _cancel_any(self) -> None:
        if self.jobs:
            owner, job_id = self.chance.choice(self.jobs)
            await self.cancel(owner, job_id)

    async def _cancel_as_it_is_dispatched(self) -> None:
        await self.create()
        owner, job_id = self.jobs[-1]
        await asyncio.gather(
            self._dispatch(), *(self.cancel(owner, job_id) for _ in range(2)), self._dispatch()
        )

    async def cancel(self, owner: Owner, job_id: JobId) -> None:
        reach = Reach(tenant_id=owner.tenant_id, user_id=owner.user_id)
        await self.store.request_cancel(reach, job_id, now=self.now)

    async def end(self) -> None:
        """Cancel everything; what runs is found to be lost."""
        for owner, job_id in self.jobs:
            await self.cancel(owner, job_id)
        self.now += timedelta(hours=1)
        await self.ledger.rescue_lost(now=self.now, limit=100)

    async def _supervise(self) -> None:
        await self.ledger.expire_queued(now=self.now, limit=5)
        await self.ledger.reclaim_unstarted(now=self.now, limit=5)
        await self.ledger.rescue_lost(now=self.now, limit=5)
