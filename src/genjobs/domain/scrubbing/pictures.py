"""PNG (W3C), JPEG (ITU-T T.81), WebP (RFC 9649), GIF and EXR: text, EXIF and comments go."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from genjobs.domain.scrubbing.steps import Fate, Parser, Pass, Take

#: Chunks that say how a PNG looks (PNG, third edition, 11.2 and 11.3), all but text and EXIF. Any
#: other may hold anything: ComfyUI saves the graph of an animated PNG in one of its own, ``comf``.
_PNG_KEPT: Final = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"tRNS", b"cHRM", b"gAMA"}
    | {b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"hIST", b"pHYs", b"sPLT"}
)
_GIF_LOOPS: Final = frozenset({b"NETSCAPE2.0", b"ANIMEXTS1.0"})
#: Types of EXR attributes that are numbers (OpenEXR file layout), and the texts that readers need.
_EXR_KEPT: Final = frozenset(
    name + b"\x00"
    for name in (
        *(b"box2i", b"box2f", b"chlist", b"chromaticities", b"compression", b"double", b"envmap"),
        *(b"float", b"int", b"keycode", b"lineOrder", b"m33f", b"m44f", b"rational", b"tiledesc"),
        *(b"timecode", b"v2i", b"v2f", b"v3i", b"v3f"),
    )
)
_EXR_NAMES: Final = frozenset({b"type\x00", b"name\x00", b"view\x00", b"multiView\x00"})
_EXR_PARTS: Final = 0x1000
_EXR_LONGEST_NAME: Final = 255


def png() -> Parser:
    """Parse one file."""
    yield (yield Take(8))
    while len(head := (yield Take(8))) == 8:
        size, kind = int.from_bytes(head[:4], "big") + 4, head[4:]
        if kind in _PNG_KEPT:
            yield head
            yield Pass(size)
        else:
            yield Pass(size, Fate.DROP)
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


def gif() -> Parser:
    """Parse one file."""
    head = yield Take(13)
    yield head
    if len(head) == 13:
        yield Pass(_gif_colours(head[10]))
    while mark := (yield Take(1)):
        if mark == b"\x21":
            head = mark + (yield Take(1))
            if head[1:] == b"\xff":  # an application's own: XMP, or that the animation repeats
                head += yield Take(12)
            told = head[1:2] == b"\xfe" or (len(head) > 2 and head[3:] not in _GIF_LOOPS)
            if not told:
                yield head
            yield from _gif_blocks(Fate.DROP if told else Fate.KEEP)
        elif mark == b"\x2c":
            head = yield Take(9)
            yield mark + head
            if len(head) == 9:
                yield Pass(_gif_colours(head[8]) + 1)
            yield from _gif_blocks(Fate.KEEP)
        else:
            yield mark
            return


def _gif_colours(flags: int) -> int:
    """Return the bytes of the colour table that follows."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_blocks(fate: Fate) -> Parser:
    while size := (yield Take(1)):
        if fate is Fate.KEEP:
            yield size
        if size == b"\x00":
            return
        yield Pass(size[0], fate)


def exr() -> Parser:
    """Parse one file. Sizes are kept: where its lines are is counted from its start."""
    head = yield Take(8)
    yield head
    several = int.from_bytes(head[4:], "little") & _EXR_PARTS
    attributes = True
    while attributes:  # a header for each part; one without attributes ends them
        attributes = False
        while len(name := (yield from _exr_text())) > 1:
            attributes = bool(several)
            kind = yield from _exr_text()
            size = yield Take(4)
            yield name + kind + size
            shows = kind in _EXR_KEPT or name in _EXR_NAMES
            yield Pass(int.from_bytes(size, "little"), Fate.KEEP if shows else Fate.BLANK)
        yield name
    yield Pass(None)


def _exr_text() -> Generator[Take | Pass | bytes, bytes, bytes]:
    """Take a text with the NUL that ends it."""
    text = b""
    while len(text) <= _EXR_LONGEST_NAME and (char := (yield Take(1))):
        text += char
        if char == b"\x00":
            break
    return text
