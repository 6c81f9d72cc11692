"""Media from outside, in memory: a web of files, and an inspector that believes first bytes."""

from __future__ import annotations

from pathlib import Path

from genjobs.domain.errors import (
    DownloadFailed,
    DownloadTooLarge,
    MediaTypeRefused,
)
from genjobs.domain.media import SNIFF_BYTES, UNKNOWN, sniff
from genjobs.domain.ports import MediaFacts
from genjobs.domain.url_policy import UrlPolicy


class MemoryUrlFetcher:
    """
    The ``UrlFetcher`` port over :attr:`files`; URLs are judged by the real policy.

    There are no names to look up: every public one stands for an allowed address.
    """

    def __init__(self, policy: UrlPolicy | None = None) -> None:
        self._policy = policy or UrlPolicy()
        #: URL to content; an exception is raised in its place.
        self.files: dict[str, bytes | Exception] = {}

    async def judge(self, url: str) -> None:
        """See the port."""
        self._policy.parse(url)

    async def fetch(self, url: str, *, into: Path, limit: int) -> int:
        """See the port."""
        self._policy.parse(url)
        content = self.files.get(url, DownloadFailed())
        if isinstance(content, Exception):
            raise content
        if len(content) > limit:
            raise DownloadTooLarge
        return into.write_bytes(content)


class HeadInspector:
    """The ``MediaInspector`` port for tests that do not care for what follows the first bytes."""

    async def inspect(self, path: Path) -> MediaFacts:
        """See the port."""
        content = path.read_bytes()
        media_type = sniff(content[:SNIFF_BYTES])
        if media_type is UNKNOWN:
            raise MediaTypeRefused("The content is of no type that is accepted.")
        return MediaFacts(media_type=media_type, bytes=len(content))
