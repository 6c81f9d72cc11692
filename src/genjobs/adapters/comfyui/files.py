"""ComfyUI's folders, when they are on this machine: input and output of one render."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from genjobs.domain.errors import EngineFailed, NoOutput

_CHUNK: Final = 1024 * 1024


class ComfyUIFolders:
    """The ``input`` and ``output`` folders below ComfyUI's base directory."""

    def __init__(self, base: Path) -> None:
        self._base = base.absolute()

    async def stage(self, folder: str, filename: str, chunks: AsyncIterator[bytes]) -> str:
        """Write an input file and return the name that nodes use; raises ``EngineFailed``."""
        target = self._base / "input" / folder / filename
        try:
            await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
            with await asyncio.to_thread(target.open, "wb") as file:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
        except OSError as exc:
            raise EngineFailed("An input file could not be given to ComfyUI.") from exc
        return f"{folder}/{filename}"

    @asynccontextmanager
    async def open(self, folder: str, filename: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an output file; ``NoOutput`` when there is none."""
        path = self._base / "output" / folder / filename
        try:
            file = await asyncio.to_thread(_open_inside, path, self._base / "output")
        except OSError:
            raise NoOutput("ComfyUI reported an output file that it does not have.") from None
        with file:
            yield _chunks(file)

    async def remove(self, folder: str) -> None:
        """Remove everything of one render; raises ``EngineFailed`` when something stays."""
        for kind in ("input", "output", "temp"):
            try:
                await asyncio.to_thread(shutil.rmtree, self._base / kind / folder)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise EngineFailed("ComfyUI's files could not be removed.") from exc


def _open_inside(path: Path, folder: Path) -> IO[bytes]:
    """Open a regular file below ``folder``; a link that leads elsewhere is no such file."""
    resolved = path.resolve(strict=True)
    if not resolved.is_relative_to(folder.resolve()) or not resolved.is_file():
        raise FileNotFoundError
    return os.fdopen(os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW), "rb")


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, _CHUNK):
        yield chunk
