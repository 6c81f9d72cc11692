"""ComfyUI's folders, when they are on this machine: input and output of one render."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from genjobs.application.local_files import opened
from genjobs.domain.errors import EngineFailed, NoOutput

_CHUNK: Final = 1024 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY
_NO_SUCH_FILE: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR, errno.ENXIO}
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
        async with opened(lambda: _output(self._base / "output", folder, filename)) as file:
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
            partial(_remove_folder, self._base / kind, folder)
            for kind in ("input", "output", "temp")
        ]
        removals += [partial(_remove_file, self._base / "temp", *item) for item in previews]
        for removal in removals:
            try:
                await asyncio.to_thread(removal)
            except FileNotFoundError:
                continue
            except OSError as exc:
                stays = exc
        if stays is not None:
            raise EngineFailed("ComfyUI's files could not be removed.") from stays


# What nodes can write to may change between two looks, and the worker may have more rights than
# they. So nothing below the folders of ComfyUI is named by a path: each part is opened by itself,
# and a link is no part.


@contextmanager
def _descend(root: Path, below: str) -> Iterator[int]:
    """Hold a descriptor of a folder below ``root``."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in Path(below).parts:
            above, descriptor = (
                descriptor,
                os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor),
            )
            os.close(above)
        yield descriptor
    finally:
        os.close(descriptor)


def _output(root: Path, folder: str, filename: str) -> IO[bytes]:
    try:
        with _descend(root, folder) as own:
            return _open_inside(own, filename)
    except OSError as exc:
        if exc.errno not in _NO_SUCH_FILE:
            raise EngineFailed("An output file of ComfyUI could not be opened.") from exc
        raise NoOutput("ComfyUI reported an output file that it does not have.") from None


def _open_inside(folder: int, filename: str) -> IO[bytes]:
    """Open a regular file of the folder's owner: another's was not saved there, but linked."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # not to wait for the other end of a pipe
    file = os.fdopen(os.open(filename, flags, dir_fd=folder), "rb")
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.fstat(folder).st_uid:
        file.close()
        raise FileNotFoundError(errno.ENOENT, "not a file of this render")
    return file


def _remove_folder(root: Path, folder: str) -> None:
    with _descend(root, str(Path(folder).parent)) as parent:
        shutil.rmtree(Path(folder).name, dir_fd=parent)


def _remove_file(root: Path, folder: str, filename: str) -> None:
    with _descend(root, folder) as parent:
        os.unlink(filename, dir_fd=parent)


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
    except OSError as exc:
        raise EngineFailed("An output file of ComfyUI could not be read.") from exc
