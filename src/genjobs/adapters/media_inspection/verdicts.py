"""
What a confined process says about a file: how it is written, read strictly, and put into words.

A verdict is one line of JSON. Its reader takes numbers and names from fixed lists only, so that
whatever took over the process cannot put words into a public message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from genjobs.domain.media import MediaKind, MediaType
from genjobs.domain.media_limits import MediaLimits

_MOST: Final = 2**53
_DETAIL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}")


class Reason(StrEnum):
    """Why a file is refused."""

    BROKEN = "broken"
    CUT_OFF = "cut_off"
    MEMORY = "memory"
    CPU = "cpu"
    PICTURE_PIXELS = "picture_pixels"
    PICTURE_SIDE = "picture_side"
    PICTURE_FRAMES = "picture_frames"
    PICTURE_TOTAL = "picture_total"
    FURTHER_PICTURES = "further_pictures"
    STREAMS = "streams"
    NO_SOUND = "no_sound"
    NO_PICTURES = "no_pictures"
    NOT_SOUND_ALONE = "not_sound_alone"
    CODEC = "codec"
    DURATION = "duration"
    VIDEO_SIZE = "video_size"
    VIDEO_RATE = "video_rate"
    SOUND_FORMAT = "sound_format"


class Refused(Exception):
    """
    The file is refused; ``width`` and ``height`` when they are the reason.

    ``detail`` is for the log: the class of the decoder's error.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        width: int | None = None,
        height: int | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.width = width
        self.height = height
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a file that is not refused was found to be; members as in ``MediaFacts``."""

    width: int | None = None
    height: int | None = None
    frames: int | None = None
    seconds: float | None = None


class Unreadable(Exception):
    """The line is no verdict."""


def write(verdict: Found | Refused) -> bytes:
    """Return the line of a verdict."""
    if isinstance(verdict, Refused):
        said: dict[str, Any] = {
            "refused": verdict.reason.value,
            "width": verdict.width,
            "height": verdict.height,
            "detail": verdict.detail,
        }
    else:
        said = asdict(verdict)
    return json.dumps(said).encode() + b"\n"


def read(line: bytes) -> Found | Refused:
    """Return the verdict of a line; raises ``Unreadable``."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Unreadable from exc
    if not isinstance(said, dict):
        raise Unreadable
    width, height = _count(said, "width"), _count(said, "height")
    if "refused" in said:
        try:
            reason = Reason(said["refused"])
        except ValueError as exc:
            raise Unreadable from exc
        detail = said.get("detail")
        if detail is not None and not (isinstance(detail, str) and _DETAIL.fullmatch(detail)):
            raise Unreadable
        return Refused(reason, width=width, height=height, detail=detail)
    seconds = said.get("seconds")
    if seconds is not None and not (isinstance(seconds, float) and 0 <= seconds < _MOST):
        raise Unreadable
    return Found(width=width, height=height, frames=_count(said, "frames"), seconds=seconds)


def _count(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    if value is not None and not (type(value) is int and 0 <= value < _MOST):
        raise Unreadable
    return value


def message(refused: Refused, media_type: MediaType, limits: MediaLimits) -> str:
    """Return the public reason of a refusal."""
    size = (
        f"of {refused.width} x {refused.height} pixels"
        if refused.width is not None and refused.height is not None
        else "of more pixels"
    )
    longest = limits.audio_seconds if media_type.kind is MediaKind.AUDIO else limits.video_seconds
    texts = {
        Reason.BROKEN: "The file is broken: it cannot be decoded as "
        f"{media_type.content_type}, which its first bytes say it is.",
        Reason.CUT_OFF: "The file is cut off: it ends before its own header says.",
        Reason.MEMORY: "The file takes more memory to decode than is allowed.",
        Reason.CPU: "The file takes longer to decode than is allowed.",
        Reason.PICTURE_PIXELS: f"The picture is {size}; at most {_mega(limits.picture_pixels)} "
        "megapixels are allowed.",
        Reason.PICTURE_SIDE: f"The picture is {size}; a side may have at most "
        f"{limits.picture_side}.",
        Reason.PICTURE_FRAMES: f"The picture has more than {limits.picture_frames} frames.",
        Reason.PICTURE_TOTAL: "The frames of the picture have more than "
        f"{_mega(limits.picture_total_pixels)} megapixels together.",
        Reason.FURTHER_PICTURES: "The file has further pictures after the first.",
        Reason.STREAMS: f"The file has more than {limits.media_streams} streams of video and "
        f"sound, or more than {limits.streams} streams in all.",
        Reason.NO_SOUND: "The file has no sound in it.",
        Reason.NO_PICTURES: "The file has no video in it.",
        Reason.NOT_SOUND_ALONE: f"The file says that it is {media_type.content_type}, but has "
        "video in it.",
        Reason.CODEC: "The file has a stream in it of a codec that is not accepted.",
        Reason.DURATION: f"The file is longer than {longest:g} seconds.",
        Reason.VIDEO_SIZE: f"The video is {size}; at most {limits.video_pixels} pixels are "
        f"allowed, {limits.video_side} on a side.",
        Reason.VIDEO_RATE: f"The video has more than {limits.video_rate:g} frames per second.",
        Reason.SOUND_FORMAT: f"The sound has more than {limits.sample_rate} samples per second, "
        f"or more than {limits.channels} channels.",
    }
    return texts[refused.reason]


def _mega(pixels: int) -> str:
    return f"{pixels / 1_000_000:g}"
