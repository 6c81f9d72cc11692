"""How attempts end that no worker ended well, in memory."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from enum import Enum

from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import WorkerLost
from genjobs.domain.job import CancelMethod, JobError, Progress
from genjobs.domain.lifecycle import JobEvent, Phase
from genjobs.testing.memory_rows import Row

#: What a job that is not running has not.
AT_REST: dict[str, Phase | Progress | None] = {"phase": None, "progress": None}


class Blow(Enum):
    """What ended an attempt: the event while attempts are left, and the one when none is."""

    CRASH = (JobEvent.CRASHED, JobEvent.CRASHED_FOR_GOOD)
    LOSS = (JobEvent.LOST, JobEvent.LOST_FOR_GOOD)


def requeue(row: Row, event: JobEvent, not_before: datetime, *, paused: bool = False) -> None:
    """Queue a job again, at once or after a pause that ends at ``not_before``."""
    row.slot = None
    row.not_before, row.paused = not_before, paused
    row.step(event, queue_deadline=not_before + row.queue_timeout, **AT_REST)


def charge(row: Row, blow: Blow, error: JobError, now: datetime, deadlines: Deadlines) -> None:
    """End an attempt that counts against the job."""
    retry, give_up = blow.value
    row.charged += 1
    if row.job.cancellation is not None:
        cancel(row, JobEvent.LOST_WHILE_CANCELLING, CancelMethod.WORKER_LOST, now)
    elif row.charged < deadlines.max_attempts:
        requeue(row, retry, deadlines.retry_at(now, row.charged + row.spared), paused=True)
    else:
        row.slot = None
        row.step(give_up, finished_at=now, error=error, **AT_REST)


def lose(row: Row, now: datetime, deadlines: Deadlines) -> None:
    """End an attempt whose worker is lost: charged, or spared."""
    assert row.slot is not None
    held_renderer = row.slot.call_id is None or row.job.phase is Phase.RENDERING
    if held_renderer or row.spared >= deadlines.max_attempts or row.job.cancellation is not None:
        charge(row, Blow.LOSS, JobError.of(WorkerLost()), now, deadlines)
        return
    row.spared += 1
    pause = deadlines.retry_at(now, row.charged + row.spared)
    requeue(row, JobEvent.SPARED, pause, paused=True)


def cancel(row: Row, event: JobEvent, method: CancelMethod, now: datetime) -> None:
    """End a job whose requested cancel was not seen to take effect."""
    assert row.job.cancellation is not None
    row.slot = None
    receipt = dataclasses.replace(row.job.cancellation, method=method)
    row.step(event, finished_at=now, cancellation=receipt, **AT_REST)
