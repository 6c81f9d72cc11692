"""
Job store and ledger in memory: the whole lifecycle without a database.

One event loop, no awaits inside a step, so each step is a transaction. Shares nothing with the
Postgres adapter but the contract suites.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from genjobs.domain.attempts import (
    Assignment,
    Beat,
    BeatReply,
    Completed,
    Execution,
    Failed,
    Outcome,
    Recorded,
    Rescue,
    StartedJob,
    Stopped,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import IdempotencyMismatch, QueueTimeout, StaleAttempt, WorkerLost
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import (
    Cancellation,
    CancelMethod,
    Idempotency,
    Job,
    JobError,
    JobQuery,
    NewJob,
    Progress,
    Timings,
)
from genjobs.domain.lifecycle import JobEvent, JobStatus, Phase, after
from genjobs.domain.limits import MAX_QUEUE_POSITION
from genjobs.domain.ports import Overview
from genjobs.domain.tenancy import Owner, Reach


@dataclass(slots=True, kw_only=True)
class _Slot:
    """A place of the dispatch window, taken."""

    attempt: int
    start_deadline: datetime | None
    execution_id: ExecutionId | None = None
    lease_expires_at: datetime | None = None
    cancel_requested: bool = False


@dataclass(slots=True, kw_only=True)
class _Row:
    """A job as it is stored; ``job`` is the public part."""

    job: Job
    workflow: bytes
    not_before: datetime
    queue_timeout: timedelta
    version: int = 1
    charged: int = 0
    slot: _Slot | None = None
    #: Attempt and execution to how it ended, for repeats after a lost answer.
    ended: dict[tuple[int, ExecutionId], str] = field(default_factory=dict)

    def step(self, event: JobEvent, **changes: object) -> None:
        """Take a step of the lifecycle; refuses one that the table has not."""
        self.version += 1
        status = after(self.job.status, event)
        self.job = dataclasses.replace(
            self.job,
            status=status,
            version=str(self.version),
            **changes,  # type: ignore[arg-type]
        )

    @property
    def ready(self) -> bool:
        """Whether the job waits for a slot."""
        return self.job.status is JobStatus.QUEUED and self.job.eligible and self.slot is None


class MemoryJobs:
    """The data that a store and a ledger share."""

    def __init__(self, *, window: int = 64, deadlines: Deadlines | None = None) -> None:
        self.window = window
        self.deadlines = deadlines or Deadlines()
        self.rows: dict[JobId, _Row] = {}
        self.keys: dict[tuple[Owner, str], tuple[bytes, JobId]] = {}

    def within(self, reach: Reach, job_id: JobId) -> _Row | None:
        """Return a row if it is within reach."""
        row = self.rows.get(job_id)
        if row is None or row.job.owner.tenant_id != reach.tenant_id:
            return None
        return row if reach.user_id in (None, row.job.owner.user_id) else None

    def waiting(self) -> list[_Row]:
        """Return the rows that wait for a slot, oldest first."""
        return sorted(
            (row for row in self.rows.values() if row.ready),
            key=lambda row: (row.not_before, row.job.id),
        )


class MemoryJobStore:
    """The ``JobStore`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def find_submitted(self, owner: Owner, idempotency: Idempotency) -> Job | None:
        """See the port."""
        taken = self._jobs.keys.get((owner, idempotency.key))
        if taken is None:
            return None
        fingerprint, job_id = taken
        if fingerprint != idempotency.fingerprint:
            raise IdempotencyMismatch
        return self._view(self._jobs.rows[job_id])

    async def create(self, job: NewJob) -> tuple[Job, bool]:
        """See the port."""
        if job.idempotency is not None:
            earlier = await self.find_submitted(job.owner, job.idempotency)
            if earlier is not None:
                return earlier, True
            self._jobs.keys[job.owner, job.idempotency.key] = (job.idempotency.fingerprint, job.id)
        row = _Row(
            job=Job(
                id=job.id,
                owner=job.owner,
                status=JobStatus.QUEUED,
                eligible=True,
                attempt=0,
                priority=job.priority,
                created_at=job.created_at,
                queue_deadline=job.queue_deadline,
                run_timeout=job.run_timeout,
                retention=job.retention,
                inputs=job.inputs,
                metadata=job.metadata,
                version="1",
            ),
            workflow=job.workflow,
            not_before=job.created_at,
            queue_timeout=job.queue_deadline - job.created_at,
        )
        self._jobs.rows[job.id] = row
        return self._view(row), False

    async def get(self, reach: Reach, job_id: JobId) -> Job | None:
        """See the port."""
        row = self._jobs.within(reach, job_id)
        return None if row is None else self._view(row)

    async def list_jobs(self, reach: Reach, query: JobQuery) -> Sequence[Job]:
        """See the port."""
        found = [
            row.job
            for job_id, row in self._jobs.rows.items()
            if self._jobs.within(reach, job_id)
            and (query.before is None or job_id < query.before)
            and (not query.statuses or row.job.status in query.statuses)
            and (query.created_after is None or row.job.created_at >= query.created_after)
            and (query.created_before is None or row.job.created_at < query.created_before)
        ]
        return sorted(found, key=lambda job: job.id, reverse=True)[: query.limit]

    async def request_cancel(self, reach: Reach, job_id: JobId, *, now: datetime) -> Job | None:
        """See the port."""
        row = self._jobs.within(reach, job_id)
        if row is None:
            return None
        if row.job.status is JobStatus.QUEUED:
            row.slot = None
            receipt = Cancellation(
                requested_at=now,
                method=CancelMethod.DEQUEUED,
                stopped_at=now,
                gpu_seconds_after_request=0.0,
            )
            row.step(JobEvent.DEQUEUED, finished_at=now, cancellation=receipt)
        elif row.job.status is JobStatus.RUNNING and row.job.cancellation is None:
            assert row.slot is not None
            row.slot.cancel_requested = True
            row.version += 1
            row.job = dataclasses.replace(
                row.job, cancellation=Cancellation(requested_at=now), version=str(row.version)
            )
        return self._view(row)

    async def check(self) -> None:
        """Memory is always there."""

    def _view(self, row: _Row) -> Job:
        if row.job.status is not JobStatus.QUEUED or not row.job.eligible:
            return row.job
        place = 1
        if row.slot is None:
            mine = (-row.job.priority, row.job.id)
            place += sum(
                other.job.owner == row.job.owner and (-other.job.priority, other.job.id) < mine
                for other in self._jobs.waiting()
            )
        return dataclasses.replace(row.job, queue_position=min(place, MAX_QUEUE_POSITION))


class MemoryJobLedger:
    """The ``JobLedger`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def dispatch(self, *, now: datetime, limit: int) -> Sequence[Assignment]:
        """See the port."""
        given: list[Assignment] = []
        while len(given) < limit and self._taken() < self._jobs.window:
            due = [row for row in self._jobs.waiting() if row.not_before <= now]
            if not due:
                break
            owner = due[0].job.owner
            row = min(
                (row for row in due if row.job.owner == owner),
                key=lambda row: (-row.job.priority, row.job.id),
            )
            attempt = row.job.attempt + 1
            row.slot = _Slot(attempt=attempt, start_deadline=now + self._jobs.deadlines.start)
            row.step(JobEvent.DISPATCHED, attempt=attempt)
            given.append(Assignment(owner=owner, job_id=row.job.id, attempt=attempt))
        return given

    async def start(
        self, assignment: Assignment, execution_id: ExecutionId, *, now: datetime
    ) -> StartedJob:
        """See the port."""
        row = self._jobs.rows[assignment.job_id]
        slot = row.slot
        if slot is None or slot.attempt != assignment.attempt:
            raise StaleAttempt
        if slot.execution_id is None:
            slot.execution_id, slot.start_deadline = execution_id, None
            slot.lease_expires_at = now + self._jobs.deadlines.lease
            timings = Timings(queue_seconds=(now - row.job.created_at).total_seconds())
            row.step(
                JobEvent.STARTED,
                started_at=row.job.started_at or now,
                phase=Phase.PREPARING,
                timings=timings if row.job.started_at is None else row.job.timings,
            )
        elif slot.execution_id != execution_id:
            raise StaleAttempt
        return StartedJob(
            execution=Execution(
                owner=row.job.owner,
                job_id=row.job.id,
                attempt=assignment.attempt,
                execution_id=execution_id,
            ),
            workflow=row.workflow,
            inputs=row.job.inputs,
            run_timeout=row.job.run_timeout,
            cancel_requested=slot.cancel_requested,
        )

    async def heartbeat(
        self, beats: Sequence[Beat], *, now: datetime
    ) -> Mapping[ExecutionId, BeatReply]:
        """See the port."""
        return {beat.execution.execution_id: self._beat(beat, now) for beat in beats}

    def _beat(self, beat: Beat, now: datetime) -> BeatReply:
        row = self._held(beat.execution)
        if row is None or row.slot is None:
            return BeatReply.LEASE_LOST
        row.slot.lease_expires_at = now + self._jobs.deadlines.lease
        if (row.job.phase, row.job.progress) != (beat.phase, beat.progress):
            row.version += 1
            row.job = dataclasses.replace(
                row.job, phase=beat.phase, progress=beat.progress, version=str(row.version)
            )
        return BeatReply.CANCEL if row.slot.cancel_requested else BeatReply.GO_ON

    async def finish(self, execution: Execution, outcome: Outcome, *, now: datetime) -> Recorded:
        """See the port."""
        row = self._held(execution)
        kind = type(outcome).__name__
        if row is None:
            return self._repeated(execution, kind)
        receipt = row.job.cancellation
        self._end(row, execution, kind)
        timings = dataclasses.replace(outcome.timings, queue_seconds=row.job.timings.queue_seconds)
        match outcome:
            case Completed():
                if receipt is not None:
                    receipt = dataclasses.replace(
                        receipt, method=CancelMethod.TOO_LATE, gpu_seconds_after_request=0.0
                    )
                row.step(
                    JobEvent.COMPLETED,
                    finished_at=now,
                    outputs=outcome.outputs,
                    cancellation=receipt,
                    timings=timings,
                    **_AT_REST,
                )
            case Stopped() if receipt is None:
                self._requeue(row, JobEvent.RELEASED, now)
            case Failed() if receipt is None:
                row.step(
                    JobEvent.FAILED,
                    finished_at=now,
                    error=outcome.error,
                    timings=timings,
                    **_AT_REST,
                )
            case Failed() | Stopped():
                assert receipt is not None
                self._stop(row, receipt, outcome if isinstance(outcome, Stopped) else None, now)
                row.job = dataclasses.replace(row.job, timings=timings)
        return Recorded.YOURS

    async def release(self, execution: Execution, *, now: datetime) -> Recorded:
        """See the port."""
        row = self._held(execution)
        if row is None:
            return self._repeated(execution, "Released")
        self._end(row, execution, "Released")
        if row.job.cancellation is not None:
            self._stop(row, row.job.cancellation, None, now)
        else:
            self._requeue(row, JobEvent.RELEASED, now)
        return Recorded.YOURS

    async def crash(self, execution: Execution, error: JobError, *, now: datetime) -> Recorded:
        """See the port."""
        row = self._held(execution)
        if row is None:
            return self._repeated(execution, "Crashed")
        self._end(row, execution, "Crashed")
        self._charge(row, JobEvent.CRASHED, JobEvent.CRASHED_FOR_GOOD, error, now)
        return Recorded.YOURS

    async def expire_queued(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        due = [
            row
            for row in self._jobs.rows.values()
            if row.job.status is JobStatus.QUEUED and row.job.queue_deadline <= now
        ]
        for row in due[:limit]:
            row.slot = None
            error = JobError.of(QueueTimeout())
            row.step(JobEvent.QUEUE_EXPIRED, finished_at=now, error=error)
        return [_rescue(row) for row in due[:limit]]

    async def rescue_lost(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        lost = [
            row
            for row in self._jobs.rows.values()
            if row.slot and row.slot.lease_expires_at and row.slot.lease_expires_at <= now
        ]
        for row in lost[:limit]:
            row.slot = None
            error = JobError.of(WorkerLost())
            self._charge(row, JobEvent.LOST, JobEvent.LOST_FOR_GOOD, error, now)
        return [_rescue(row) for row in lost[:limit]]

    async def reclaim_unstarted(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        missed = [
            row
            for row in self._jobs.rows.values()
            if row.slot and row.slot.start_deadline and row.slot.start_deadline <= now
        ]
        for row in missed[:limit]:
            row.slot = None
            row.step(JobEvent.START_MISSED)
        return [_rescue(row) for row in missed[:limit]]

    async def overview(self, *, now: datetime) -> Overview:
        """See the port."""
        rows = self._jobs.rows.values()
        due = [row for row in self._jobs.waiting() if row.not_before <= now]
        return Overview(
            slots_total=self._jobs.window,
            slots_free=self._jobs.window - self._taken(),
            queued=sum(row.job.status is JobStatus.QUEUED for row in rows),
            running=sum(row.job.status is JobStatus.RUNNING for row in rows),
            oldest_eligible_seconds=(now - due[0].not_before).total_seconds() if due else None,
            open_cancels=sum(bool(row.slot and row.slot.cancel_requested) for row in rows),
        )

    def _taken(self) -> int:
        return sum(row.slot is not None for row in self._jobs.rows.values())

    def _held(self, execution: Execution) -> _Row | None:
        """Return the row whose slot this execution holds."""
        row = self._jobs.rows.get(execution.job_id)
        if row is None or row.slot is None or row.slot.attempt != execution.attempt:
            return None
        return row if row.slot.execution_id == execution.execution_id else None

    def _repeated(self, execution: Execution, kind: str) -> Recorded:
        row = self._jobs.rows.get(execution.job_id)
        key = (execution.attempt, execution.execution_id)
        return Recorded.YOURS if row and row.ended.get(key) == kind else Recorded.STALE

    def _end(self, row: _Row, execution: Execution, kind: str) -> None:
        row.ended[execution.attempt, execution.execution_id] = kind
        row.slot = None

    def _requeue(self, row: _Row, event: JobEvent, not_before: datetime) -> None:
        row.not_before = not_before
        row.step(event, queue_deadline=not_before + row.queue_timeout, **_AT_REST)

    def _charge(
        self, row: _Row, retry: JobEvent, give_up: JobEvent, error: JobError, now: datetime
    ) -> None:
        row.charged += 1
        receipt = row.job.cancellation
        if receipt is not None:
            receipt = dataclasses.replace(receipt, method=CancelMethod.WORKER_LOST)
            row.step(
                JobEvent.LOST_WHILE_CANCELLING, finished_at=now, cancellation=receipt, **_AT_REST
            )
        elif row.charged < self._jobs.deadlines.max_attempts:
            self._requeue(row, retry, self._jobs.deadlines.retry_at(now, row.charged))
        else:
            row.step(give_up, finished_at=now, error=error, **_AT_REST)

    def _stop(
        self, row: _Row, receipt: Cancellation, stopped: Stopped | None, now: datetime
    ) -> None:
        done = dataclasses.replace(
            receipt,
            method=stopped.method if stopped else CancelMethod.INTERRUPTED,
            stopped_at=stopped.stopped_at if stopped else now,
            gpu_seconds_after_request=(stopped.gpu_seconds_after_request if stopped else None)
            or 0.0,
        )
        row.step(JobEvent.STOPPED, finished_at=now, cancellation=done, **_AT_REST)


#: What a job that is not running has not.
_AT_REST: dict[str, Phase | Progress | None] = {"phase": None, "progress": None}


def _rescue(row: _Row) -> Rescue:
    return Rescue(
        owner=row.job.owner, job_id=row.job.id, attempt=row.job.attempt, status=row.job.status
    )
