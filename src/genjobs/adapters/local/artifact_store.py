"""
Files in a directory, and signed URLs that the API itself serves.

A file is written beside its place, flushed, and moved there at once; folders are flushed as well,
so that a stored file survives a power cut. How keys become paths is in ``file_tree``, how a file
is moved in pieces in ``transfers``, how a URL is signed in ``signing``; HTTP is the API's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

from genjobs.adapters.local.disk import DiskWork
from genjobs.adapters.local.file_tree import FileTree, key_parts
from genjobs.adapters.local.signing import Signer
from genjobs.adapters.local.transfers import Download, Upload, exactly
from genjobs.adapters.local.tree_listing import list_tree
from genjobs.domain.artifacts import ArtifactKey, StoredFile, parse_key, parse_prefix
from genjobs.domain.errors import ConfigurationError, NotFound, UploadExists
from genjobs.domain.ports import ListedFile, SignedFile, SignedPut, SignedTarget

_T = TypeVar("_T")


class DirectoryArtifactStore:
    """
    The ``ArtifactStore`` and ``SignedFiles`` ports over one directory.

    Several processes may share the directory. Text that is no key or prefix is ``ValueError``.
    """

    def __init__(self, root: Path, *, signing_key: bytes, base_url: str) -> None:
        """
        Open the directory, made if needed, and sweep what dead writers left half-written.

        Blocks for a few file operations.

        Raises:
            ConfigurationError: the directory cannot be used.
            ValueError: the signing key is too short.
        """
        self._signer = Signer(signing_key)
        self._base_url = base_url
        try:
            self._tree = FileTree(root)
        except OSError as exc:
            raise ConfigurationError("The artifacts directory cannot be opened.") from exc

    def path(self, key: ArtifactKey) -> Path:
        """Return where the file of ``key`` is or would be, for people on this machine; no I/O."""
        return self._tree.root.joinpath(*key_parts(key))

    async def put(
        self, key: ArtifactKey, chunks: AsyncIterator[bytes], *, content_type: str
    ) -> StoredFile:
        """See the port; the content type is kept in the signed URLs, not beside the file."""
        async with Upload(self._tree, parse_key(key)) as upload:
            return await upload.take(chunks)

    @asynccontextmanager
    async def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See the port; a file replaced or removed meanwhile is read on as it was."""
        async with Download(self._tree, parse_key(key), start=start, length=length) as download:
            first = await download.run(download.open)
            if first is None:
                raise NotFound
            async with aclosing(download.chunks(first)) as chunks:
                yield chunks

    async def stat(self, key: ArtifactKey) -> int | None:
        """See the port."""
        return await _in_thread(partial(self._tree.size, parse_key(key)))

    async def list_files(self, prefix: str, *, after: str, limit: int) -> Sequence[ListedFile]:
        """See the port."""
        folders = parse_prefix(prefix).split("/")[:-1] if prefix else []
        found = await _in_thread(partial(list_tree, self._tree, folders, after, limit))
        return [
            ListedFile(key=key, stored_at=datetime.fromtimestamp(seconds, UTC))
            for key, seconds in found
        ]

    async def delete(self, keys: Sequence[ArtifactKey]) -> None:
        """See the port."""
        await _in_thread(partial(self._tree.remove, [parse_key(key) for key in keys]))

    async def delete_prefix(self, prefix: str) -> int:
        """See the port; a file put at the same time stays or goes whole."""
        folders = parse_prefix(prefix).removesuffix("/").split("/")
        total, done = 0, False
        while not done:
            removed, done = await _in_thread(partial(self._tree.remove_some, folders))
            total += removed
        return total

    def signed_url(
        self, key: ArtifactKey, *, expires_at: datetime, filename: str, content_type: str
    ) -> str:
        """See the port; characters that UTF-8 cannot carry (lone surrogates) become ``?``."""
        name = filename.encode("utf-8", "replace").decode()
        query = self._signer.query(parse_key(key), int(expires_at.timestamp()), name, content_type)
        return f"{self._base_url}/files/{quote(key)}?{urlencode(query)}"

    def signed_put(
        self, key: ArtifactKey, *, expires_at: datetime, content_type: str, length: int
    ) -> SignedPut:
        """See the port."""
        expires = int(expires_at.timestamp())
        query = self._signer.put_query(parse_key(key), expires, length, content_type)
        return SignedPut(
            url=f"{self._base_url}/files/{quote(key)}?{urlencode(query)}",
            headers={"Content-Type": content_type},
        )

    async def check(self) -> None:
        """See the port."""
        await _in_thread(self._tree.check)

    async def resolve(self, key: str, query: Mapping[str, str], *, now: datetime) -> SignedFile:
        """See the ``SignedFiles`` port; whoever parses a query string refuses repeated names."""
        filename, content_type = self._signer.verify(key, query, int(now.timestamp()))
        try:
            checked = parse_key(key)
        except ValueError:
            raise NotFound from None
        size = await self.stat(checked)
        if size is None:
            raise NotFound
        return SignedFile(key=checked, bytes=size, filename=filename, content_type=content_type)

    async def resolve_put(
        self, key: str, query: Mapping[str, str], *, now: datetime
    ) -> SignedTarget:
        """See the ``SignedFiles`` port."""
        length, content_type = self._signer.verify_put(key, query, int(now.timestamp()))
        try:
            return SignedTarget(key=parse_key(key), content_type=content_type, length=length)
        except ValueError:
            raise NotFound from None

    async def take(self, target: SignedTarget, chunks: AsyncIterator[bytes]) -> None:
        """See the ``SignedFiles`` port."""
        if await self.stat(target.key) is not None:  # before any of it is read
            raise UploadExists
        async with (
            aclosing(exactly(chunks, target.length)) as whole,
            Upload(self._tree, target.key, replace=False) as upload,
        ):
            await upload.take(whole)


async def _in_thread(call: Callable[[], _T]) -> _T:
    async with DiskWork() as work:
        return await work.run(call)
