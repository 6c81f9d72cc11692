"""The job store in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from genjobs.domain.errors import IdempotencyMismatch, UserBeingErased
from genjobs.domain.ids import JobId
from genjobs.domain.job import (
    Cancellation,
    CancelMethod,
    Created,
    Idempotency,
    Job,
    JobQuery,
    NewJob,
)
from genjobs.domain.lifecycle import JobEvent, JobStatus
from genjobs.domain.limits import IDEMPOTENCY_LIFE, MAX_QUEUE_POSITION
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing.memory_rows import IngestState, MemoryJobs, Row


class MemoryJobStore:
    """The ``JobStore`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def find_submitted(
        self, owner: Owner, idempotency: Idempotency, *, now: datetime
    ) -> Job | None:
        """See the port."""
        taken = self._jobs.keys.get((owner, idempotency.key))
        if owner in self._jobs.erased_users:
            return None
        if taken is None or taken[2] <= now - IDEMPOTENCY_LIFE:
            return None
        fingerprint, job_id, _ = taken
        if fingerprint != idempotency.fingerprint:
            raise IdempotencyMismatch
        return self._view(self._jobs.rows[job_id])

    async def create(self, job: NewJob) -> Created:
        """See the port."""
        owner, idempotency = job.owner, job.idempotency
        self._jobs.reach()
        if owner in self._jobs.erased_users:
            raise UserBeingErased
        if idempotency is not None:
            earlier = await self.find_submitted(owner, idempotency, now=job.created_at)
            if earlier is not None:
                return Created(job=earlier, replayed=True)
        run_timeout, retention, allowance = self._jobs.tenants.admit(
            job, self._jobs.queued(owner.tenant_id), self._jobs.queued(owner), self._usable(job)
        )
        for upload_id in job.uploads:
            used = self._jobs.uploads[upload_id]
            used.used = True
            used.jobs.add(job.id)
        if idempotency is not None:
            self._jobs.keys[owner, idempotency.key] = (
                idempotency.fingerprint,
                job.id,
                job.created_at,
            )
        row = Row(
            job=Job(
                id=job.id,
                owner=job.owner,
                status=JobStatus.QUEUED,
                eligible=not job.pending,
                attempt=0,
                priority=job.priority,
                created_at=job.created_at,
                queue_deadline=job.queue_deadline,
                run_timeout=run_timeout,
                retention=retention,
                inputs=job.inputs,
                metadata=job.metadata,
                version="1",
            ),
            workflow=job.workflow,
            not_before=job.created_at,
            queue_timeout=job.queue_deadline - (job.ingest_deadline or job.created_at),
            eligible_at=None if job.pending else job.created_at,
        )
        if job.pending:
            assert job.ingest_deadline is not None
            row.ingest = IngestState(
                media=job.pending, not_before=job.created_at, deadline=job.ingest_deadline
            )
        self._jobs.rows[job.id] = row
        return Created(job=self._view(row), replayed=False, allowance=allowance)

    def _usable(self, job: NewJob) -> bool:
        found = (self._jobs.uploads.get(upload_id) for upload_id in job.uploads)
        return all(row is not None and row.usable(job.owner, job.created_at) for row in found)

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
            row.slot = row.ingest = None
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
            self._jobs.tell_of_cancel(row.slot.execution_id)
            row.version += 1
            row.job = dataclasses.replace(
                row.job, cancellation=Cancellation(requested_at=now), version=str(row.version)
            )
        return self._view(row)

    async def check(self) -> None:
        """See the port."""
        self._jobs.reach()

    def _view(self, row: Row) -> Job:
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
