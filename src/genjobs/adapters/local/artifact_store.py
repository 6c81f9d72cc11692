"""
Files in a directory, and signed URLs that the API itself serves.

A file appears under its key whole or not at all. How a URL is signed is in ``signing``; HTTP is
the API's.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Final, TypeVar
from urllib.parse import quote, urlencode

from genjobs.adapters.local.signing import Signer
from genjobs.domain.artifacts import ArtifactKey, StoredFile, parse_key, parse_prefix
from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.ports import SignedFile

_CHUNK: Final = 1024 * 1024
_WRITING: Final = ".writing"
#: Longer than any write takes.
_ABANDONED_SECONDS: Final = 24 * 3600.0
_T = TypeVar("_T")


class DirectoryArtifactStore:
    """The ``ArtifactStore`` and ``SignedFiles`` ports over one directory."""

    def __init__(self, root: Path, *, signing_key: bytes, base_url: str) -> None:
        self._root = root.absolute()
        self._signer = Signer(signing_key)
        self._base_url = base_url
        _remove_abandoned(self._root / _WRITING)

    async def put(
        self, key: ArtifactKey, chunks: AsyncIterator[bytes], *, content_type: str
    ) -> StoredFile:
        """See the port; the content type is kept in the signed URLs, not beside the file."""
        target = self._path(key)
        digest, size = hashlib.sha256(), 0
        file = await self._io(self._open_temporary)
        made = Path(file.name)
        try:
            with file:
                async for batch in _batches(chunks):
                    size += len(batch)
                    await self._io(_append, file, digest, batch)
                await self._io(_sync, file)
            await self._io(_place, made, target)
        except NotFound:  # a folder that cannot be made
            made.unlink(missing_ok=True)
            raise Unavailable from None
        except BaseException:
            made.unlink(missing_ok=True)
            raise
        return StoredFile(bytes=size, sha256=digest.hexdigest())

    @asynccontextmanager
    async def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See the port."""
        with await self._io(_open, self._path(key)) as file:
            file.seek(start)
            yield self._chunks(file, length)

    async def stat(self, key: ArtifactKey) -> int | None:
        """See the port."""
        try:
            return (await self._io(self._path(key).stat)).st_size
        except NotFound:
            return None

    async def delete(self, keys: Sequence[ArtifactKey]) -> None:
        """See the port."""
        for key in keys:
            path = self._path(key)
            await self._io(lambda path=path: path.unlink(missing_ok=True))

    async def delete_prefix(self, prefix: str) -> int:
        """See the port."""
        return await self._io(_remove_tree, self._root / parse_prefix(prefix))

    def signed_url(
        self, key: ArtifactKey, *, expires_at: datetime, filename: str, content_type: str
    ) -> str:
        """See the port."""
        query = self._signer.query(
            parse_key(key), int(expires_at.timestamp()), filename, content_type
        )
        return f"{self._base_url}/files/{quote(key)}?{urlencode(query)}"

    async def check(self) -> None:
        """See the port."""
        await self._io(lambda: self._root.mkdir(parents=True, exist_ok=True))
        if not await self._io(lambda: os.access(self._root, os.R_OK | os.W_OK | os.X_OK)):
            raise Unavailable

    async def resolve(self, key: str, query: Mapping[str, str], *, now: datetime) -> SignedFile:
        """See the ``SignedFiles`` port."""
        filename, content_type = self._signer.verify(key, query, int(now.timestamp()))
        try:
            checked = parse_key(key)
        except ValueError:
            raise NotFound from None
        size = await self.stat(checked)
        if size is None:
            raise NotFound
        return SignedFile(key=checked, bytes=size, filename=filename, content_type=content_type)

    def _path(self, key: ArtifactKey) -> Path:
        return self._root / parse_key(key)

    def _open_temporary(self) -> IO[bytes]:
        folder = self._root / _WRITING  # same file system, so that it can be renamed into place
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.NamedTemporaryFile(dir=folder, delete=False)

    async def _chunks(self, file: IO[bytes], length: int | None) -> AsyncIterator[bytes]:
        left = length
        while left is None or left > 0:
            chunk = await self._io(file.read, _CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                return
            if left is not None:
                left -= len(chunk)
            yield chunk

    async def _io(self, call: Callable[..., _T], *arguments: object) -> _T:
        """Do file work in a thread, and say in the port's words what went wrong."""
        try:
            return await asyncio.to_thread(call, *arguments)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound from None
        except OSError as exc:
            raise Unavailable("The artifact store cannot be used just now.") from exc


async def _batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join small chunks: each write is a hop to a thread."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= _CHUNK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _append(file: IO[bytes], digest: hashlib._Hash, batch: bytes) -> None:
    digest.update(batch)
    file.write(batch)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _place(made: Path, target: Path) -> None:
    for _ in range(3):  # a concurrent delete_prefix may take the folder away
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.replace(target)
            break
        except FileNotFoundError:
            continue
    else:
        raise OSError("the folder keeps vanishing")
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open(path: Path) -> IO[bytes]:
    # A link planted in the directory must not lead out of it.
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def _remove_tree(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    count = sum(1 for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder, ignore_errors=False)
    return count


def _remove_abandoned(folder: Path) -> None:
    """Remove what writers that died have left half-written."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # its writer has just finished
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()
