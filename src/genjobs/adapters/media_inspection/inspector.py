"""
The near side of inspections: what may be looked at, one turn after the other, and the answers.

The process that decodes is kept warm, because loading the decoders takes several times as long as
a usual picture does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import structlog

from genjobs.adapters.media_inspection import verdicts
from genjobs.adapters.media_inspection.verdicts import Found, Reason, Refused
from genjobs.adapters.media_inspection.warm_process import End, ProcessLost, WarmProcess
from genjobs.domain.errors import (
    InspectionFailed,
    MediaContentRefused,
    MediaTypeRefused,
    Unavailable,
)
from genjobs.domain.media import (
    ACCEPTED_INPUTS,
    M4A,
    MP4,
    SNIFF_BYTES,
    WEBA,
    WEBM,
    MediaKind,
    MediaType,
    sniff,
)
from genjobs.domain.media_limits import MediaLimits
from genjobs.domain.ports import MediaFacts

_SOUND_ALONE: Final = {MP4: M4A, WEBM: WEBA}
_TRIES: Final = 2
_log = structlog.get_logger(__name__)


class SubprocessInspector:
    """
    A ``MediaInspector``; use it as a context manager, or ``close`` it.

    ``concurrency`` files are decoded at a time, and as many pictures besides: a picture, which a
    submit may wait for, never waits for a film.
    """

    def __init__(self, limits: MediaLimits | None = None, *, concurrency: int = 2) -> None:
        self._limits = limits or MediaLimits()
        self._pictures = asyncio.Semaphore(concurrency)
        self._films = asyncio.Semaphore(concurrency)
        self._starting = asyncio.Lock()
        self._process: WarmProcess | None = None
        self._closed = False

    async def __aenter__(self) -> SubprocessInspector:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def check(self) -> None:
        """Have the process started, if it is not; raises ``Unavailable`` when it cannot be."""
        try:
            await self._warm()
        except ProcessLost as exc:
            raise Unavailable(_cannot()) from exc

    async def inspect(self, path: Path) -> MediaFacts:
        """See the port."""
        with _opened(path) as file:
            size = os.fstat(file).st_size
            media_type = sniff(os.pread(file, SNIFF_BYTES, 0))
            if media_type not in ACCEPTED_INPUTS:
                raise MediaTypeRefused("The content is of no type that is accepted.")
            if size > self._limits.bytes:
                raise MediaContentRefused(
                    f"The file has {size} bytes; at most {self._limits.bytes} are allowed."
                )
            async with self._turn(media_type.kind):
                end = await self._judged(file, media_type)
        verdict = _verdict(end, self._limits)
        if isinstance(verdict, Refused):
            _log.info(
                "media.refused",
                reason=verdict.reason.value,
                detail=verdict.detail,
                content_type=media_type.content_type,
                status=end.status,
                cpu_seconds=end.cpu_seconds,
                resident_bytes=end.resident_bytes,
            )
            raise MediaContentRefused(verdicts.message(verdict, media_type, self._limits))
        return _facts(verdict, media_type, size)

    async def close(self) -> None:
        """End every process; inspections that are under way are ``Unavailable``."""
        self._closed = True
        async with self._starting:
            process, self._process = self._process, None
        if process is not None:
            await asyncio.shield(process.stop())

    @asynccontextmanager
    async def _turn(self, kind: MediaKind) -> AsyncIterator[None]:
        gate = self._pictures if kind is MediaKind.IMAGE else self._films
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                await gate.acquire()
        except TimeoutError as exc:
            raise Unavailable("Too many files are being inspected just now.") from exc
        try:
            yield
        finally:
            gate.release()

    async def _judged(self, file: int, media_type: MediaType) -> End:
        """
        Have the file judged, with one more try when the process is lost meanwhile.

        A process that cannot be started is no fault of the file. One that is lost each time it has
        this file may be.
        """
        lost = 0
        for tries in range(1, _TRIES + 1):
            process: WarmProcess | None = None
            try:
                process = await self._warm()
                end = await process.inspect(file, media_type)
            except ProcessLost as exc:
                _log.warning("media_inspection.process_lost", reason=str(exc), tries=tries)
                if process is not None:
                    self._drop(process)
                    lost += 1
                continue
            if not _without_verdict(end):
                return end
            _log.warning("media_inspection.killed", status=end.status, tries=tries)
            lost += 1
        raise InspectionFailed if lost == _TRIES else Unavailable(_cannot())

    async def _warm(self) -> WarmProcess:
        async with self._starting:
            if self._closed:
                raise Unavailable(_cannot())
            if self._process is not None and not self._process.alive:
                self._drop(self._process)
            if self._process is None:
                self._process = await WarmProcess.start(self._limits)
            return self._process

    def _drop(self, process: WarmProcess) -> None:
        process.kill()
        if self._process is process:
            self._process = None


def _cannot() -> str:
    return "Files cannot be inspected just now."


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a regular file for reading; nothing else, and no link to one."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        raise Unavailable("The file cannot be read just now.") from exc
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise Unavailable("The file cannot be read just now.")
        yield file
    finally:
        os.close(file)


def _without_verdict(end: End) -> bool:
    """Return whether it failed, or was killed by who lacks memory or by nobody knows whom."""
    return not end.timed_out and (end.status > 0 or end.status == -signal.SIGKILL)


def _verdict(end: End, limits: MediaLimits) -> Found | Refused:
    """
    Return what an end with a verdict, or with the decoder's own death, means.

    Raises:
        InspectionFailed: it ran out of time, most of it spent on the file.
        Unavailable: it ran out of time because it hardly had a turn.
    """
    if end.timed_out:
        if end.cpu_seconds > limits.cpu_seconds / 2:
            raise InspectionFailed
        raise Unavailable("The file could not be decoded in time; the service is busy.")
    if end.status == 0:
        try:
            return verdicts.read(end.said)
        except verdicts.Unreadable:
            return Refused(Reason.BROKEN)
    if end.status == -signal.SIGXCPU:
        return Refused(Reason.CPU)
    return Refused(Reason.BROKEN)  # it brought the decoder down


def _facts(found: Found, media_type: MediaType, size: int) -> MediaFacts:
    if media_type in _SOUND_ALONE and found.frames is None:
        media_type = _SOUND_ALONE[media_type]
    return MediaFacts(
        media_type=media_type,
        bytes=size,
        width=found.width,
        height=found.height,
        frames=found.frames,
        duration_seconds=found.seconds,
    )
