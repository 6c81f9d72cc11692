"""
Retention: what of a job is kept how long after its end, and what is left of it then.

Who removes it is in ``application.purge``; which jobs are due is the ``RetentionLedger`` port's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.ids import JobId
from genjobs.domain.job import Job
from genjobs.domain.tenancy import Owner

#: What a purged job says instead of why it failed; its error's code stays.
ERROR_GONE: Final = "What the failure said is no longer kept."


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How long what is kept."""

    #: Inputs and workflow document, after the end; never longer than the job's retention.
    inputs: timedelta = timedelta(hours=1)
    #: The purged job, without files and texts, after it was purged. Not below a day: what was
    #: submitted under an idempotency key must be found for as long as the key holds.
    tombstone: timedelta = timedelta(days=30)
    #: Receipts of erasures, after their end.
    receipts: timedelta = timedelta(days=365)
    #: How long a supervisor has a job whose files it removes to itself; then another may try.
    taken: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueJob:
    """A job with files to be removed."""

    owner: Owner
    job_id: JobId
    #: Of its inputs, as its row names them.
    inputs: tuple[ArtifactKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How much one look around removed."""

    #: Jobs whose inputs and workflow went, jobs of which a tombstone is left, tombstones that went.
    inputs: int = 0
    jobs: int = 0
    rows: int = 0


def kept_until(job: Job) -> datetime | None:
    """Return when the outputs of a job end; None before the job has."""
    return None if job.finished_at is None else job.finished_at + job.retention
