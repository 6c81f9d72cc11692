"""
Taking a file from an answer: what is accepted, how fast it must come, where it goes.

Which server is asked, and by which redirects, is ``safe_fetch``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import httpcore
import structlog

from genjobs.domain.errors import DownloadFailed, DownloadTooLarge, Unavailable

_WRITE: Final = 256 * 1024  # bytes
_log = structlog.get_logger(__name__)


async def receive(
    response: httpcore.Response, file: IO[bytes], *, limit: int, window: float, rate: int
) -> int:
    """
    Write the body to ``file``, counted as it came, and return its size.

    It may be silent for ``window`` seconds, and longer than that it must bring ``rate`` bytes a
    second; what frames the body (sizes of chunks, trailers) brings none.
    """
    _check_head(response, limit)
    received = 0
    pending = bytearray()
    now = asyncio.get_running_loop().time
    async with asyncio.timeout(window) as patience:
        async for chunk in response.aiter_stream():
            received += len(chunk)
            if received > limit:
                raise DownloadTooLarge
            pending += chunk
            if len(pending) >= _WRITE:
                await _write(file, bytes(pending))
                pending.clear()
            until = (patience.when() or 0.0) + len(chunk) / rate
            patience.reschedule(min(until, now() + window))
            # Thousands of tiny chunks can lie in one packet: others get their turn between them.
            await asyncio.sleep(0)
    await _write(file, bytes(pending))
    return received


def header_values(response: httpcore.Response, name: bytes) -> list[bytes]:
    """Return all values of a header, given in lower case."""
    return [value for key, value in response.headers if key.lower() == name]


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Hold a file that takes its place only once it is whole."""
    with _storing():
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".download-")
    file = os.fdopen(descriptor, "wb")
    try:
        yield file
        with _storing():
            file.close()
            Path(name).replace(path)
    finally:
        with contextlib.suppress(OSError):  # what a full disk did not take, it will not take now
            file.close()
        Path(name).unlink(missing_ok=True)


def _check_head(response: httpcore.Response, limit: int) -> None:
    if response.status not in {200, 203}:
        _log.info("fetch.failed", reason="status", status=response.status)
        raise DownloadFailed
    encodings = b",".join(header_values(response, b"content-encoding")).lower().split(b",")
    if {encoding.strip() for encoding in encodings} - {b"", b"identity"}:
        _log.info("fetch.failed", reason="content_encoding")
        raise DownloadFailed
    announced = header_values(response, b"content-length")
    if announced and announced[0].isdigit() and int(announced[0][:20]) > limit:
        raise DownloadTooLarge


async def _write(file: IO[bytes], content: bytes) -> None:
    with _storing():
        await asyncio.to_thread(file.write, content)


@contextlib.contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Unavailable("A download cannot be stored just now.") from exc
