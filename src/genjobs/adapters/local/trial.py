"""The ``SignedTrial`` port for a directory: its URLs are read as the API that serves them does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, unquote, urlsplit

from genjobs.domain.errors import NotFound, UploadExists, UploadMismatch
from genjobs.domain.ports import Clock, SignedFiles, SignedPut

_PATH = "/files/"


class DirectoryTrial:
    """Takes the API's part, which may not be running."""

    def __init__(self, files: SignedFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock

    async def put(self, signed: SignedPut, body: bytes) -> bool:
        """See the port; the API refuses another length before it reads the body."""
        key, query = _parts(signed.url)
        try:
            target = await self._files.resolve_put(key, query, now=self._clock.now())
            if target.length != len(body):
                return False
            await self._files.take(target, _chunks(body))
        except (NotFound, UploadExists, UploadMismatch):
            return False
        return True

    async def get(self, url: str) -> bytes | None:
        """See the port."""
        key, query = _parts(url)
        try:
            file = await self._files.resolve(key, query, now=self._clock.now())
            async with self._files.read(file.key) as chunks:
                return b"".join([chunk async for chunk in chunks])
        except NotFound:
            return None


def _parts(url: str) -> tuple[str, dict[str, str]]:
    split = urlsplit(url)
    _, _, key = split.path.partition(_PATH)
    return unquote(key), dict(parse_qsl(split.query))


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body
