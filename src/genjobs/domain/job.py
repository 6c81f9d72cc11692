"""
A job and its parts as values: what is stored, read and reported.

Values are frozen; a change is a new value. Who changes them, and when, is in ``application`` and
the stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from genjobs.domain.artifacts import InputFile, Output
from genjobs.domain.errors import JobFailure
from genjobs.domain.ids import JobId, UploadId, parse_upload_id
from genjobs.domain.ingests import PendingMedia
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.plans import Allowance
from genjobs.domain.tenancy import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the render of a running job is."""

    #: 0.0 to 1.0 over all nodes, the steps of the present one included; never goes back.
    fraction: float
    node_id: str | None = None
    node_class: str | None = None
    step: int | None = None
    steps: int | None = None
    nodes_done: int = 0
    nodes_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed, in public words."""

    code: str
    message: str
    node_id: str | None = None
    node_class: str | None = None
    retryable: bool = False

    @classmethod
    def of(cls, failure: JobFailure) -> JobError:
        """Return the public record of ``failure``."""
        return cls(
            code=failure.code,
            message=failure.message,
            node_id=failure.node_id,
            node_class=failure.node_class,
            retryable=failure.retryable,
        )


class CancelMethod(StrEnum):
    """How a cancelled job came to stop."""

    DEQUEUED = "dequeued"
    INTERRUPTED = "interrupted"
    PROCESS_KILLED = "process_killed"
    CONTAINER_TERMINATED = "container_terminated"
    WORKER_LOST = "worker_lost"
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """The receipt of a cancel; ``method`` is None while the engine is being stopped."""

    requested_at: datetime
    method: CancelMethod | None = None
    #: When the engine was seen to have stopped; None when nobody saw it.
    stopped_at: datetime | None = None
    gpu_seconds_after_request: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds spent; None where the job has not been yet."""

    queue_seconds: float | None = None
    prepare_seconds: float | None = None
    render_seconds: float | None = None
    upload_seconds: float | None = None
    gpu_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One workflow of one user, from submit to its end."""

    id: JobId
    owner: Owner
    status: JobStatus
    #: Whether all inputs are stored; only an eligible job is dispatched.
    eligible: bool
    #: Number of the latest attempt; 0 before the first dispatch.
    attempt: int
    priority: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    purged_at: datetime | None = None
    #: When a queued job fails as ``queue_timeout``.
    queue_deadline: datetime
    run_timeout: timedelta
    retention: timedelta
    phase: Phase | None = None
    progress: Progress | None = None
    #: Place among the same user's eligible jobs, from 1; None unless queued and eligible. Others
    #: that pause after a lost worker need not be counted.
    queue_position: int | None = None
    inputs: tuple[InputFile, ...] = ()
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    cancellation: Cancellation | None = None
    timings: Timings = field(default_factory=Timings)
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Grows with every change that a reader can see.
    version: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """A caller's Idempotency-Key with the fingerprint of its request (32 bytes)."""

    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a submit writes, at once or not at all."""

    id: JobId
    owner: Owner
    #: Canonical JSON text of the API-format graph.
    workflow: bytes
    inputs: tuple[InputFile, ...]
    priority: int
    metadata: Mapping[str, str]
    created_at: datetime
    queue_deadline: datetime
    run_timeout: timedelta
    retention: timedelta
    #: Whether the caller asked for these: a default bows to the plan, a wish is refused.
    run_timeout_asked: bool = False
    retention_asked: bool = False
    #: The plan that the user has from now on; None leaves it as it is.
    plan: str | None = None
    idempotency: Idempotency | None = None
    #: Media still to be fetched: with any, the job is not eligible before they are stored.
    pending: tuple[PendingMedia, ...] = ()
    #: When the job fails if they are not; the queue deadline lies after it.
    ingest_deadline: datetime | None = None

    @property
    def uploads(self) -> frozenset[UploadId]:
        """The uploads that the job refers to."""
        return frozenset(
            parse_upload_id(item.upload.id) for item in self.pending if item.upload is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """What became of a submit."""

    job: Job
    #: Whether it is the job of an earlier submit under the same key.
    replayed: bool
    #: What is left of the user's rate; None for a replay, and when there is no rate.
    allowance: Allowance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """One page of a listing, newest first."""

    limit: int
    #: Return jobs older than this one.
    before: JobId | None = None
    statuses: frozenset[JobStatus] = frozenset()
    #: Inclusive.
    created_after: datetime | None = None
    #: Exclusive.
    created_before: datetime | None = None
