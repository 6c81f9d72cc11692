"""
What the first bytes of containers say: brands, document types, codecs, frame headers.

Pure functions over a file's head, each stopping at its end; which media type follows from them is
decided in ``media``.
"""

from __future__ import annotations

from typing import Final

_EBML: Final = b"\x1aE\xdf\xa3"
_DOC_TYPE: Final = 0x4282
_OGG_FIRST_PAGE: Final = 0x02
_LAYER_III: Final = 0b01
_LONGEST_FTYP: Final = 1024


def brands(head: bytes) -> tuple[bytes, ...]:
    """
    Return the brands of a ``ftyp`` box (ISO/IEC 14496-12 4.3), the major one first; may be empty.

    Compatible brands beyond the end of ``head`` are left out.
    """
    if head[4:8] != b"ftyp" or len(head) < 12:
        return ()
    size = int.from_bytes(head[:4], "big")
    if not 16 <= size <= _LONGEST_FTYP or size % 4:
        return ()
    box = head[:size]
    return (box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4)))


def vint(data: bytes, at: int, *, keep_marker: bool = False) -> tuple[int | None, int]:
    """
    Return the variable-size integer of EBML at ``at`` (RFC 8794 section 4) and where it ends.

    None when it is cut off or has more than 8 bytes. An element's id keeps its length marker.
    """
    if at >= len(data) or data[at] == 0:
        return None, at
    width = 9 - data[at].bit_length()
    if at + width > len(data):
        return None, at
    value = int.from_bytes(data[at : at + width], "big")
    return value if keep_marker else value & ((1 << 7 * width) - 1), at + width


def ebml_doc_type(head: bytes) -> bytes | None:
    """Return DocType of an EBML header (RFC 8794 section 11.2), None when there is none."""
    if not head.startswith(_EBML):
        return None
    length, at = vint(head, 4)
    if length is None:
        return None
    end = min(at + length, len(head))
    while at < end:
        element, at = vint(head, at, keep_marker=True)
        length, at = vint(head, at)
        if element is None or length is None or at + length > end:
            return None
        if element == _DOC_TYPE:
            return head[at : at + length].rstrip(b"\x00")
        at += length
    return None


def ogg_first_packet(head: bytes) -> bytes | None:
    """Return the beginning of the first packet of an Ogg stream (RFC 3533), None if not one."""
    if len(head) < 28 or not head.startswith(b"OggS\x00") or not head[5] & _OGG_FIRST_PAGE:
        return None
    return head[27 + head[26] :]


def is_mpeg_layer_3(head: bytes) -> bool:
    """
    Whether ``head`` starts with the frame header of an MP3 (ISO/IEC 11172-3 2.4.2.3, 13818-3).

    MPEG 1, 2 and 2.5, with or without CRC. Free format (no bitrate in the header) is left out,
    since decoders do not read it.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, sample_rate, emphasis = head[2] >> 4, head[2] >> 2 & 3, head[3] & 3
    return (
        version != 0b01
        and layer == _LAYER_III
        and bitrate not in (0b0000, 0b1111)
        and sample_rate != 0b11
        and emphasis != 0b10
    )


def is_id3(head: bytes) -> bool:
    """Whether ``head`` starts with an ID3v2 tag (id3.org, ID3v2.4.0 section 3.1)."""
    return (
        len(head) >= 10
        and head.startswith(b"ID3")
        and head[3] in (2, 3, 4)
        and head[4] != 0xFF
        and not head[5] & 0x0F
        and all(byte < 0x80 for byte in head[6:10])
    )


def after_id3(head: bytes) -> bytes:
    """Return what follows the ID3v2 tags at the start, empty when they reach beyond ``head``."""
    while is_id3(head):
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte
        head = head[10 + size + (10 if head[5] & 0x10 else 0) :]  # a footer is a second header
    return head


def is_adts(head: bytes) -> bool:
    """Whether ``head`` starts with a frame header of ADTS (ISO/IEC 14496-3 1.A.3.2)."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return False
    rate = head[2] >> 2 & 0x0F
    length = (head[3] & 0x03) << 11 | head[4] << 3 | head[5] >> 5
    return rate <= 12 and length > 7


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP (RFC 9649 sections 2.5 to 2.7), None if unreadable."""
    if len(head) < 30:
        return None
    chunk, data = head[12:16], head[20:30]
    if chunk == b"VP8X":
        return (
            1 + int.from_bytes(data[4:7], "little"),
            1 + int.from_bytes(data[7:10], "little"),
        )
    if chunk == b"VP8L" and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return (
            int.from_bytes(data[6:8], "little") & 0x3FFF,
            int.from_bytes(data[8:10], "little") & 0x3FFF,
        )
    return None
