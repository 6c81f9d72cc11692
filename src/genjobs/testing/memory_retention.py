"""What is due for removal, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from genjobs.domain.retention import ERROR_GONE, DueJob, RetentionRules, kept_until
from genjobs.testing.memory_rows import MemoryJobs, Row


class MemoryRetention:
    """The ``RetentionLedger`` port."""

    def __init__(self, jobs: MemoryJobs, rules: RetentionRules | None = None) -> None:
        self._jobs = jobs
        self._rules = rules or RetentionRules()

    async def take_inputs(self, *, now: datetime, limit: int) -> Sequence[DueJob]:
        """See the port."""
        due = [
            row
            for row in self._jobs.rows.values()
            if row.job.finished_at
            and row.inputs_purged_at is None
            and row.job.finished_at <= now - self._rules.inputs
        ]
        return self._take(sorted(due, key=lambda row: str(row.job.finished_at)), now, limit)

    async def inputs_gone(self, jobs: Sequence[DueJob], *, now: datetime) -> int:
        """See the port."""
        done = [row for row in self._named(jobs) if row.inputs_purged_at is None]
        for row in done:
            self._forget_inputs(row, now)
        return len(done)

    async def take_ended(self, *, now: datetime, limit: int) -> Sequence[DueJob]:
        """See the port."""
        due = [
            (until, row)
            for row in self._jobs.rows.values()
            if (until := kept_until(row.job)) and until <= now and row.job.purged_at is None
        ]
        return self._take([row for _, row in sorted(due, key=lambda pair: pair[0])], now, limit)

    async def ended_gone(self, jobs: Sequence[DueJob], *, now: datetime) -> int:
        """See the port."""
        done = [row for row in self._named(jobs) if row.job.purged_at is None]
        for row in done:
            if row.inputs_purged_at is None:
                self._forget_inputs(row, now)
            for upload in self._jobs.uploads.values():
                upload.release(row.job.id, now)
            row.purge_taken_until = None
            row.version += 1
            error = row.job.error
            row.job = dataclasses.replace(
                row.job,
                outputs=(),
                metadata={},
                error=error
                and dataclasses.replace(error, message=ERROR_GONE, node_id=None, node_class=None),
                purged_at=now,
                version=str(row.version),
            )
        return len(done)

    async def drop_tombstones(self, *, now: datetime, limit: int) -> int:
        """See the port."""
        old = sorted(
            (row.job.purged_at, job_id)
            for job_id, row in self._jobs.rows.items()
            if row.job.purged_at and row.job.purged_at <= now - self._rules.tombstone
        )
        for _, job_id in old[:limit]:
            del self._jobs.rows[job_id]
        return len(old[:limit])

    def _take(self, due: Sequence[Row], now: datetime, limit: int) -> list[DueJob]:
        free = [row for row in due if row.purge_taken_until is None or row.purge_taken_until <= now]
        for row in free[:limit]:
            row.purge_taken_until = now + self._rules.taken
        return [
            DueJob(
                owner=row.job.owner,
                job_id=row.job.id,
                inputs=tuple(entry.key for entry in row.job.inputs),
            )
            for row in free[:limit]
        ]

    def _named(self, jobs: Sequence[DueJob]) -> list[Row]:
        rows = self._jobs.rows
        return [
            rows[job.job_id]
            for job in jobs
            if job.job_id in rows and rows[job.job_id].job.finished_at
        ]

    def _forget_inputs(self, row: Row, now: datetime) -> None:
        row.inputs_purged_at, row.purge_taken_until, row.workflow = now, None, b""
        row.job = dataclasses.replace(row.job, inputs=())
