"""
Scrubbing: taking text that a workflow left in its files out of them, as they stream by.

ComfyUI writes the whole graph, prompts included, into what it saves unless it is told not to;
what is delivered must hold none of it. Pixels and samples pass unchanged. Sizes are kept where a
format counts them from the start: what is taken out becomes filler that every reader skips.

Formats: PNG (W3C), JPEG (T.81), WebP (RFC 9649), ISO base media (ISO/IEC 14496-12), Matroska
(RFC 8794, RFC 9559), FLAC (RFC 9639), ID3v2, Ogg (RFC 3533) with Opus (RFC 7845) and Vorbis.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from genjobs.domain.media import MediaType


class _Fate(Enum):
    KEEP = auto()
    BLANK = auto()
    DROP = auto()


@dataclass(frozen=True, slots=True)
class _Take:
    """Ask for the next ``size`` bytes; fewer come only at the end of the file."""

    size: int


@dataclass(frozen=True, slots=True)
class _Pass:
    """Let ``size`` bytes by, None for all that is left."""

    size: int | None
    fate: _Fate = _Fate.KEEP


_Parser = Generator[_Take | _Pass | bytes, bytes, None]


class Scrubber:
    """Scrubs one file; what :meth:`feed` and :meth:`finish` return is the scrubbed file."""

    def __init__(self, media_type: MediaType) -> None:
        make = _PARSERS.get(media_type.content_type)
        self._parser = make() if make else _unchanged()
        self._step: _Take | _Pass | bytes | None = next(self._parser, None)
        self._held = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Return what is known of the scrubbed file by now; holds back little."""
        self._held += chunk
        return self._run(ended=False)

    def finish(self) -> bytes:
        """Return the rest."""
        return self._run(ended=True)

    def _run(self, *, ended: bool) -> bytes:
        out = bytearray()
        while True:
            match self._step:
                case bytes() as made:
                    out += made
                    self._go_on(b"")
                case _Take(size=size):
                    if len(self._held) < size and not ended:
                        break
                    self._go_on(self._cut(size))
                case _Pass(size=size, fate=fate):
                    wanted = len(self._held) if size is None else min(size, len(self._held))
                    part = self._cut(wanted)
                    if fate is _Fate.KEEP:
                        out += part
                    elif fate is _Fate.BLANK:
                        out += bytes(len(part))
                    left = None if size is None else size - len(part)
                    if left != 0 and not ended:
                        self._step = _Pass(left, fate)
                        break
                    self._go_on(b"")
                case None:  # what follows the end of a file is no part of it
                    self._held.clear()
                    break
        return bytes(out)

    def _cut(self, size: int) -> bytes:
        part = bytes(self._held[:size])
        del self._held[:size]
        return part

    def _go_on(self, taken: bytes) -> None:
        try:
            self._step = self._parser.send(taken)
        except StopIteration:
            self._step = None


def _unchanged() -> _Parser:
    yield _Pass(None)


def _png() -> _Parser:
    yield (yield _Take(8))
    while len(head := (yield _Take(8))) == 8:
        size, kind = int.from_bytes(head[:4], "big") + 4, head[4:]
        if kind in {b"tEXt", b"zTXt", b"iTXt", b"eXIf"}:
            yield _Pass(size, _Fate.DROP)
        else:
            yield head
            yield _Pass(size)
        if kind == b"IEND":
            return
    yield head


def _jpeg() -> _Parser:
    yield (yield _Take(2))
    while len(head := (yield _Take(4))) == 4 and head[0] == 0xFF:
        size = max(int.from_bytes(head[2:], "big") - 2, 0)
        if head[1] in {0xE1, 0xED, 0xFE}:  # EXIF and XMP, IPTC, a comment
            yield _Pass(size, _Fate.DROP)
            continue
        yield head
        if head[1] == 0xDA:  # the picture begins
            yield _Pass(None)
            return
        yield _Pass(size)
    yield head
    yield _Pass(None)


def _webp() -> _Parser:
    yield (yield _Take(12))
    while len(head := (yield _Take(8))) == 8:
        size = int.from_bytes(head[4:], "little")
        padded = size + size % 2
        if head[:4] in {b"EXIF", b"XMP "}:
            yield b"JUNK" + head[4:]
            yield _Pass(padded, _Fate.BLANK)
        elif head[:4] == b"VP8X" and size >= 1:
            flags = yield _Take(1)
            yield head + bytes([flags[0] & ~0x0C]) if flags else head
            yield _Pass(padded - 1)
        else:
            yield head
            yield _Pass(padded)
    yield head


def _iso_media() -> _Parser:
    while len(head := (yield _Take(8))) == 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if size == 1:
            head += yield _Take(8)
            size = int.from_bytes(head[8:], "big")
        rest = size - len(head) if size else None
        if kind in {b"moov", b"trak"}:
            yield head  # its boxes come next
        elif kind in {b"udta", b"meta", b"uuid"}:
            yield head[:4] + b"free" + head[8:]
            yield _Pass(rest, _Fate.BLANK)
        else:
            yield head
            yield _Pass(rest if rest is None else max(rest, 0))
    yield head


_SEGMENT: Final = b"\x18\x53\x80\x67"
_TAGS: Final = b"\x12\x54\xc3\x67"


def _matroska() -> _Parser:
    while first := (yield _Take(1)):
        identifier = first + (yield _Take(_vint_length(first[0]) - 1))
        first = yield _Take(1)
        coded = first + (yield _Take(_vint_length(first[0]) - 1)) if first else b""
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
            yield _Pass(size, _Fate.BLANK)
        else:
            yield identifier + coded
            yield _Pass(size)


def _vint_length(first: int) -> int:
    return 9 - first.bit_length() if first else 1


def _flac() -> _Parser:
    yield (yield _Take(4))
    while len(head := (yield _Take(4))) == 4:
        comment = head[0] & 0x7F == 4
        yield bytes([head[0] & 0x80 | 1]) + head[1:] if comment else head
        yield _Pass(int.from_bytes(head[1:], "big"), _Fate.BLANK if comment else _Fate.KEEP)
        if head[0] & 0x80:
            yield _Pass(None)
            return
    yield head


def _mp3() -> _Parser:
    head = yield _Take(10)
    while len(head) == 10 and head[:3] == b"ID3":
        size = sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
        yield _Pass(size + (10 if head[5] & 0x10 else 0), _Fate.DROP)
        head = yield _Take(10)
    yield head
    yield _Pass(None)


def _ogg() -> _Parser:
    """Blank the comments of the first stream; they are its second packet, on its second page."""
    yield (yield from _ogg_page())[0]
    pages: list[tuple[bytes, bytes]] = []
    while True:
        whole, body = yield from _ogg_page()
        if not whole:
            break
        pages.append((whole[: len(whole) - len(body)], body))
        if any(lacing < 255 for lacing in pages[-1][0][27:]) or len(pages) > _OGG_PAGES:
            break
    packet = bytearray(b"".join(body for _, body in pages))
    _blank_comments(packet)
    for head, body in pages:
        part = bytes(packet[: len(body)])
        del packet[: len(body)]
        blanked = head[:22] + bytes(4) + head[26:] + part
        yield blanked[:22] + _ogg_checksum(blanked).to_bytes(4, "little") + blanked[26:]
    yield _Pass(None)


_OGG_PAGES: Final = 64  # four megabytes of comments


def _ogg_page() -> Generator[_Take | _Pass | bytes, bytes, tuple[bytes, bytes]]:
    head = yield _Take(27)
    lacings = yield _Take(head[26] if len(head) == 27 else 0)
    body = yield _Take(sum(lacings))
    return head + lacings + body, body


def _blank_comments(packet: bytearray) -> None:
    for magic in (b"OpusTags", b"\x03vorbis"):
        if packet.startswith(magic):
            count_at = (
                len(magic) + 4 + int.from_bytes(packet[len(magic) : len(magic) + 4], "little")
            )
            end = _comments_end(packet, count_at)
            packet[count_at:end] = bytes(end - count_at)
            if magic == b"\x03vorbis" and count_at + 4 < len(packet):
                packet[count_at + 4] = 1  # the framing bit follows the last comment


def _comments_end(packet: bytearray, count_at: int) -> int:
    count = int.from_bytes(packet[count_at : count_at + 4], "little")
    at = count_at + 4
    for _ in range(count):
        if at + 4 > len(packet):
            break
        at += 4 + int.from_bytes(packet[at : at + 4], "little")
    return min(at, len(packet))


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return tuple(table)


_CRC: Final = _crc_table()


def _ogg_checksum(page: bytes) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _CRC[value >> 24 ^ byte]
    return value


_PARSERS: Final[Mapping[str, Callable[[], _Parser]]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/webp": _webp,
    "video/mp4": _iso_media,
    "video/quicktime": _iso_media,
    "audio/mp4": _iso_media,
    "video/webm": _matroska,
    "video/x-matroska": _matroska,
    "audio/flac": _flac,
    "audio/mpeg": _mp3,
    "audio/ogg": _ogg,
    "audio/opus": _ogg,
}
