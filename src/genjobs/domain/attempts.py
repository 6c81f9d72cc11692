"""
Attempts: the numbered tries of a job, how their writes are fenced, and what they report.

Every write of a worker names (job, attempt, execution). An attempt number is never reused, and
the first execution to start an attempt is the only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from genjobs.domain.artifacts import InputFile, Output
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import CancelMethod, JobError, Progress, Timings
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.tenancy import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A dispatched attempt: a job that holds a slot and waits for its worker."""

    owner: Owner
    job_id: JobId
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """The fence: one worker's run of one attempt."""

    owner: Owner
    job_id: JobId
    attempt: int
    execution_id: ExecutionId


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedJob:
    """What a worker needs to run the attempt it has started."""

    execution: Execution
    workflow: bytes
    inputs: tuple[InputFile, ...]
    run_timeout: timedelta
    #: A cancel may arrive between dispatch and start's answer on a repeated start.
    cancel_requested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life of one execution."""

    execution: Execution
    phase: Phase
    progress: Progress | None


class BeatReply(StrEnum):
    """What a worker is told in answer to its heartbeat."""

    GO_ON = "go_on"
    CANCEL = "cancel"
    #: The lease is gone: another attempt may own the job; stop and write nothing.
    LEASE_LOST = "lease_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """All outputs are stored."""

    outputs: tuple[Output, ...]
    timings: Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt cannot succeed and neither would another."""

    error: JobError
    timings: Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A requested cancel took effect: the engine was seen in a terminal state."""

    method: CancelMethod
    stopped_at: datetime | None
    gpu_seconds_after_request: float | None
    timings: Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed:
    """The machine failed, not the workflow: another attempt may succeed."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The attempt is given back unfinished, and not charged."""


Outcome = Completed | Failed | Stopped


class Recorded(StrEnum):
    """What became of a reported outcome."""

    #: It is the recorded outcome now, or was already (a repeat by the same execution).
    YOURS = "yours"
    #: Another attempt owns the job or its outcome; nothing was changed.
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """What the supervisor did with one job."""

    owner: Owner
    job_id: JobId
    attempt: int
    #: The state the job is in now.
    status: JobStatus
