"""The figures operators watch, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime

from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.ports import Overview
from genjobs.domain.retention import kept_until
from genjobs.testing.memory_rows import MemoryJobs


def overview(jobs: MemoryJobs, now: datetime) -> Overview:
    """Return the figures."""
    rows, shared = jobs.rows.values(), jobs.shared
    taken = sum(row.slot is not None for row in rows)
    open_cancels = [
        row.job.cancellation.requested_at
        for row in rows
        if row.slot and row.slot.cancel_requested and row.job.cancellation
    ]
    queued = [row.job.created_at for row in rows if row.job.status is JobStatus.QUEUED]

    def age(times: Iterable[datetime | None]) -> float | None:
        known = [(now - time).total_seconds() for time in times if time is not None]
        return max(known, default=None)

    return Overview(
        slots_total=max(taken, jobs.window),
        slots_free=max(0, jobs.window - taken),
        queued=len(queued),
        running=sum(row.job.status is JobStatus.RUNNING for row in rows),
        oldest_eligible_seconds=age(
            row.not_before for row in jobs.waiting() if row.not_before <= now
        ),
        open_cancels=len(open_cancels),
        oldest_queued_seconds=age(queued),
        oldest_cancel_seconds=age(open_cancels),
        paused=shared.paused_at is not None,
        last_tick_seconds=age([shared.ticked_at]),
        purge_overdue_seconds=age(
            until
            for row in rows
            if row.job.purged_at is None and (until := kept_until(row.job)) and until <= now
        ),
        open_erasures=sum(row.owner is not None for row in jobs.erasures.values()),
        oldest_erasure_seconds=age(
            row.receipt.requested_at for row in jobs.erasures.values() if row.owner is not None
        ),
        missing_files=sum(file.job_id in jobs.rows for file in jobs.missing),
        **dataclasses.asdict(shared.deeds),
    )
