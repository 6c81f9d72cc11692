"""Media from outside, in memory: a web of files, and an inspector that believes first bytes."""

from __future__ import annotations

from pathlib import Path

from genjobs.domain.errors import (
    DownloadFailed,
    DownloadTooLarge,
    GenjobsError,
    MediaContentRefused,
    MediaTypeRefused,
    Unavailable,
)
from genjobs.domain.media import ACCEPTED_INPUTS, PNG, SNIFF_BYTES, sniff
from genjobs.domain.media_limits import MediaLimits
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
        try:
            return into.write_bytes(content)
        except OSError as exc:
            raise Unavailable("A download cannot be stored just now.") from exc


class HeadInspector:
    """
    The ``MediaInspector`` port that reads no further than headers, but for a PNG's end.

    Put errors into :attr:`refusals` to have the next inspections raise them, in their order.
    """

    def __init__(self, limits: MediaLimits | None = None) -> None:
        self._limits = limits or MediaLimits()
        self.refusals: list[GenjobsError] = []

    async def inspect(self, path: Path) -> MediaFacts:
        """See the port."""
        try:
            content = path.read_bytes()
        except OSError as exc:
            raise Unavailable("The file cannot be read just now.") from exc
        if self.refusals:
            raise self.refusals.pop(0)
        media_type = sniff(content[:SNIFF_BYTES])
        if media_type not in ACCEPTED_INPUTS:
            raise MediaTypeRefused("The content is of no type that is accepted.")
        if len(content) > self._limits.bytes:
            raise MediaContentRefused(
                f"The file has {len(content)} bytes; at most {self._limits.bytes} are allowed."
            )
        if media_type != PNG:
            return MediaFacts(media_type=media_type, bytes=len(content))
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        if width * height > self._limits.picture_pixels:
            raise MediaContentRefused(f"The picture has {width} x {height} pixels: too many.")
        if not width or not height or b"IEND" not in content:
            raise MediaContentRefused("The file is broken.")
        return MediaFacts(
            media_type=media_type, bytes=len(content), width=width, height=height, frames=1
        )
