"""Limits of one file from outside, held by every inspection; how they are measured is not here."""

from __future__ import annotations

from dataclasses import dataclass

from genjobs.domain.limits import MAX_MEDIA_BYTES

_MEGA = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """Upper limits, each inclusive."""

    bytes: int = MAX_MEDIA_BYTES

    #: Pixels of a picture, of one side of it, and of all its frames together.
    picture_pixels: int = 40 * _MEGA
    picture_side: int = 16_384
    picture_frames: int = 1_000
    picture_total_pixels: int = 600 * _MEGA

    #: Streams of any sort (a phone adds several of data), and those of video and sound.
    streams: int = 16
    media_streams: int = 4
    video_seconds: float = 600
    audio_seconds: float = 1_800
    #: 4096 x 2304, in any orientation.
    video_pixels: int = 4_096 * 2_304
    video_side: int = 8_192
    video_rate: float = 120  # frames per second
    sample_rate: int = 192_000  # Hz
    channels: int = 8
    #: Of a video, frames are decoded from the start until they have this many pixels, then key
    #: frames alone until they have as many again; the rest is read and not decoded.
    video_decoded_pixels: int = 600 * _MEGA

    #: Of the process that decodes. Processor time is the file's fault; time on the clock is not,
    #: and longer.
    cpu_seconds: int = 15
    wall_seconds: float = 30
    #: Address space above what the process has before it opens the file.
    memory_bytes: int = 1024 * 1024 * 1024
