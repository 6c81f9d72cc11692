"""
Ingests: jobs whose media must be fetched before they are eligible, and the claims that fetch them.

Uploads are fetched from the artifact store, all else by URL.

Like an attempt, a claim is numbered, leased and fenced by an execution id. How fetching is done
is ``application.ingest``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.media import MediaKind
from genjobs.domain.tenancy import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """The file of an upload, to be copied."""

    #: ``upl_...``
    id: str
    key: ArtifactKey
    #: As declared; a file of another length is refused.
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMedia:
    """A media entry of a job that is still to be fetched."""

    #: Position in the request, from 0.
    index: int
    name: str
    #: Where to download it from; None when it was uploaded.
    url: str | None = None
    #: What was uploaded; None when it is to be downloaded.
    upload: Uploaded | None = None
    #: What the nodes that use it take; empty when none does.
    kinds: frozenset[MediaKind] = frozenset()

    def __repr__(self) -> str:
        return f"PendingMedia({self.index}, {self.name!r})"  # a URL can be a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestExecution:
    """The fence: one process's claim of one job's ingest."""

    owner: Owner
    job_id: JobId
    #: Number of the claim, never reused within a job.
    claim: int
    execution_id: ExecutionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """What a claim has to do."""

    execution: IngestExecution
    media: tuple[PendingMedia, ...]
    #: After it the job fails, whoever has claimed it.
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRules:
    """The deployment's durations and bounds."""

    #: From submit until all media must be stored.
    deadline: timedelta = timedelta(minutes=15)
    #: How long a silent process keeps its claim, and how often it renews it.
    lease: timedelta = timedelta(seconds=30)
    heartbeat: timedelta = timedelta(seconds=5)
    #: Claims that may fail before the job does.
    tries: int = 3
    #: Pause after the first failed claim; doubles with each.
    backoff: timedelta = timedelta(seconds=5)
    #: Pause before a claim is given back because a part of the service is away.
    outage_pause: timedelta = timedelta(seconds=5)
    #: Jobs that are fetched at once.
    per_tenant: int = 32
    per_user: int = 4
