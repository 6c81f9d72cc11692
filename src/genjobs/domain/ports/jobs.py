"""Ports to the jobs: the tenant's store, and the system's ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from genjobs.domain.attempts import (
    Assignment,
    Beat,
    BeatReply,
    Execution,
    Outcome,
    Recorded,
    Rescue,
    StartedJob,
)
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import Created, Idempotency, Job, JobError, JobQuery, NewJob
from genjobs.domain.tenancy import Owner, Reach


class JobStore(Protocol):
    """
    The tenant's side of the jobs: every method names a tenant, no read changes anything.

    A job outside the given reach must be indistinguishable from one that does not exist. Every
    method raises ``Unavailable`` when the database cannot be reached; after a failed ``create``
    or ``request_cancel`` the outcome is unknown and a repeat must be safe.
    """

    async def find_submitted(
        self, owner: Owner, idempotency: Idempotency, *, now: datetime
    ) -> Job | None:
        """
        Return the job that this owner submitted under the key in the last 24 hours, or None.

        None also while all that is the owner's is being erased: ``create`` then says so.

        Raises:
            IdempotencyMismatch: the key was used with another fingerprint.
        """

    async def create(self, job: NewJob) -> Created:
        """
        Store a job, its workflow and its idempotency key in one transaction.

        When the owner's idempotency key is taken by an equal request of the last 24 hours, return
        that request's job as it is now, having stored and counted nothing. A concurrent create
        under the same key must wait for the first and then be such a replay.

        Limits of tenant and user are judged and counted in the same transaction: no number of
        concurrent creates may get past one. A refused request leaves nothing, its key included.

        Raises:
            UserBeingErased: all that is the owner's is being erased.
            IdempotencyMismatch: the key was used with another fingerprint.
            UnknownPlan: the tenant has no plan of the name.
            UnknownUpload: an upload is not the owner's, has expired, or is being removed. From
                the create on, one that is there is kept for as long as the job's data.
            PlanLimit: priority, run time-out or retention go beyond the limits.
            RateLimited, QueueFull, QuotaExceeded: a limit is reached, of the user or the tenant.
        """

    async def get(self, reach: Reach, job_id: JobId) -> Job | None:
        """Return the job with phase, progress and queue position, or None."""

    async def list_jobs(self, reach: Reach, query: JobQuery) -> Sequence[Job]:
        """
        Return at most ``query.limit`` jobs that match, by id descending.

        Listed jobs carry no queue position (it would cost a count for each).
        """

    async def request_cancel(self, reach: Reach, job_id: JobId, *, now: datetime) -> Job | None:
        """
        Record that the job shall stop, and return it as it is then; None when there is none.

        * queued: it must be ``cancelled`` at once with method ``dequeued``, and its slot freed;
        * running: the request is recorded, and must be in the answer to the next heartbeat;
        * final, or cancelled before: nothing changes.
        """

    async def check(self) -> None:
        """Raise ``Unavailable`` unless the database answers with the schema this code needs."""


class JobLedger(Protocol):
    """
    The system's side of the jobs: dispatch, attempts and supervision, over all tenants.

    Fencing: ``heartbeat``, ``finish`` and ``release`` must change nothing unless the named
    execution holds the named attempt's slot. Any number of workers and supervisors call these
    at once.
    """

    async def dispatch(self, *, now: datetime, limit: int) -> Sequence[Assignment]:
        """
        Give free slots to at most ``limit`` eligible queued jobs whose pause is over.

        Each gets attempt n+1 and a start deadline. A job that holds a slot must not be given
        another one. Slots go to the tenant with the fewest in flight for its weight, within it to
        the user with the fewest for theirs; of equal ones to the least recently served. Who is
        at its limit of jobs in flight is passed over. Among one user's jobs higher priority goes
        first, then age.
        """

    async def start(
        self,
        assignment: Assignment,
        execution_id: ExecutionId,
        *,
        now: datetime,
        call_id: str | None = None,
    ) -> StartedJob:
        """
        Make the attempt running under this execution, and its lease begin.

        ``call_id`` tells who runs it, in the words of ``WorkerControl``.

        Must succeed only if the job is queued, the attempt is its latest, holds its slot and was
        never started; or if this same execution started it before (the answer is the same).

        Raises:
            StaleAttempt: in every other case; nothing was changed.
        """

    async def heartbeat(
        self, beats: Sequence[Beat], *, now: datetime
    ) -> Mapping[ExecutionId, BeatReply]:
        """Renew leases and store phase and progress, in one statement; answer each beat."""

    async def finish(self, execution: Execution, outcome: Outcome, *, now: datetime) -> Recorded:
        """
        Record how the attempt ended and free its slot.

        With a cancel requested, ``Failed`` becomes ``cancelled`` and ``Completed`` stays
        completed with the receipt ``too_late``. ``Stopped`` without a requested cancel is not
        an outcome of a job and must requeue it uncharged. A repeat by the same execution must
        answer ``YOURS`` and change nothing.
        """

    async def release(self, execution: Execution, *, now: datetime) -> Recorded:
        """
        Give a started attempt back: the job is queued again at once, the attempt not charged.

        With a cancel requested the job is cancelled instead.
        """

    async def crash(self, execution: Execution, error: JobError, *, now: datetime) -> Recorded:
        """
        End a started attempt that its machine failed, not the workflow.

        Charged, and then as for a lost worker: queued after a pause, with a fresh queue
        deadline; failed with ``error`` when no attempt is left; cancelled if that was requested.
        """

    async def expire_queued(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """Fail at most ``limit`` queued jobs past their queue deadline as ``queue_timeout``."""

    async def rescue_lost(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """
        Take at most ``limit`` attempts from workers whose lease has run out.

        Charged is who held the renderer, and who said no ``call_id``. Others are spared, but only
        as often as a job may be charged; then they are charged too. Attempts left, or spared:
        queued after a pause, with a fresh queue deadline; none left: failed ``worker_lost``;
        cancel requested: cancelled with method ``worker_lost``.
        """

    async def reclaim_unstarted(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """Free at most ``limit`` slots whose start deadline has passed; not charged."""

    async def prune(self, *, now: datetime, limit: int) -> Pruned:
        """
        Remove what nobody needs any more, at most ``limit`` of each, and return how many.

        That is idempotency keys past their 24 hours, and the counts of users who have had nothing
        here since the day before yesterday and have no plan of their own.
        """

    async def overview(self, *, now: datetime) -> Overview:
        """Return the figures operators watch; reads only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How much was removed."""

    keys: int
    loads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The figures operators watch."""

    slots_total: int
    slots_free: int
    queued: int
    running: int
    #: Age of the oldest job that could be dispatched, in seconds; None when there is none.
    oldest_eligible_seconds: float | None
    open_cancels: int
    #: Since the oldest of the 1,000 queued jobs that expire next was submitted.
    oldest_queued_seconds: float | None = None
    #: Since the oldest cancel was requested that has not taken effect.
    oldest_cancel_seconds: float | None = None
    #: Whether the dispatch is paused.
    paused: bool = False
    #: Since the last tick of any supervisor; None when there was none.
    last_tick_seconds: float | None = None
    #: How long ago the retention ended of the job that should have been purged first.
    purge_overdue_seconds: float | None = None
    #: Sums of all ticks: attempts and ingests rescued, cancels escalated, wrong counts mended,
    #: files swept; jobs whose inputs went, that were purged, whose rows went, that were erased;
    #: files that a job named and that are given up as lost.
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
    #: Erasures that go on, up to 1,000, and since when the oldest of them was asked for.
    open_erasures: int = 0
    oldest_erasure_seconds: float | None = None
    #: Files that a job names and the store has not, up to 1,000.
    missing_files: int = 0
