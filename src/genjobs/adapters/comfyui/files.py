"""ComfyUI's folders, when they are on this machine: input and output of one render."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from genjobs.application.local_files import opened
from genjobs.domain.errors import EngineFailed, NoOutput

_CHUNK: Final = 1024 * 1024
_NO_SUCH_FILE: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR}
)


class ComfyUIFolders:
    """The ``input`` and ``output`` folders below ComfyUI's base directory."""

    def __init__(self, base: Path) -> None:
        self._base = base.absolute()

    async def stage(self, folder: str, filename: str, chunks: AsyncIterator[bytes]) -> str:
        """Write an input file and return the name that nodes use; raises ``EngineFailed``."""
        if Path(filename).name != filename or filename in {"", ".."}:
            raise EngineFailed("An input file has no plain name.")
        target = self._base / "input" / folder / filename
        try:
            await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
            async with opened(lambda: target.open("wb")) as file:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
        except OSError as exc:
            raise EngineFailed("An input file could not be given to ComfyUI.") from exc
        return f"{folder}/{filename}"

    @asynccontextmanager
    async def open(self, folder: str, filename: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an output file; ``NoOutput`` when there is none."""
        path = self._base / "output" / folder / filename
        async with opened(lambda: _output(path, self._base / "output", folder)) as file:
            yield _chunks(file)

    async def remove(self, folder: str, previews: Sequence[tuple[str, str]] = ()) -> None:
        """
        Remove everything of one render.

        ``previews`` are files of the temp folder: folder below it and name.

        Raises:
            EngineFailed: something stays; all that could be removed is gone.
        """
        stays: OSError | None = None
        removals = [
            partial(shutil.rmtree, self._base / kind / folder)
            for kind in ("input", "output", "temp")
        ]
        removals += [partial(os.unlink, self._base / "temp" / Path(*item)) for item in previews]
        for removal in removals:
            try:
                await asyncio.to_thread(removal)
            except FileNotFoundError:
                continue
            except OSError as exc:
                stays = exc
        if stays is not None:
            raise EngineFailed("ComfyUI's files could not be removed.") from stays


def _open_inside(path: Path, output: Path, folder: str) -> IO[bytes]:
    """Open a regular file of the render's own folder; a link out of it is no such file."""
    resolved = Path(os.path.realpath(path, strict=True))
    own = Path(os.path.realpath(output)) / folder
    if not resolved.is_relative_to(own) or not resolved.is_file():
        raise FileNotFoundError(errno.ENOENT, "not a file of this render")
    return os.fdopen(os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def _output(path: Path, output: Path, folder: str) -> IO[bytes]:
    try:
        return _open_inside(path, output, folder)
    except OSError as exc:
        if exc.errno not in _NO_SUCH_FILE:
            raise EngineFailed("An output file of ComfyUI could not be opened.") from exc
        raise NoOutput("ComfyUI reported an output file that it does not have.") from None


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
    except OSError as exc:
        raise EngineFailed("An output file of ComfyUI could not be read.") from exc
