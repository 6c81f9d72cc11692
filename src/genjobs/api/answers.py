"""Response shapes of ``/v1``, described for OpenAPI; ``views`` and the routes make them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from genjobs.api import examples
from genjobs.domain.erasure import ErasureKind
from genjobs.domain.errors import JobFailure, leaves
from genjobs.domain.job import CancelMethod
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.media import MediaKind
from genjobs.domain.tenancy import Scope

_FAILURES: list[JsonValue] = [*sorted(failure.code for failure in leaves(JobFailure))]


class ProgressOut(BaseModel):
    """How far the render is."""

    fraction: float
    node_id: str | None
    node_class: str | None
    step: int | None
    steps: int | None
    nodes_done: int
    nodes_total: int


class QueueOut(BaseModel):
    """Where a queued job stands among the same user's jobs; null while inputs load."""

    position: int | None


class OutputOut(BaseModel):
    """A delivered file with a link that works until ``url_expires_at``."""

    id: str
    node_id: str
    name: str
    kind: MediaKind
    content_type: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    url: str
    url_expires_at: datetime


class ErrorOut(BaseModel):
    """Why a job failed."""

    code: str = Field(json_schema_extra={"enum": _FAILURES})
    message: str
    node_id: str | None
    node_class: str | None
    retryable: bool


class CancellationOut(BaseModel):
    """The receipt of a cancel."""

    requested_at: datetime
    method: CancelMethod | None
    stopped_at: datetime | None
    gpu_seconds_after_request: float | None


class TimingsOut(BaseModel):
    """Seconds spent."""

    queue_seconds: float | None
    prepare_seconds: float | None
    render_seconds: float | None
    upload_seconds: float | None
    gpu_seconds: float | None


class UrlsOut(BaseModel):
    """Where to go on."""

    self: str
    cancel: str


class JobOut(BaseModel):
    """A job."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.JOB]})

    id: str = Field(examples=["job_01kb3v9m2xf0wtq7m8e5n4d3rc"])
    object: Literal["job"]
    status: JobStatus
    phase: Phase | None
    user_id: str
    attempt: int
    priority: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    purged_at: datetime | None
    progress: ProgressOut | None
    queue: QueueOut | None
    outputs: list[OutputOut]
    error: ErrorOut | None
    cancellation: CancellationOut | None
    timings: TimingsOut
    metadata: dict[str, str]
    urls: UrlsOut


class JobPageOut(BaseModel):
    """A page of jobs, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.JOB_PAGE]})

    data: list[JobOut]
    has_more: bool
    next_cursor: str | None


class FieldErrorOut(BaseModel):
    """One member that is at fault."""

    pointer: str
    code: str
    detail: str


class ProblemOut(BaseModel):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str
    errors: list[FieldErrorOut] = Field(default=[], description="Which members are at fault")


class TokenOut(BaseModel):
    """A token: the bearer credential of one user's browser."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.TOKEN]})

    object: Literal["token"]
    token: str
    user_id: str
    scopes: list[Scope]
    expires_at: datetime


class UploadOut(BaseModel):
    """An upload: put the file to ``url`` with ``headers``, then name ``id`` in ``media``."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UPLOAD]})

    id: str = Field(examples=["upl_01kb3v9m2xf0wtq7m8e5n4d3rc"])
    object: Literal["upload"]
    user_id: str
    filename: str
    content_type: str
    bytes: int
    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    url_expires_at: datetime
    created_at: datetime
    expires_at: datetime


class LimitsOut(BaseModel):
    """Limits; null does not limit. Days are in UTC."""

    submits_per_second: float | None
    submit_burst: int | None
    max_queued: int | None
    max_uploads: int | None
    max_in_flight: int | None
    jobs_per_day: int | None
    bytes_per_day: int | None
    max_priority: int | None
    max_run_seconds: float | None
    retention_seconds: float | None
    max_retention_seconds: float | None
    weight: float
    browser_writes: bool


class UsedOut(BaseModel):
    """What is used."""

    queued: int
    in_flight: int
    jobs_today: int
    bytes_today: int
    uploads: int


class UsagePartOut(BaseModel):
    """Limits of a tenant and what is used of them."""

    limits: LimitsOut
    used: UsedOut


class UserUsageOut(UsagePartOut):
    """Limits of a user and what is used of them."""

    plan: str | None


class UsageOut(BaseModel):
    """A part is null when it was not asked for, or is not the caller's to know."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.USAGE]})

    object: Literal["usage"]
    tenant: UsagePartOut | None
    user: UserUsageOut | None


class ErasedOut(BaseModel):
    """How much was removed so far."""

    jobs: int
    files: int
    uploads: int
    idempotency_keys: int


class ErasureOut(BaseModel):
    """An erasure; once completed, its receipt."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ERASURE]})

    id: str = Field(examples=["era_01kb3v9m2xf0wtq7m8e5n4d3rc"])
    object: Literal["erasure"]
    kind: ErasureKind
    status: Literal["running", "completed"]
    requested_at: datetime
    finished_at: datetime | None
    erased: ErasedOut
