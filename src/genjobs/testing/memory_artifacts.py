"""Artifacts in memory, with URLs that only this store understands."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from genjobs.domain.artifacts import ArtifactKey, StoredFile, parse_key, parse_prefix
from genjobs.domain.errors import NotFound, Unavailable, UploadExists, UploadMismatch
from genjobs.domain.ports import Clock, ListedFile, SignedFile, SignedPut, SignedTarget
from genjobs.testing.clock import BEGINNING, FakeClock

_CHUNK = 64 * 1024


class MemoryArtifactStore:
    """The ``ArtifactStore`` and ``SignedFiles`` ports; ``available`` switches an outage."""

    def __init__(self, base_url: str = "https://files.test", *, clock: Clock | None = None) -> None:
        self.files: dict[ArtifactKey, bytes] = {}
        self._stored_at: dict[ArtifactKey, datetime] = {}
        self._clock = clock or FakeClock()
        self.available = True
        self._base_url = base_url
        self._secret = secrets.token_hex(16)

    async def put(
        self, key: ArtifactKey, chunks: AsyncIterator[bytes], *, content_type: str
    ) -> StoredFile:
        """See the port."""
        self._reach()
        parse_key(key)
        content = b"".join([chunk async for chunk in chunks])
        self._reach()
        self.files[parse_key(key)] = content
        self._stored_at[key] = self._clock.now()
        return StoredFile(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    @asynccontextmanager
    async def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See the port."""
        self._reach()
        if parse_key(key) not in self.files:
            raise NotFound
        content = self.files[key][start:]
        yield _chunks(content if length is None else content[:length])

    async def stat(self, key: ArtifactKey) -> int | None:
        """See the port."""
        self._reach()
        return len(self.files[key]) if parse_key(key) in self.files else None

    async def list_files(self, prefix: str, *, after: str, limit: int) -> Sequence[ListedFile]:
        """See the port; files that a test put in by hand are as old as time."""
        self._reach()
        found = sorted(key for key in self.files if key > after and key.startswith(prefix))
        return [
            ListedFile(key=key, stored_at=self._stored_at.get(key, BEGINNING))
            for key in found[:limit]
        ]

    async def delete(self, keys: Sequence[ArtifactKey]) -> None:
        """See the port."""
        self._reach()
        for key in keys:
            self.files.pop(parse_key(key), None)

    async def delete_prefix(self, prefix: str) -> int:
        """See the port."""
        self._reach()
        checked = parse_prefix(prefix)
        doomed = [key for key in self.files if key.startswith(checked)]
        await self.delete(doomed)
        return len(doomed)

    def signed_url(
        self, key: ArtifactKey, *, expires_at: datetime, filename: str, content_type: str
    ) -> str:
        """See the port."""
        parse_key(key)
        query = {
            "expires": str(int(expires_at.timestamp())),
            "name": filename.encode("utf-8", "replace").decode(),
            "type": content_type,
        }
        query["signature"] = self._signature(key, query)
        return f"{self._base_url}/files/{quote(key)}?{urlencode(query)}"

    def signed_put(
        self, key: ArtifactKey, *, expires_at: datetime, content_type: str, length: int
    ) -> SignedPut:
        """See the port."""
        parse_key(key)
        query = {
            "expires": str(int(expires_at.timestamp())),
            "length": str(length),
            "type": content_type,
        }
        query["signature"] = self._signature(f"PUT {key}", query)
        return SignedPut(
            url=f"{self._base_url}/files/{quote(key)}?{urlencode(query)}",
            headers={"Content-Type": content_type},
        )

    async def check(self) -> None:
        """See the port."""
        self._reach()

    async def resolve(self, key: str, query: Mapping[str, str], *, now: datetime) -> SignedFile:
        """See the ``SignedFiles`` port."""
        members = dict(query)
        given = members.pop("signature", "")
        if given != self._signature(key, members) or now.timestamp() >= int(query["expires"]):
            raise NotFound
        size = await self.stat(parse_key(key))
        if size is None:
            raise NotFound
        return SignedFile(
            key=parse_key(key), bytes=size, filename=query["name"], content_type=query["type"]
        )

    async def resolve_put(
        self, key: str, query: Mapping[str, str], *, now: datetime
    ) -> SignedTarget:
        """See the ``SignedFiles`` port."""
        members = dict(query)
        given = members.pop("signature", "")
        signed = given == self._signature(f"PUT {key}", members)
        if not signed or now.timestamp() >= int(query["expires"]):
            raise NotFound
        return SignedTarget(
            key=parse_key(key), content_type=query["type"], length=int(query["length"])
        )

    async def take(self, target: SignedTarget, chunks: AsyncIterator[bytes]) -> None:
        """See the ``SignedFiles`` port."""
        if await self.stat(target.key) is not None:
            raise UploadExists
        content = b""
        async for chunk in chunks:
            content += chunk
            if len(content) > target.length:
                raise UploadMismatch
        if len(content) != target.length:
            raise UploadMismatch
        if await self.stat(target.key) is not None:
            raise UploadExists
        await self.put(target.key, _chunks(content), content_type=target.content_type)

    async def fetch(self, url: str, *, now: datetime) -> bytes:
        """Return what a signed URL serves at ``now``; for tests that follow links."""
        parts = urlsplit(url)
        key = parts.path.removeprefix("/files/")
        return self.files[(await self.resolve(key, dict(parse_qsl(parts.query)), now=now)).key]

    def _signature(self, key: str, query: Mapping[str, str]) -> str:
        text = repr((self._secret, key, sorted(query.items())))
        return hashlib.sha256(text.encode()).hexdigest()

    def _reach(self) -> None:
        if not self.available:
            raise Unavailable


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
