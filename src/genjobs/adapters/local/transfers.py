"""One file on its way into or out of a :class:`FileTree`, a bounded piece at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from typing import Final

from genjobs.adapters.local.disk import DiskWork
from genjobs.adapters.local.file_tree import FileTree
from genjobs.domain.artifacts import ArtifactKey, StoredFile
from genjobs.domain.errors import Unavailable, UploadExists, UploadMismatch

#: Bytes moved by one call into a thread, and held in memory at a time by one transfer.
CHUNK_BYTES: Final = 1024 * 1024


class Upload(DiskWork):
    """A file being written; it is under its key only after :meth:`finish` returned."""

    def __init__(self, tree: FileTree, key: ArtifactKey, *, replace: bool = True) -> None:
        super().__init__()
        self._tree = tree
        self._key = key
        self._replace = replace
        self._name: str | None = None
        self._descriptor: int | None = None
        self._hash = hashlib.sha256()
        self._bytes = 0

    async def take(self, chunks: AsyncIterator[bytes]) -> StoredFile:
        """Write everything and move the file to its key."""
        # Small chunks are joined, since each write is a hop to a thread; a small file is one.
        pieces: list[bytes] = []
        held = 0
        async for chunk in chunks:
            pieces.append(chunk)
            held += len(chunk)
            if held >= CHUNK_BYTES:
                await self.run(partial(self.write, pieces))
                pieces, held = [], 0
        return await self.run(partial(self.finish, pieces))

    def write(self, pieces: Sequence[bytes]) -> int:
        """Append to the incoming file, made by the first call; return its descriptor."""
        if self._descriptor is None:
            self._name, self._descriptor = self._tree.create()
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            self._hash.update(piece)
            self._bytes += len(piece)
        return self._descriptor

    def finish(self, pieces: Sequence[bytes]) -> StoredFile:
        """
        Append the last pieces, flush, and move the file to its key.

        Raises:
            UploadExists: there is a file that may not be replaced.
        """
        os.fsync(self.write(pieces))
        # Last look before the file becomes visible: nobody may still want it, and whoever
        # cancelled may be about to remove all files of the attempt.
        if self._name is None or self.abandoned:
            raise Unavailable
        try:
            self._tree.place(self._name, self._key, replace=self._replace)
        except FileExistsError:
            raise UploadExists from None
        self._name = None
        self.close()
        return StoredFile(bytes=self._bytes, sha256=self._hash.hexdigest())

    def close(self) -> None:
        """Drop the incoming file if it was not moved."""
        name, self._name = self._name, None
        descriptor, self._descriptor = self._descriptor, None
        try:
            if name is not None:
                self._tree.drop(name)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def is_open(self) -> bool:
        """Whether there is an incoming file."""
        return self._descriptor is not None


async def exactly(chunks: AsyncIterator[bytes], length: int) -> AsyncGenerator[bytes, None]:
    """Yield the chunks; ``UploadMismatch`` when they are fewer or more bytes than ``length``."""
    left = length
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise UploadMismatch
        yield chunk
    if left:
        raise UploadMismatch


class Download(DiskWork):
    """A file being read, from ``start``; ``length`` None means to its end."""

    def __init__(self, tree: FileTree, key: ArtifactKey, *, start: int, length: int | None) -> None:
        super().__init__()
        if start < 0 or (length is not None and length < 0):
            raise ValueError("not a part of a file")
        self._tree = tree
        self._key = key
        self._start = start
        self._length = length
        self._left = 0
        self._descriptor: int | None = None

    def open(self) -> bytes | None:
        """Open the file and return its first chunk, so that a small one costs a single call."""
        self._descriptor = self._tree.open(self._key)
        if self._descriptor is None:
            return None
        self._left = max(os.fstat(self._descriptor).st_size - self._start, 0)
        if self._length is not None:
            self._left = min(self._left, self._length)
        os.lseek(self._descriptor, self._start, os.SEEK_SET)
        return self.read()

    def read(self) -> bytes:
        """Return the next chunk, empty at the end, where the file is closed."""
        if self._descriptor is None or not self._left:
            self.close()
            return b""
        chunk = os.read(self._descriptor, min(self._left, CHUNK_BYTES))
        if not chunk:  # files are replaced, never shortened: somebody tampered with this one
            raise Unavailable
        self._left -= len(chunk)
        if not self._left:
            self.close()
        return chunk

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._descriptor is not None

    async def chunks(self, first: bytes) -> AsyncGenerator[bytes, None]:
        """Yield ``first`` and what follows it."""
        chunk = first
        while chunk:
            yield chunk
            chunk = await self.run(self.read) if self.is_open() else b""
