"""Files used off the event loop: none stays open."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import IO

import pytest

from genjobs.application.local_files import opened


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_opened_for_a_task_that_has_gone_is_closed(
    tmp_path: Path, *, fails: bool
) -> None:
    path = tmp_path / "content"
    path.write_bytes(b"1")
    begun, go_on = threading.Event(), threading.Event()
    files: list[IO[bytes]] = []

    def opener() -> IO[bytes]:
        begun.set()
        go_on.wait(10)
        if fails:
            raise FileNotFoundError
        files.append(path.open("rb"))
        return files[0]

    async def use() -> None:
        async with opened(opener):
            pass

    using = asyncio.create_task(use())
    await asyncio.to_thread(begun.wait, 10)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    go_on.set()
    async with asyncio.timeout(10):
        while not fails and not (files and files[0].closed):
            await asyncio.sleep(0.01)
