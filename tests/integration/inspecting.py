"""What the tests of the media inspector share: one inspector, and the processes behind it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from genjobs.adapters.media_inspection import SubprocessInspector
from genjobs.adapters.media_inspection.warm_process import End, WarmProcess
from genjobs.domain.errors import MediaContentRefused, MediaTypeRefused
from genjobs.domain.media import SNIFF_BYTES, MediaType, sniff
from genjobs.domain.ports import MediaFacts

LONG = 60.0  # seconds; a test that waits this long has failed
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Hands content to an inspector."""

    inspector: SubprocessInspector
    folder: Path

    async def accepts(self, content: bytes) -> MediaFacts:
        path = self.folder / "content"
        path.write_bytes(content)
        facts = await self.inspector.inspect(path)
        assert path.read_bytes() == content
        assert facts.bytes == len(content)
        return facts

    async def refuses(self, content: bytes, *, saying: str = "") -> str:
        path = self.folder / "content"
        path.write_bytes(content)
        with pytest.raises(MediaContentRefused) as refused:
            await self.inspector.inspect(path)
        message = refused.value.message
        assert saying in message
        assert str(path) not in message
        return message

    async def refuses_type(self, content: bytes) -> None:
        path = self.folder / "content"
        path.write_bytes(content)
        with pytest.raises(MediaTypeRefused):
            await self.inspector.inspect(path)


async def end_of(
    process: WarmProcess, content: bytes, folder: Path, media_type: MediaType | None = None
) -> End:
    """Return how the confined process of this content ended; its type is sniffed if not given."""
    path = folder / "content"
    path.write_bytes(content)
    with path.open("rb") as file:
        return await process.inspect(file.fileno(), media_type or sniff(content[:SNIFF_BYTES]))


def children(parent: int) -> list[int]:
    """Return the processes that ``parent`` has started and that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def runs(pid: int) -> bool:
    """Whether the process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(true: Callable[[], bool]) -> None:
    """Wait until it is true."""
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end, "waited too long"
        await asyncio.sleep(0.005)


def resident(pid: int | None = None) -> int:
    """Return the bytes of memory that a process holds."""
    pages = Path(f"/proc/{pid or os.getpid()}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
