"""
Submit a job: check the request, store its inputs, create it once.

Which HTTP status a refusal becomes, and how a body is read, is the API's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from genjobs.application.submission import (
    InlineMedia,
    Submission,
    check_fields,
    content_type_of,
    idempotency_of,
    inline_media,
    wanted_kinds,
)
from genjobs.application.together import together
from genjobs.domain.artifacts import InputFile, input_key, job_prefix
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import GenjobsError, Unavailable
from genjobs.domain.ids import JobId
from genjobs.domain.job import Job, NewJob
from genjobs.domain.ports import ArtifactStore, Clock, IdSource, JobStore, Signals
from genjobs.domain.tenancy import Owner
from genjobs.domain.workflow import parse_workflow

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
    catalogue: NodeCatalogue
    deadlines: Deadlines

    async def __call__(self, owner: Owner, submission: Submission) -> tuple[Job, bool]:
        """
        Return the job and whether it is the replay of an earlier submit under the same key.

        Raises:
            InvalidInput: the request cannot be accepted; nothing was stored.
            Unavailable: nothing is known of the outcome; repeating with the same key is safe.
        """
        check_fields(submission)
        workflow = parse_workflow(submission.workflow, self.catalogue)
        media = inline_media(submission.media)
        kinds = wanted_kinds(workflow, media)
        idempotency = idempotency_of(submission, workflow)
        if idempotency is not None:
            earlier = await self.jobs.find_submitted(owner, idempotency)
            if earlier is not None:
                return earlier, True
        types = {
            entry.name: content_type_of(index, entry, kinds) for index, entry in enumerate(media)
        }

        now = self.clock.now()
        job_id = JobId(self.ids.uuid7(now))
        try:
            inputs = await self._store(owner, job_id, media, types)
        except BaseException:
            await self._forget(owner, job_id)
            raise
        new = NewJob(
            id=job_id,
            owner=owner,
            workflow=workflow.encoded,
            inputs=inputs,
            priority=submission.priority,
            metadata=dict(submission.metadata),
            created_at=now,
            queue_deadline=now + (submission.queue_timeout or self.deadlines.queue),
            run_timeout=submission.run_timeout or self.deadlines.run,
            retention=submission.retention or self.deadlines.retention,
            idempotency=idempotency,
        )
        try:
            job, replayed = await self.jobs.create(new)
        except Unavailable:
            # The job may exist: its inputs must stay. Files without a row are swept later.
            raise
        except GenjobsError:
            await self._forget(owner, job_id)
            raise
        if replayed:
            await self._forget(owner, job_id)
        else:
            self.signals.wake()
        return job, replayed

    async def _store(
        self,
        owner: Owner,
        job_id: JobId,
        media: Sequence[InlineMedia],
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

        return tuple(await together(store(index, entry) for index, entry in enumerate(media)))

    async def _forget(self, owner: Owner, job_id: JobId) -> None:
        """Remove inputs stored for a job that will not exist."""
        try:
            await self.artifacts.delete_prefix(job_prefix(owner, job_id))
        except Unavailable:
            # Not the caller's trouble; files without a row are found and removed later.
            _log.warning("submit.inputs_left_behind", job_id=str(job_id))


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(view), _CHUNK):
        yield bytes(view[start : start + _CHUNK])
