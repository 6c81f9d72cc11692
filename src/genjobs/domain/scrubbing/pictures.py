"""PNG (W3C), JPEG (ITU-T T.81) and WebP (RFC 9649): text, EXIF and comments go."""

from __future__ import annotations

from genjobs.domain.scrubbing.steps import Fate, Parser, Pass, Take


def png() -> Parser:
    """Parse one file."""
    yield (yield Take(8))
    while len(head := (yield Take(8))) == 8:
        size, kind = int.from_bytes(head[:4], "big") + 4, head[4:]
        if kind in {b"tEXt", b"zTXt", b"iTXt", b"eXIf"}:
            yield Pass(size, Fate.DROP)
        else:
            yield head
            yield Pass(size)
        if kind == b"IEND":
            return
    yield head


def jpeg() -> Parser:
    """Parse one file."""
    yield (yield Take(2))
    while len(head := (yield Take(4))) == 4 and head[0] == 0xFF:
        size = max(int.from_bytes(head[2:], "big") - 2, 0)
        if head[1] in {0xE1, 0xED, 0xFE}:  # EXIF and XMP, IPTC, a comment
            yield Pass(size, Fate.DROP)
            continue
        yield head
        if head[1] == 0xDA:  # the picture begins
            yield Pass(None)
            return
        yield Pass(size)
    yield head
    yield Pass(None)


def webp() -> Parser:
    """Parse one file."""
    yield (yield Take(12))
    while len(head := (yield Take(8))) == 8:
        size = int.from_bytes(head[4:], "little")
        padded = size + size % 2
        if head[:4] in {b"EXIF", b"XMP "}:
            yield b"JUNK" + head[4:]
            yield Pass(padded, Fate.BLANK)
        elif head[:4] == b"VP8X" and size >= 1:
            flags = yield Take(1)
            yield head + bytes([flags[0] & ~0x0C]) if flags else head
            yield Pass(padded - 1)
        else:
            yield head
            yield Pass(padded)
    yield head
