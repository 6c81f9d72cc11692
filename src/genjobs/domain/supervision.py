"""
What supervisors decide by: rules of patience, cancels that nobody answers, files that a job owns.

Who does it is in ``application.supervise``, what they share is the ``Supervision`` port's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.attempts import Execution
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ids import JobId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long supervisors wait for those who do not answer."""

    lease: timedelta
    #: Between two ticks; after a longer gap the leases of healthy workers may have run out.
    longest_gap: timedelta
    #: So many gaps in a row mean that supervisors are started now and then, and not an outage.
    most_gaps: int = 2
    #: Without a sign of life, after a cancel was requested, before the worker is ended.
    silence: timedelta
    #: The same for a worker that gives signs of life and does not stop.
    deafness: timedelta
    #: Between two orders to end a worker, and how many are given for one attempt.
    pause: timedelta
    most_terminations: int = 3

    @classmethod
    def of(cls, deadlines: Deadlines) -> Patience:
        """
        Return what follows from the deployment's durations.

        A healthy lease has a heartbeat less than a whole lease to go. Half of that is for the
        outage that nobody saw, the other half for the worker to come back after it.
        """
        return cls(
            lease=deadlines.lease,
            longest_gap=(deadlines.lease - deadlines.heartbeat) / 2,
            silence=deadlines.lease / 2,
            deafness=4 * deadlines.cancel_grace,
            pause=deadlines.lease / 8,
        )


class Termination(StrEnum):
    """What was seen of a worker that was to be ended."""

    #: It was there, and was seen to end.
    TERMINATED = "terminated"
    #: It had ended before.
    GONE = "gone"
    #: It cannot be reached from here, or was not seen to end.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentCancel:
    """A running attempt whose cancel is not answered."""

    execution: Execution
    #: Who runs it; None when the worker did not say.
    call_id: str | None
    #: How often its end has been ordered, this time included.
    terminations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """Where a file of a job belongs, as its key says."""

    key: ArtifactKey
    tenant_id: TenantId
    job_id: JobId
    #: Of an output: the attempt that made it.
    attempt: int | None = None
    #: Of an input by URL: the claim that fetched it.
    claim: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deeds:
    """What one tick did, as it is added up."""

    rescues: int = 0
    ingest_rescues: int = 0
    escalations: int = 0
    drift: int = 0
    swept_files: int = 0
    purged_inputs: int = 0
    purged_jobs: int = 0
    purged_rows: int = 0
    erased_jobs: int = 0
    lost_files: int = 0
