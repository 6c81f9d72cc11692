"""Files of this machine, used off the event loop: none stays open, whatever interrupts."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from genjobs.domain.errors import Unavailable

_CHUNK: Final = 256 * 1024


@asynccontextmanager
async def scratch_folder() -> AsyncIterator[Path]:
    """
    Hold a folder of this machine's, removed with all that is in it.

    Raises:
        Unavailable: none can be made, such as on a full disk.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="genjobs-", ignore_cleanup_errors=True)
    except OSError as exc:
        raise Unavailable("A file cannot be stored just now.") from exc
    with folder as name:
        yield Path(name)


@asynccontextmanager
async def opened(opener: Callable[[], IO[bytes]]) -> AsyncIterator[IO[bytes]]:
    """
    Hold the file that ``opener`` opens.

    A thread cannot be cancelled: what it opens for a task that has gone is closed here.
    """
    opening = asyncio.ensure_future(asyncio.to_thread(opener))
    try:
        file = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise
    with file:
        yield file


async def file_chunks(path: Path) -> AsyncIterator[bytes]:
    """Yield a file's content."""
    async with opened(lambda: path.open("rb")) as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk


def _close(opening: asyncio.Future[IO[bytes]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
