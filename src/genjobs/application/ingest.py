"""
Ingest: fetch one job's media, prove what they are, store them, make the job eligible.

Media come by URL or from uploads. This is CPU work, done before any GPU is asked for. Which jobs
are claimed, and how many at once, is in ``ingesting``; what becomes of a claim whose process dies
is the supervisor's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from genjobs.application.check_media import CheckMedia
from genjobs.application.local_files import file_chunks, scratch_folder
from genjobs.application.recording import PATIENCE
from genjobs.application.together import together
from genjobs.application.uploaded_media import copy_upload
from genjobs.domain.artifacts import InputFile, ingest_prefix, input_key
from genjobs.domain.attempts import Recorded
from genjobs.domain.errors import (
    DownloadFailed,
    DownloadTooLarge,
    InputRefused,
    InspectionFailed,
    InvalidMedia,
    Unavailable,
)
from genjobs.domain.ids import job_text
from genjobs.domain.ingests import Ingest, IngestExecution, IngestRules, PendingMedia
from genjobs.domain.ports import ArtifactStore, Clock, IngestLedger, Signals, UrlFetcher

_PARALLEL: Final = 4
_RETRY: Final = timedelta(seconds=1)
_log = structlog.get_logger(__name__)

_Record = Callable[..., Awaitable[Recorded]]


class IngestEnding(StrEnum):
    """How a claim ended."""

    READY = "ready"
    REFUSED = "refused"
    RETRIED = "retried"
    RELEASED = "released"
    #: The job was cancelled, or another claim has it.
    OVERTAKEN = "overtaken"


class _ClaimLost(Exception):
    """The heartbeat was told that the claim is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestMedia:
    """The use case; one call takes one claim to its recorded end."""

    ingests: IngestLedger
    artifacts: ArtifactStore
    fetcher: UrlFetcher
    check: CheckMedia
    clock: Clock
    signals: Signals
    rules: IngestRules
    #: Bytes of one file.
    limit: int

    async def __call__(self, ingest: Ingest) -> IngestEnding:
        """Fetch, check and store all media of the claim; never raises for what they are."""
        execution = ingest.execution
        log = _log.bind(job_id=job_text(execution.job_id), claim=execution.claim)
        told = asyncio.Event()  # to stop
        try:
            ending, record = await self._work(ingest)
        except _ClaimLost:
            await self._forget(execution)
            log.info("ingest.ended", ending=IngestEnding.OVERTAKEN.value)
            return IngestEnding.OVERTAKEN
        except asyncio.CancelledError:
            told.set()
            await self._settle(IngestEnding.RELEASED, execution, self.ingests.release, told)
            log.info("ingest.ended", ending=IngestEnding.RELEASED.value)
            raise
        # Told to stop from here on, it stops once the end is recorded: whether it already is
        # cannot be known, and giving up now would take the files from a job that has them.
        settling = asyncio.create_task(self._settle(ending, execution, record, told))
        try:
            ending = await asyncio.shield(settling)
        except asyncio.CancelledError:
            told.set()
            raise
        finally:
            ending = await settling
            log.info("ingest.ended", ending=ending.value)
            if ending is IngestEnding.READY:
                self.signals.wake()
        return ending

    async def _work(self, ingest: Ingest) -> tuple[IngestEnding, _Record]:
        """Do what the claim is for; return how it ended, and what records that."""
        try:
            inputs = await self._while_held(ingest.execution, self._fetch_all(ingest))
        except InputRefused as refusal:
            return IngestEnding.REFUSED, partial(self.ingests.refuse, failure=refusal)
        except (DownloadFailed, InspectionFailed):
            return IngestEnding.RETRIED, self.ingests.retry
        except Unavailable:
            await asyncio.sleep(self.rules.outage_pause.total_seconds())
            return IngestEnding.RELEASED, self.ingests.release
        return IngestEnding.READY, partial(self.ingests.finish, inputs=inputs)

    async def _fetch_all(self, ingest: Ingest) -> tuple[InputFile, ...]:
        gate = asyncio.Semaphore(_PARALLEL)

        async def one(media: PendingMedia, folder: Path) -> InputFile:
            async with gate:
                try:
                    return await self._fetch(ingest.execution, media, folder)
                except (InvalidMedia, DownloadTooLarge) as refusal:
                    raise InputRefused(f"Media entry {media.name!r}: {refusal.message}") from None

        async with scratch_folder() as folder:
            return tuple(await together(one(media, folder) for media in ingest.media))

    async def _fetch(
        self, execution: IngestExecution, media: PendingMedia, folder: Path
    ) -> InputFile:
        path = folder / str(media.index)
        try:
            if media.upload is not None:
                await copy_upload(self.artifacts, media.upload, path)
            elif media.url is not None:
                await self.fetcher.fetch(media.url, into=path, limit=self.limit)
            facts = await self.check(path, media.kinds)
            key = input_key(execution.owner, execution.job_id, media.index, claim=execution.claim)
            content_type = facts.media_type.content_type
            stored = await self.artifacts.put(key, file_chunks(path), content_type=content_type)
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        return InputFile(
            name=media.name,
            key=key,
            content_type=content_type,
            bytes=stored.bytes,
            sha256=stored.sha256,
        )

    async def _while_held(
        self, execution: IngestExecution, work: Awaitable[tuple[InputFile, ...]]
    ) -> tuple[InputFile, ...]:
        """Return the result of ``work``; it is cancelled when the claim is found to be gone."""
        working = asyncio.ensure_future(work)
        beating = asyncio.create_task(self._beat(execution))
        try:
            await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise _ClaimLost
            return working.result()
        finally:
            working.cancel()
            beating.cancel()
            await asyncio.gather(working, beating, return_exceptions=True)

    async def _beat(self, execution: IngestExecution) -> None:
        """Renew the lease; return once the claim is known to be gone."""
        while True:
            await asyncio.sleep(self.rules.heartbeat.total_seconds())
            try:
                held = await self.ingests.heartbeat([execution], now=self.clock.now())
            except Unavailable:
                continue  # go on: only being told that the claim is gone ends the work
            if execution.execution_id not in held:
                return

    async def _settle(
        self,
        ending: IngestEnding,
        execution: IngestExecution,
        record: _Record,
        told: asyncio.Event,
    ) -> IngestEnding:
        """
        Record how the claim ended; what it stored is kept only if the job has it then.

        A database that is away is waited for: long, or for a lease once told to stop.
        """
        begun = self.clock.monotonic()
        while True:
            try:
                recorded = await record(execution, now=self.clock.now())
                break
            except Unavailable:
                # Unknown: it may have been recorded, so nothing is removed. The lease runs out,
                # or the repeat says how it was.
                patience = self.rules.lease if told.is_set() else PATIENCE
                if self.clock.monotonic() > begun + patience.total_seconds():
                    _log.warning("ingest.not_recorded", job_id=job_text(execution.job_id))
                    return IngestEnding.RELEASED
                await asyncio.sleep(_RETRY.total_seconds())
        if recorded is Recorded.STALE:
            ending = IngestEnding.OVERTAKEN
        if ending is not IngestEnding.READY:
            await self._forget(execution)
        return ending

    async def _forget(self, execution: IngestExecution) -> None:
        prefix = ingest_prefix(execution.owner, execution.job_id, execution.claim)
        try:
            await self.artifacts.delete_prefix(prefix)
        except Unavailable as exc:
            # The sweep removes them: they belong to no job.
            _log.warning(
                "ingest.files_left_behind", job_id=job_text(execution.job_id), reason=exc.message
            )
