"""The rows that the in-memory store and ledger share; each takes only steps of the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from genjobs.domain.attempts import Rescue
from genjobs.domain.capacity import PoolMemory
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ErasureId, ExecutionId, JobId, TenantId, UploadId
from genjobs.domain.ingests import PendingMedia
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobEvent, JobStatus, after
from genjobs.domain.plans import DefaultLimits
from genjobs.domain.reconciliation import JobPlace, MissingFile
from genjobs.domain.supervision import Deeds
from genjobs.domain.tenancy import Owner, Reach
from genjobs.domain.uploads import Upload
from genjobs.testing.memory_tenants import MemoryTenants


@dataclass(slots=True, kw_only=True)
class Slot:
    """A place of the dispatch window, taken."""

    attempt: int
    start_deadline: datetime | None
    execution_id: ExecutionId | None = None
    lease_expires_at: datetime | None = None
    cancel_requested: bool = False
    call_id: str | None = None
    terminations: int = 0
    terminate_after: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Times:
    """When an attempt was given out and started, and what it took."""

    job_id: JobId
    attempt: int
    dispatched_at: datetime
    waited: float | None = None
    gpu_seconds: float | None = None
    prepare_seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class Shared:
    """What supervisors share."""

    ticked_at: datetime | None = None
    gaps: int = 0
    grace_until: datetime | None = None
    paused_at: datetime | None = None
    recounted: int = 0
    swept: str = ""
    sweep_due: datetime | None = None
    walked: JobPlace = field(default_factory=JobPlace)
    walk_due: datetime | None = None
    deeds: Deeds = field(default_factory=Deeds)
    pool_due: datetime | None = None
    pool: PoolMemory = field(default_factory=PoolMemory)

    def lapsed(self, lease_expires_at: datetime | None, now: datetime) -> bool:
        """Whether a lease counts as run out."""
        if lease_expires_at is None or lease_expires_at > now:
            return False
        return self.grace_until is None or self.grace_until <= now


@dataclass(slots=True, kw_only=True)
class IngestState:
    """A job's place in the ingest, until its media are stored."""

    media: tuple[PendingMedia, ...]
    not_before: datetime
    deadline: datetime
    claim: int = 0
    tries: int = 0
    execution_id: ExecutionId | None = None
    lease_expires_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class UploadRow:
    """An upload as it is stored."""

    upload: Upload
    #: When the purge looks at it.
    due_at: datetime
    #: The jobs that refer to it; ``used`` stays when they are gone.
    jobs: set[JobId] = field(default_factory=set)
    used: bool = False
    leaving: bool = False

    def usable(self, owner: Owner, now: datetime) -> bool:
        """Whether a job of ``owner`` may be submitted with it."""
        kept = self.used or self.upload.expires_at > now
        return self.upload.owner == owner and kept and not self.leaving

    def release(self, job_id: JobId, now: datetime) -> None:
        """Note that a job refers to it no more; it is due when none does."""
        if job_id in self.jobs:
            self.jobs.remove(job_id)
            if not self.jobs and not self.leaving:
                self.due_at = now


@dataclass(slots=True, kw_only=True)
class Row:
    """A job as it is stored; ``job`` is the public part."""

    job: Job
    workflow: bytes
    not_before: datetime
    #: Whether ``not_before`` must have come; no other job waits for the clock.
    paused: bool = False
    queue_timeout: timedelta
    eligible_at: datetime | None
    ingest: IngestState | None = None
    #: Executions whose claim of the ingest is settled, and whether by finishing it: for repeats
    #: after a lost answer.
    ingested_by: dict[ExecutionId, bool] = field(default_factory=dict)
    version: int = 1
    charged: int = 0
    spared: int = 0
    inputs_purged_at: datetime | None = None
    purge_taken_until: datetime | None = None
    slot: Slot | None = None
    #: Attempts to what their calls are named.
    call_ids: dict[int, str] = field(default_factory=dict)
    #: Attempt and execution to how it ended, for repeats after a lost answer.
    ended: dict[tuple[int, ExecutionId], str] = field(default_factory=dict)

    def step(self, event: JobEvent, **changes: object) -> None:
        """Take a step of the lifecycle; refuses one that the table has not."""
        self.version += 1
        status = after(self.job.status, event)
        self.job = dataclasses.replace(
            self.job,
            status=status,
            version=str(self.version),
            **changes,  # type: ignore[arg-type]
        )

    def rescue(self) -> Rescue:
        """Return what the supervisor says of the job."""
        return Rescue(
            owner=self.job.owner,
            job_id=self.job.id,
            attempt=self.job.attempt,
            status=self.job.status,
        )

    @property
    def ready(self) -> bool:
        """Whether the job waits for a slot."""
        return self.job.status is JobStatus.QUEUED and self.job.eligible and self.slot is None


class MemoryJobs:
    """The data that a store and a ledger share; ``available`` switches an outage."""

    def __init__(
        self,
        *,
        window: int = 64,
        deadlines: Deadlines | None = None,
        limits: DefaultLimits | None = None,
    ) -> None:
        self.window = window
        self.tenants = MemoryTenants(limits)
        self.deadlines = deadlines or Deadlines()
        self.available = True
        self._shared = Shared()
        #: Of all attempts that there were, in the order in which they were given out.
        self.times: list[Times] = []
        #: Who hears directly of the cancel of a running job.
        self.listeners: list[Callable[[ExecutionId | None], None]] = []
        self._rows: dict[JobId, Row] = {}
        #: Erasures, and the users who may not submit for one; of another module, which knows them.
        self._erasures: dict[ErasureId, Any] = {}
        self.erased_users: set[Owner] = set()
        #: Files that are missing, and since when.
        self._missing: dict[MissingFile, datetime] = {}
        self._keys: dict[tuple[Owner, str], tuple[bytes, JobId, datetime]] = {}
        self._uploads: dict[UploadId, UploadRow] = {}

    @property
    def rows(self) -> dict[JobId, Row]:
        """The jobs; ``Unavailable`` during an outage, which so reaches every method."""
        self.reach()
        return self._rows

    @property
    def shared(self) -> Shared:
        """What supervisors share; as ``rows``."""
        self.reach()
        return self._shared

    @property
    def erasures(self) -> dict[ErasureId, Any]:
        """The erasures; as ``rows``."""
        self.reach()
        return self._erasures

    @property
    def missing(self) -> dict[MissingFile, datetime]:
        """Files that are missing, and since when; as ``rows``."""
        self.reach()
        return self._missing

    @property
    def keys(self) -> dict[tuple[Owner, str], tuple[bytes, JobId, datetime]]:
        """Who submitted what under which idempotency key, and when; as ``rows``."""
        self.reach()
        return self._keys

    def times_of(self, job_id: JobId, attempt: int) -> Times:
        """Return the times of an attempt that was given out."""
        return next(
            one for one in reversed(self.times) if (one.job_id, one.attempt) == (job_id, attempt)
        )

    @property
    def uploads(self) -> dict[UploadId, UploadRow]:
        """The uploads; as ``rows``."""
        self.reach()
        return self._uploads

    def unused_uploads(self, of: TenantId | Owner) -> int:
        """Return how many uploads of a tenant or user no job was submitted with."""
        return sum(
            not (row.used or row.leaving) and of in (row.upload.owner, row.upload.owner.tenant_id)
            for row in self.uploads.values()
        )

    def release_uploads(self, job_id: JobId, now: datetime) -> None:
        """Let a job whose data go refer to no upload; what no other refers to is due at once."""
        for row in self.uploads.values():
            if job_id in row.jobs:
                row.jobs.remove(job_id)
                if not row.jobs:
                    row.due_at = now

    def tell_of_cancel(self, execution_id: ExecutionId | None) -> None:
        """Tell those who listen that a running job shall stop."""
        for heard in self.listeners:
            heard(execution_id)

    def reach(self) -> None:
        """Raise ``Unavailable`` during an outage."""
        if not self.available:
            raise Unavailable

    def within(self, reach: Reach, job_id: JobId) -> Row | None:
        """Return a row if it is within reach."""
        row = self.rows.get(job_id)
        if row is None or row.job.owner.tenant_id != reach.tenant_id:
            return None
        return row if reach.user_id in (None, row.job.owner.user_id) else None

    def in_flight(self, of: TenantId | Owner) -> int:
        """Return how many jobs of a tenant or user hold a slot."""
        return sum(
            row.slot is not None and of in (row.job.owner, row.job.owner.tenant_id)
            for row in self.rows.values()
        )

    def queued(self, of: TenantId | Owner) -> int:
        """Return how many jobs of a tenant or user wait without a slot."""
        return sum(
            row.slot is None
            and row.job.status is JobStatus.QUEUED
            and of in (row.job.owner, row.job.owner.tenant_id)
            for row in self.rows.values()
        )

    def waiting(self) -> list[Row]:
        """Return the rows that wait for a slot, oldest first."""
        return sorted(
            (row for row in self.rows.values() if row.ready),
            key=lambda row: (row.not_before, row.job.id),
        )
