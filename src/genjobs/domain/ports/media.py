"""Ports that look into media: proving what a file is, and reading a picture's size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from genjobs.domain.media import MediaType


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What a file was found to be."""

    #: One of ``ACCEPTED_INPUTS``; more exact than the first bytes, since sound alone in a container
    #: of video is a type of audio.
    media_type: MediaType
    bytes: int
    #: Pixels as stored, before any orientation tag; None for sound.
    width: int | None = None
    height: int | None = None
    #: Pictures that the file holds; None for sound.
    frames: int | None = None
    #: Seconds as measured, not as declared; None for pictures.
    duration_seconds: float | None = None


class MediaInspector(Protocol):
    """Proves that a customer's file is what its first bytes say."""

    async def inspect(self, path: Path) -> MediaFacts:
        """
        Decode the file where it can do no harm, and return what it is.

        The file must stay as it is, and the caller must not change it meanwhile. Memory and time
        must be bounded whatever it holds. Refusals say which limit (``MediaLimits``) and name no
        path and no library: they are public.

        Raises:
            MediaTypeRefused: it is of no type that is accepted as an input.
            MediaContentRefused: it is broken, not what it says, or over a limit.
            InspectionFailed: what looked into it was lost, and lost again when it was tried once
                more; the file may be the reason, so this counts as a try.
            Unavailable: it could not be inspected just now, for a reason that is not the file.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSize:
    """Pixels."""

    width: int
    height: int


class MediaProbe(Protocol):
    """Looks into media without trusting them."""

    def picture_size(self, head: bytes) -> PictureSize | None:
        """Return the size of the picture that starts with ``head`` (64 KiB), None if unreadable."""
