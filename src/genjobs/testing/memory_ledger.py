"""
The job ledger in memory: the whole lifecycle without a database.

One event loop, no awaits inside a step, so each step is a transaction. Shares nothing with the
Postgres adapter but the contract suites.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime

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
from genjobs.domain.errors import QueueTimeout, StaleAttempt
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import (
    Cancellation,
    CancelMethod,
    JobError,
    Timings,
)
from genjobs.domain.lifecycle import JobEvent, JobStatus, Phase
from genjobs.domain.limits import IDEMPOTENCY_LIFE
from genjobs.domain.ports import Overview, Pruned
from genjobs.domain.tenancy import Reach
from genjobs.testing.memory_dispatch import next_row
from genjobs.testing.memory_endings import AT_REST, Blow, charge, lose, requeue
from genjobs.testing.memory_overview import overview
from genjobs.testing.memory_receipts import gpu_seconds
from genjobs.testing.memory_rows import MemoryJobs, Row, Slot, Times


class MemoryJobLedger:
    """The ``JobLedger`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def dispatch(self, *, now: datetime, limit: int) -> Sequence[Assignment]:
        """See the port."""
        given: list[Assignment] = []
        if self._jobs.shared.paused_at is not None:
            return given
        while len(given) < limit and self._taken() < self._jobs.window:
            row = next_row(self._jobs, now)
            if row is None:
                break
            owner = row.job.owner
            self._jobs.tenants.serve(owner)
            attempt = row.job.attempt + 1
            row.slot = Slot(attempt=attempt, start_deadline=now + self._jobs.deadlines.start)
            row.step(JobEvent.DISPATCHED, attempt=attempt)
            self._jobs.times.append(Times(job_id=row.job.id, attempt=attempt, dispatched_at=now))
            given.append(Assignment(owner=owner, job_id=row.job.id, attempt=attempt))
        return given

    async def start(
        self,
        assignment: Assignment,
        execution_id: ExecutionId,
        *,
        now: datetime,
        call_id: str | None = None,
    ) -> StartedJob:
        """See the port."""
        row = self._named(assignment)
        slot = row.slot if row else None
        if row is None or slot is None or slot.attempt != assignment.attempt:
            raise StaleAttempt
        if slot.execution_id is None:
            slot.execution_id, slot.start_deadline = execution_id, None
            if call_id is not None:
                slot.call_id = row.call_ids[slot.attempt] = call_id
            slot.lease_expires_at = now + self._jobs.deadlines.lease
            times = self._jobs.times_of(row.job.id, slot.attempt)
            times.waited = (now - times.dispatched_at).total_seconds()
            waited = now - (row.eligible_at or row.job.created_at)
            timings = Timings(queue_seconds=max(0.0, waited.total_seconds()))
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
        times = self._jobs.times_of(row.job.id, execution.attempt)
        times.gpu_seconds = outcome.timings.gpu_seconds
        times.prepare_seconds = outcome.timings.prepare_seconds
        timings = dataclasses.replace(outcome.timings, queue_seconds=row.job.timings.queue_seconds)
        match outcome:
            case Completed():
                if receipt is not None:
                    receipt = dataclasses.replace(
                        receipt, method=CancelMethod.TOO_LATE, gpu_seconds_after_request=0.0
                    )
                self._jobs.tenants.add_bytes(
                    row.job.owner, now, sum(output.bytes for output in outcome.outputs)
                )
                row.step(
                    JobEvent.COMPLETED,
                    finished_at=now,
                    outputs=outcome.outputs,
                    cancellation=receipt,
                    timings=timings,
                    **AT_REST,
                )
            case Stopped() if receipt is None:
                requeue(row, JobEvent.RELEASED, now)
            case Failed() if receipt is None:
                row.step(
                    JobEvent.FAILED,
                    finished_at=now,
                    error=outcome.error,
                    timings=timings,
                    **AT_REST,
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
            requeue(row, JobEvent.RELEASED, now)
        return Recorded.YOURS

    async def crash(self, execution: Execution, error: JobError, *, now: datetime) -> Recorded:
        """See the port."""
        row = self._held(execution)
        if row is None:
            return self._repeated(execution, "Crashed")
        self._end(row, execution, "Crashed")
        charge(row, Blow.CRASH, error, now, self._jobs.deadlines)
        return Recorded.YOURS

    async def expire_queued(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        due = [
            row
            for row in self._jobs.rows.values()
            if row.job.status is JobStatus.QUEUED
            and row.job.eligible
            and row.job.queue_deadline <= now
        ]
        for row in due[:limit]:
            row.slot = None
            error = JobError.of(QueueTimeout())
            row.step(JobEvent.QUEUE_EXPIRED, finished_at=now, error=error)
        return [row.rescue() for row in due[:limit]]

    async def rescue_lost(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        lost = [
            row
            for row in self._jobs.rows.values()
            if row.slot and self._jobs.shared.lapsed(row.slot.lease_expires_at, now)
        ]
        for row in lost[:limit]:
            lose(row, now, self._jobs.deadlines)
        return [row.rescue() for row in lost[:limit]]

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
        return [row.rescue() for row in missed[:limit]]

    async def prune(self, *, now: datetime, limit: int) -> Pruned:
        """See the port; what a user has used is kept, there is room."""
        old = [key for key, (_, _, at) in self._jobs.keys.items() if at <= now - IDEMPOTENCY_LIFE]
        for key in old[:limit]:
            del self._jobs.keys[key]
        return Pruned(keys=len(old[:limit]), loads=0)

    async def overview(self, *, now: datetime) -> Overview:
        """See the port."""
        return overview(self._jobs, now)

    def _taken(self) -> int:
        return sum(row.slot is not None for row in self._jobs.rows.values())

    def _named(self, attempt: Assignment | Execution) -> Row | None:
        """Return the row of the tenant and job that are named."""
        reach = Reach(tenant_id=attempt.owner.tenant_id, user_id=None)
        return self._jobs.within(reach, attempt.job_id)

    def _held(self, execution: Execution) -> Row | None:
        """Return the row whose slot this execution holds."""
        row = self._named(execution)
        if row is None or row.slot is None or row.slot.attempt != execution.attempt:
            return None
        return row if row.slot.execution_id == execution.execution_id else None

    def _repeated(self, execution: Execution, kind: str) -> Recorded:
        row = self._named(execution)
        key = (execution.attempt, execution.execution_id)
        return Recorded.YOURS if row and row.ended.get(key) == kind else Recorded.STALE

    def _end(self, row: Row, execution: Execution, kind: str) -> None:
        row.ended[execution.attempt, execution.execution_id] = kind
        row.slot = None

    def _stop(
        self, row: Row, receipt: Cancellation, stopped: Stopped | None, now: datetime
    ) -> None:
        done = dataclasses.replace(
            receipt,
            method=stopped.method if stopped else CancelMethod.INTERRUPTED,
            stopped_at=stopped.stopped_at if stopped else now,
            gpu_seconds_after_request=gpu_seconds(stopped, receipt.requested_at),
        )
        row.step(JobEvent.STOPPED, finished_at=now, cancellation=done, **AT_REST)
