"""A random walk through the job ports, by any number of clients at once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from genjobs.domain.attempts import Assignment, Beat, Completed, Execution, Recorded
from genjobs.domain.errors import InputRefused, StaleAttempt, UnknownUpload
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.ingests import IngestExecution
from genjobs.domain.job import Progress, Timings
from genjobs.domain.lifecycle import Phase
from genjobs.domain.ports import (
    IngestLedger,
    JobLedger,
    JobStore,
    Supervision,
    UploadLedger,
    UploadStore,
)
from genjobs.domain.supervision import Deeds, Termination
from genjobs.domain.tenancy import Owner, Reach
from genjobs.domain.uploads import Upload, UploadFile
from genjobs.testing import a_new_job, an_upload
from genjobs.testing.clock import BEGINNING


@dataclass(slots=True)
class JobWalk:
    """What the clients share: who asks for what, and what they were told."""

    store: JobStore
    ledger: JobLedger
    ingests: IngestLedger
    supervision: Supervision
    uploads: UploadStore
    upload_ledger: UploadLedger
    owners: list[Owner]
    chance: random.Random
    now: datetime = BEGINNING
    jobs: list[tuple[Owner, JobId]] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    completed: list[tuple[JobId, UUID]] = field(default_factory=list)
    claims: list[IngestExecution] = field(default_factory=list)
    uploaded: list[Upload] = field(default_factory=list)
    left: list[UploadFile] = field(default_factory=list)
    #: Attempts that were escalated, and what became of jobs because of it.
    escalated: int = 0

    async def step(self) -> None:
        self.now += timedelta(seconds=self.chance.choice((0, 1, 5)))
        await self.chance.choice(
            (
                self.create,
                self.create,
                self._dispatch,
                *(self._start,) * 4,
                self._beat,
                self._finish,
                self._release,
                self._cancel_any,
                self._cancel_as_it_is_dispatched,
                self._supervise,
                self._tick,
                self._escalate,
                self._create_with_url,
                self._upload,
                self._create_with_uploads,
                self._purge_uploads,
                self._claim,
                self._settle,
                self._pause,
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
            # Most often a fresh one; now and then one that was started or overtaken long ago.
            recent = self.assignments[-4:] if self.chance.random() < 0.8 else self.assignments
            assignment = self.chance.choice(recent)
            try:
                started = await self.ledger.start(
                    assignment,
                    ExecutionId(uuid4()),
                    now=self.now,
                    call_id=self.chance.choice((None, "worker-1", "worker-2")),
                )
            except StaleAttempt:
                return
            self.executions.append(started.execution)

    async def _beat(self) -> None:
        beats = [
            Beat(
                execution=item,
                phase=self.chance.choice(list(Phase)),
                progress=Progress(fraction=0.5),
            )
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

    async def _create_with_url(self) -> None:
        new = a_new_job(self.chance.choice(self.owners), at=self.now, pending=["a.png"])
        self.jobs.append((new.owner, new.id))
        await self.store.create(new)

    async def _upload(self) -> None:
        life = timedelta(seconds=self.chance.choice((20, 1800)))
        upload = an_upload(self.chance.choice(self.owners), at=self.now, life=life)
        self.uploaded.append(upload)
        await self.uploads.create(upload)

    async def _create_with_uploads(self) -> None:
        if not self.uploaded:
            return
        uploads = self.chance.choices(self.uploaded[-9:], k=2)  # of two users, often
        new = a_new_job(uploads[0].owner, at=self.now, uploads=uploads)
        self.jobs.append((new.owner, new.id))
        try:
            await self.store.create(new)
        except UnknownUpload:
            self.jobs.remove((new.owner, new.id))

    async def _purge_uploads(self) -> None:
        self.left.extend(await self.upload_ledger.take(now=self.now, limit=3))
        await self.upload_ledger.forget(self.left[-3:])

    async def _claim(self) -> None:
        executions = [ExecutionId(uuid4()) for _ in range(2)]
        claimed = await self.ingests.claim(executions, now=self.now)
        self.claims.extend(ingest.execution for ingest in claimed)

    async def _settle(self) -> None:
        if self.claims:
            execution = self.chance.choice(self.claims)  # also those that were settled before
            await self.ingests.heartbeat(self.claims[-3:], now=self.now)
            match self.chance.randrange(4):
                case 0:
                    await self.ingests.retry(execution, now=self.now)
                case 1:
                    await self.ingests.release(execution, now=self.now)
                case 2:
                    await self.ingests.refuse(execution, InputRefused(), now=self.now)
                case _:
                    await self.ingests.finish(execution, [], now=self.now)

    async def _tick(self) -> None:
        await self.supervision.begin_tick(now=self.now)
        await self.ingests.rescue(now=self.now, limit=5)
        # Every step counts in its own transaction, so at no moment may a count be wrong.
        assert await self.supervision.recount_next() in (0, None)
        await self.ledger.prune(now=self.now, limit=5)
        await self.supervision.end_tick(Deeds(rescues=1))
        await self.ledger.overview(now=self.now)

    async def _escalate(self) -> None:
        for silent in await self.supervision.silent_cancels(now=self.now, limit=5):
            seen = self.chance.choice(list(Termination))
            self.escalated += len(await self.supervision.end_silent(silent, seen, now=self.now))

    async def _pause(self) -> None:
        await self.supervision.pause(now=self.now)
        await self.supervision.resume()

    async def end(self) -> None:
        """Cancel everything; what runs is found to be lost."""
        await self.supervision.resume()
        for owner, job_id in self.jobs:
            await self.cancel(owner, job_id)
        self.now += timedelta(hours=1)
        await self.ledger.rescue_lost(now=self.now, limit=100)

    async def _supervise(self) -> None:
        await self.ledger.expire_queued(now=self.now, limit=5)
        await self.ledger.reclaim_unstarted(now=self.now, limit=5)
        await self.ledger.rescue_lost(now=self.now, limit=5)
