"""
ISO base media (ISO/IEC 14496-12), Matroska (RFC 8794, RFC 9559), FLAC (RFC 9639), ID3v2.

Tags become filler of the same size, since these formats count from their start.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from genjobs.domain.scrubbing.steps import Fate, Parser, Pass, Take


def iso_media() -> Parser:
    """Parse one file."""
    while len(head := (yield Take(8))) == 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if size == 1:
            head += yield Take(8)
            size = int.from_bytes(head[8:], "big")
        rest = size - len(head) if size else None
        if kind in {b"moov", b"trak"}:
            yield head  # its boxes come next
        elif kind in {b"udta", b"meta", b"uuid"}:
            yield head[:4] + b"free" + head[8:]
            yield Pass(rest, Fate.BLANK)
        else:
            yield head
            yield Pass(rest if rest is None else max(rest, 0))
    yield head


_SEGMENT: Final = b"\x18\x53\x80\x67"
_TAGS: Final = b"\x12\x54\xc3\x67"


def matroska() -> Parser:
    """Parse one file."""
    while first := (yield Take(1)):
        identifier = first + (yield Take(_vint_length(first[0]) - 1))
        first = yield Take(1)
        coded = first + (yield Take(_vint_length(first[0]) - 1)) if first else b""
        bits = 7 * len(coded)
        size = int.from_bytes(coded, "big") & (1 << bits) - 1
        if identifier == _SEGMENT or size == (1 << bits) - 1:  # of unknown size: look inside
            yield identifier + coded
        elif identifier == _TAGS:
            # Void: a shorter name, so a longer number, and filler for what that cannot take up.
            head = len(identifier) + len(coded)
            room = min(8, head - 1)
            filler = head - 1 - room
            yield b"\xec" + (1 << 7 * room | size + filler).to_bytes(room, "big")
            yield bytes(filler)
            yield Pass(size, Fate.BLANK)
        else:
            yield identifier + coded
            yield Pass(size)


def _vint_length(first: int) -> int:
    return 9 - first.bit_length() if first else 1


def tagged() -> Parser:
    """Parse one file that ID3 tags may come before: FLAC, or a row of frames (MP3, AAC)."""
    start = yield from _after_id3()
    yield start
    if start == b"fLaC":
        yield from _flac_blocks()
    yield Pass(None)


def _flac_blocks() -> Parser:
    last = False
    while not last and len(head := (yield Take(4))) == 4:
        comment = head[0] & 0x7F == 4
        last = bool(head[0] & 0x80)
        yield bytes([head[0] & 0x80 | 1]) + head[1:] if comment else head
        yield Pass(int.from_bytes(head[1:], "big"), Fate.BLANK if comment else Fate.KEEP)
    if not last:
        yield head


def _after_id3() -> Generator[Take | Pass | bytes, bytes, bytes]:
    """Drop the ID3v2 tags at the start and return the first 4 bytes that follow."""
    start = yield Take(4)
    while start[:3] == b"ID3":
        rest = yield Take(6)
        if len(rest) < 6:
            return start + rest
        size = sum(
            (byte & 0x7F) << shift for byte, shift in zip(rest[2:], (21, 14, 7, 0), strict=True)
        )
        yield Pass(size + (10 if rest[1] & 0x10 else 0), Fate.DROP)
        start = yield Take(4)
    return start
