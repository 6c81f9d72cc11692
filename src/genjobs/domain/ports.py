"""
The driven ports: what genjobs needs from the outside, as Protocols whose docstrings are contracts.

Every "must" below is a test in ``genjobs.testing.contracts`` that the in-memory fake and each
real adapter pass. An adapter translates its vendor's errors at its edge: callers see only classes
of ``domain.errors``; a backend that cannot be reached, or does not answer in time, is
``Unavailable``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from genjobs.domain.artifacts import ArtifactKey, StoredFile
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
from genjobs.domain.job import Idempotency, Job, JobError, JobQuery, NewJob, Progress
from genjobs.domain.media import MediaKind
from genjobs.domain.tenancy import Owner, Principal, Reach
from genjobs.domain.workflow import Workflow


class Clock(Protocol):
    """The time; everything that compares times takes them from here."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""


class IdSource(Protocol):
    """Where new identifiers come from."""

    def uuid7(self, at: datetime) -> UUID:
        """Return a new UUIDv7 of time ``at``; two calls never return the same."""

    def uuid4(self) -> UUID:
        """Return a new random UUID."""


class Authenticator(Protocol):
    """Turns a bearer credential into a principal."""

    async def authenticate(self, token: str) -> Principal:
        """
        Return who holds ``token``; it must be compared in constant time.

        Raises:
            Unauthenticated: the token is not a valid one; nothing says why.
            Unavailable: the keys cannot be read.
        """


class JobStore(Protocol):
    """
    The tenant's side of the jobs: every method names a tenant, no read changes anything.

    A job outside the given reach must be indistinguishable from one that does not exist. Every
    method raises ``Unavailable`` when the database cannot be reached; after a failed ``create``
    or ``request_cancel`` the outcome is unknown and a repeat must be safe.
    """

    async def find_submitted(self, owner: Owner, idempotency: Idempotency) -> Job | None:
        """
        Return the job that this owner submitted before under the key, None when there is none.

        Raises:
            IdempotencyMismatch: the key was used with another fingerprint.
        """

    async def create(self, job: NewJob) -> tuple[Job, bool]:
        """
        Store a job, its workflow and its idempotency key in one transaction, eligible at once.

        Return the job and False; or, when the owner's idempotency key is taken by an equal
        request, that request's job as it is now and True, having stored nothing. A concurrent
        create under the same key must wait for the first and then be such a replay.

        Raises:
            IdempotencyMismatch: the key was used with another fingerprint.
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
        another one. Among one user's jobs higher priority goes first, then age.
        """

    async def start(
        self, assignment: Assignment, execution_id: ExecutionId, *, now: datetime
    ) -> StartedJob:
        """
        Make the attempt running under this execution, and its lease begin.

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

        Charged. Attempts left: queued after a pause, with a fresh queue deadline; none left:
        failed ``worker_lost``; cancel requested: cancelled with method ``worker_lost``.
        """

    async def reclaim_unstarted(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """Free at most ``limit`` slots whose start deadline has passed; not charged."""

    async def overview(self, *, now: datetime) -> Overview:
        """Return the figures operators watch; reads only."""


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


class Signals(Protocol):
    """Wakes what waits for jobs, in this process; a lost wake-up only costs a polling interval."""

    def wake(self) -> None:
        """Tell every waiter that a job may have become eligible or a slot free."""

    async def wait(self, seconds: float) -> None:
        """Return on the next wake, or after ``seconds``."""


class ArtifactStore(Protocol):
    """
    Files under keys; the only place where media and outputs live.

    Nothing is held in memory whole. All methods raise ``Unavailable`` when the store cannot be
    reached or does not answer in time.
    """

    async def put(
        self, key: ArtifactKey, chunks: AsyncIterator[bytes], *, content_type: str
    ) -> StoredFile:
        """
        Store a file from its chunks and return what was measured.

        The file must appear whole or not at all, also when ``chunks`` raises or the task is
        cancelled; a file of the same key is replaced at once.
        """

    def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """
        Open a file as chunks of at most 1 MiB; ``NotFound`` on entering when there is none.

        ``start`` and ``length`` (bytes) choose a part of it.
        """

    async def stat(self, key: ArtifactKey) -> int | None:
        """Return the file's size in bytes, None when there is none."""

    async def delete(self, keys: Sequence[ArtifactKey]) -> None:
        """Remove files; a key without a file is no error."""

    async def delete_prefix(self, prefix: str) -> int:
        """Remove every file whose key starts with ``prefix`` (ends in ``/``); return how many."""

    def signed_url(
        self, key: ArtifactKey, *, expires_at: datetime, filename: str, content_type: str
    ) -> str:
        """
        Return a URL that serves the file by GET until ``expires_at`` and not after.

        It must serve ``Content-Disposition: attachment`` with ``filename``, ``content_type`` and
        ``X-Content-Type-Options: nosniff``; changing any part of the URL must make it useless.
        No I/O: signing is computation.
        """

    async def check(self) -> None:
        """Raise ``Unavailable`` unless the store can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFile:
    """What a valid signed URL stands for."""

    key: ArtifactKey
    bytes: int
    filename: str
    content_type: str


class SignedFiles(Protocol):
    """The serving side of signed URLs, for a store whose URLs the API itself answers."""

    async def resolve(self, key: str, query: Mapping[str, str], *, now: datetime) -> SignedFile:
        """Return the file of a signed GET; ``NotFound`` for any other request, never saying why."""

    def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a resolved file, or a part of it, as the artifact store does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSize:
    """Pixels."""

    width: int
    height: int


class MediaProbe(Protocol):
    """Looks into media without trusting them."""

    def picture_size(self, head: bytes) -> PictureSize | None:
        """Return the size of the picture that starts with ``head`` (64 KiB), None if unreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFile:
    """An output the engine reports: a file it holds, or a text in ``text``."""

    node_id: str
    name: str
    #: The engine's own reference, opaque to everyone else.
    reference: Mapping[str, str]
    kind: MediaKind
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A successful render: at least one deliverable output."""

    outputs: tuple[EngineFile, ...]


class StopSignal(Protocol):
    """Tells a render that it shall stop; ``asyncio.Event`` is one."""

    def is_set(self) -> bool:
        """Whether a stop was asked for."""

    async def wait(self) -> Any:
        """Return once a stop was asked for."""


class WorkflowEngine(Protocol):
    """
    Something that renders workflows: ComfyUI, one prompt at a time.

    ``execution_id`` names the render everywhere; files of one render are never visible to
    another.
    """

    async def stage(
        self, execution_id: ExecutionId, filename: str, chunks: AsyncIterator[bytes]
    ) -> str:
        """
        Put an input file where the engine can load it; return the name nodes must use.

        ``filename`` is one path part chosen by genjobs, unique within the render. Streams.

        Raises:
            EngineFailed: the engine cannot be reached or refuses the file.
        """

    async def render(
        self,
        execution_id: ExecutionId,
        workflow: Workflow,
        files: Mapping[str, str],
        *,
        on_progress: Callable[[Progress], None],
        stop: StopSignal,
    ) -> Rendered:
        """
        Run the workflow to its end and return what it made.

        ``files`` maps media names to what :meth:`stage` returned. Progress is reported often and
        must never go back. Returns or raises only after the engine has been *seen* in a terminal
        state for this render, or has been lost. When ``stop`` is set, the engine is asked to stop
        this render, and no other, again and again until that is seen.

        Raises:
            RenderInterrupted: it stopped because of ``stop``. A render that finishes although
                asked to stop returns normally.
            WorkflowRefused: the engine did not accept it, or only parts of it.
            NodeError, OutOfMemory, NoOutput: as their docstrings say.
            EngineFailed: the engine was lost, or forgot the render.
        """

    def read(self, file: EngineFile) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """
        Open an output file as chunks; ``NoOutput`` on entering when the engine has no such file.

        Raises:
            EngineFailed: the engine cannot be reached.
        """

    async def discard(self, execution_id: ExecutionId) -> None:
        """Remove the render's inputs, outputs and history from the engine, as far as it can."""

    async def check(self) -> None:
        """Raise ``EngineFailed`` unless the engine answers."""


__all__ = [
    "ArtifactStore",
    "Authenticator",
    "Clock",
    "EngineFile",
    "IdSource",
    "JobLedger",
    "JobStore",
    "MediaProbe",
    "Overview",
    "PictureSize",
    "Rendered",
    "Signals",
    "SignedFile",
    "SignedFiles",
    "StopSignal",
    "WorkflowEngine",
]
