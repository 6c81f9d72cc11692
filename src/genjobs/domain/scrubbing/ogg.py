"""Ogg (RFC 3533) with Opus (RFC 7845) or Vorbis: comments are blanked, checksums made anew."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from genjobs.domain.scrubbing.steps import Parser, Pass, Take

_OGG_PAGES: Final = 64  # four megabytes of comments


def ogg() -> Parser:
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
    yield Pass(None)


def _ogg_page() -> Generator[Take | Pass | bytes, bytes, tuple[bytes, bytes]]:
    head = yield Take(27)
    lacings = yield Take(head[26] if len(head) == 27 else 0)
    body = yield Take(sum(lacings))
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
