"""
Submit a job: check the request, store what came along, create it once.

What is named by URL is judged here, what was uploaded is found; both are fetched by the ingest,
before the job is eligible. Which HTTP status a refusal becomes is the API's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.application.catalogues import Catalogues
from genjobs.application.check_media import CheckMedia
from genjobs.application.denials import Denials
from genjobs.application.submission import (
    InlineMedia,
    MediaByUrl,
    MediaSource,
    Submission,
    check_fields,
    check_media,
    idempotency_of,
    wanted_kinds,
)
from genjobs.application.together import together
from genjobs.application.uploaded_media import FindUploads
from genjobs.domain.artifacts import InputFile, input_key, job_prefix
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import (
    GenjobsError,
    InvalidMedia,
    RateLimited,
    Unavailable,
    UrlNotAllowed,
)
from genjobs.domain.ids import JobId
from genjobs.domain.ingests import PendingMedia
from genjobs.domain.job import Created, NewJob
from genjobs.domain.limits import MAX_MEDIA
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import ArtifactStore, Clock, IdSource, JobStore, Signals, UrlFetcher
from genjobs.domain.tenancy import Owner
from genjobs.domain.workflow import parse_workflow

#: For all URLs of a request together: they are judged at once.
_JUDGE_SECONDS: Final = 2.0
_CHUNK: Final = 256 * 1024
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitJob:
    """The use case; ``await submit(owner, submission)``."""

    jobs: JobStore
    artifacts: ArtifactStore
    clock: Clock
    ids: IdSource
    signals: Signals
    catalogues: Catalogues
    denials: Denials
    deadlines: Deadlines
    fetcher: UrlFetcher
    find_uploads: FindUploads
    check: CheckMedia
    ingest_deadline: timedelta
    #: Media entries of one job.
    max_media: int = MAX_MEDIA

    async def __call__(self, owner: Owner, submission: Submission) -> Created:
        """
        Return the job, or that of an earlier submit under the same key.

        Raises:
            InvalidInput: the request cannot be accepted; nothing was stored.
            LimitReached: a limit of the tenant or the user is reached; nothing was stored.
            Unavailable: nothing is known of the outcome; repeating with the same key is safe.
        """
        check_fields(submission)
        workflow = parse_workflow(submission.workflow, await self.catalogues.of(owner.tenant_id))
        check_media(submission.media, most=self.max_media)
        kinds = wanted_kinds(workflow, submission.media)
        idempotency = idempotency_of(submission, workflow)
        # Before the look-up, which then finds what was accepted before the refusal.
        denial = self.denials.of(owner, submission.plan)
        if idempotency is not None:
            earlier = await self.jobs.find_submitted(owner, idempotency, now=self.clock.now())
            if earlier is not None:
                return Created(job=earlier, replayed=True)
        if denial is not None:
            raise denial
        uploaded = await self.find_uploads(owner, submission.media, kinds)
        pending = (*uploaded, *await self._judge(submission.media, kinds))
        types = await self._types(submission.media, kinds)

        now, asked_at = self.clock.now(), self.clock.monotonic()
        job_id = JobId(self.ids.uuid7(now))
        try:
            inputs = await self._store(owner, job_id, submission.media, types)
        except BaseException:
            await self._forget(owner, job_id)
            raise
        ready_by = now + self.ingest_deadline if pending else now
        new = NewJob(
            id=job_id,
            owner=owner,
            workflow=workflow.encoded,
            inputs=inputs,
            priority=submission.priority,
            metadata=dict(submission.metadata),
            created_at=now,
            queue_deadline=ready_by + (submission.queue_timeout or self.deadlines.queue),
            run_timeout=submission.run_timeout or self.deadlines.run,
            run_timeout_asked=submission.run_timeout is not None,
            retention=submission.retention or self.deadlines.retention,
            retention_asked=submission.retention is not None,
            plan=submission.plan,
            idempotency=idempotency,
            pending=pending,
            ingest_deadline=ready_by if pending else None,
        )
        created = await self._create(new, asked_at=asked_at)
        if created.replayed:
            await self._forget(owner, job_id)
        else:
            self.denials.forget(owner, submission.plan)
            self.signals.wake()
        return created

    async def _create(self, new: NewJob, *, asked_at: float) -> Created:
        """Create the job; when it is refused, nothing of it stays, and a rate is remembered."""
        try:
            return await self.jobs.create(new)
        except Unavailable:
            # The job may exist: its inputs must stay. If it does not, the sweep takes them.
            raise
        except GenjobsError as refusal:
            if isinstance(refusal, RateLimited):
                self.denials.note(new.owner, new.plan, refusal, asked_at=asked_at)
            await self._forget(new.owner, new.id)
            raise

    async def _judge(
        self, media: Sequence[MediaSource], kinds: Mapping[str, frozenset[MediaKind]]
    ) -> tuple[PendingMedia, ...]:
        """Return what is to be fetched, every URL judged; in two seconds, whatever resolvers do."""

        async def judge(index: int, entry: MediaByUrl) -> PendingMedia:
            try:
                async with asyncio.timeout(_JUDGE_SECONDS):
                    await self.fetcher.judge(entry.url)
            except UrlNotAllowed as exc:
                raise UrlNotAllowed(exc.message, pointer=f"/media/{index}/url") from None
            except TimeoutError:
                _log.info("submit.url_not_looked_up")  # the download judges it again
            wanted = kinds.get(entry.name, frozenset())
            return PendingMedia(index=index, name=entry.name, url=entry.url, kinds=wanted)

        return tuple(
            await together(
                judge(index, entry)
                for index, entry in enumerate(media)
                if isinstance(entry, MediaByUrl)
            )
        )

    async def _types(
        self, media: Sequence[MediaSource], kinds: Mapping[str, frozenset[MediaKind]]
    ) -> Mapping[str, str]:
        """Return the content types of what came along, each looked into."""

        async def content_type(index: int, entry: InlineMedia) -> tuple[str, str]:
            try:
                facts = await self.check.content(entry.content, kinds.get(entry.name, frozenset()))
            except InvalidMedia as exc:
                raise type(exc)(exc.message, pointer=f"/media/{index}/data") from None
            return entry.name, facts.media_type.content_type

        return dict(
            await together(
                content_type(index, entry)
                for index, entry in enumerate(media)
                if isinstance(entry, InlineMedia)
            )
        )

    async def _store(
        self,
        owner: Owner,
        job_id: JobId,
        media: Sequence[MediaSource],
        types: Mapping[str, str],
    ) -> tuple[InputFile, ...]:
        async def store(index: int, entry: InlineMedia) -> InputFile:
            key = input_key(owner, job_id, index)
            content_type = types[entry.name]
            stored = await self.artifacts.put(
                key, _chunks(entry.content), content_type=content_type
            )
            return InputFile(
                name=entry.name,
                key=key,
                content_type=content_type,
                bytes=stored.bytes,
                sha256=stored.sha256,
            )

        return tuple(
            await together(
                store(index, entry)
                for index, entry in enumerate(media)
                if isinstance(entry, InlineMedia)
            )
        )

    async def _forget(self, owner: Owner, job_id: JobId) -> None:
        """Remove inputs stored for a job that will not exist."""
        try:
            await self.artifacts.delete_prefix(job_prefix(owner, job_id))
        except Unavailable:
            # Not the caller's trouble: the sweep removes them.
            _log.warning("submit.inputs_left_behind", job_id=str(job_id))


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(view), _CHUNK):
        yield bytes(view[start : start + _CHUNK])
