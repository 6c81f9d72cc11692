"""
Whether a file ends before its container does, told by the container's own lengths.

Only lengths that say so for certain count: what is unknown, or was written by a recorder that did
not know the length yet, passes. Formats that are a plain row of frames (MP3, AAC, Ogg) and are cut
between two of them are shorter files, not broken ones.
"""

from __future__ import annotations

from typing import IO, Final

from genjobs.domain import media
from genjobs.domain.media import MediaType
from genjobs.domain.media_headers import vint

_SEGMENT: Final = 0x18538067
_MOST_BOXES: Final = 10_000
_HOLDING: Final = frozenset({b"mdat", b"moov", b"moof"})
_UNKNOWN_RIFF_LENGTHS: Final = frozenset({0, 0xFFFFFFFF})


def is_cut_off(file: IO[bytes], media_type: MediaType, size: int) -> bool:
    """Whether the file, of ``size`` bytes, is shorter than its container says."""
    if media_type in (media.MP4, media.MOV, media.M4A):
        return _boxes_end_after(file, size)
    if media_type in (media.WEBM, media.MKV):
        return _segment_ends_after(file, size)
    if media_type == media.WAV:
        return _riff_data_ends_after(file, size)
    return False


def _boxes_end_after(file: IO[bytes], size: int) -> bool:
    """Follow the boxes of an ISO file (ISO/IEC 14496-12 4.2) as long as they are boxes."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return False
        length, kind, least = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, least = int.from_bytes(head[8:16], "big"), 16
        if length == 0:  # to the end of the file
            return False
        if at + length > size:
            return kind in _HOLDING
        if length < least:
            return False
        at += length
    return False


def _segment_ends_after(file: IO[bytes], size: int) -> bool:
    """Read the segment's length (RFC 9559 section 4.5); a live recording has none."""
    file.seek(0)
    head = file.read(media.SNIFF_BYTES)
    length, at = vint(head, 4)
    if length is None:
        return False
    element, at = vint(head, at + length, keep_marker=True)
    if element != _SEGMENT or at >= len(head):
        return False
    start = at
    length, at = vint(head, at)
    unknown = (1 << 7 * (at - start)) - 1
    return length is not None and length != unknown and at + length > size


def _riff_data_ends_after(file: IO[bytes], size: int) -> bool:
    """Find the chunk of samples; a recorder that streams leaves its length at 0 or all ones."""
    at = 12
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return False
        length = int.from_bytes(head[4:8], "little")
        if head[:4] == b"data":
            return length not in _UNKNOWN_RIFF_LENGTHS and at + 8 + length > size
        at += 8 + length + length % 2
    return False
