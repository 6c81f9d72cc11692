"""
Media kinds and types, and recognising them by their first bytes.

Names and declared types are never believed. Markup that a browser would run (SVG, HTML) has no
entry on purpose: it is not an allowed input and is delivered as plain bytes. Decoding a picture
is not here (port ``MediaProbe``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: How many leading bytes :func:`sniff` wants; fewer are fine for a shorter file.
SNIFF_BYTES: Final = 64


class MediaKind(StrEnum):
    """What a file is, as far as a workflow cares."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    MODEL = "model"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaType:
    """A recognised content type."""

    content_type: str
    kind: MediaKind
    #: With the dot; what a file of this type is called for ComfyUI.
    extension: str


def _type(content_type: str, kind: MediaKind, extension: str) -> MediaType:
    return MediaType(content_type=content_type, kind=kind, extension=extension)


PNG: Final = _type("image/png", MediaKind.IMAGE, ".png")
JPEG: Final = _type("image/jpeg", MediaKind.IMAGE, ".jpg")
GIF: Final = _type("image/gif", MediaKind.IMAGE, ".gif")
WEBP: Final = _type("image/webp", MediaKind.IMAGE, ".webp")
BMP: Final = _type("image/bmp", MediaKind.IMAGE, ".bmp")
TIFF: Final = _type("image/tiff", MediaKind.IMAGE, ".tiff")
AVIF: Final = _type("image/avif", MediaKind.IMAGE, ".avif")
MP4: Final = _type("video/mp4", MediaKind.VIDEO, ".mp4")
MOV: Final = _type("video/quicktime", MediaKind.VIDEO, ".mov")
WEBM: Final = _type("video/webm", MediaKind.VIDEO, ".webm")
WAV: Final = _type("audio/wav", MediaKind.AUDIO, ".wav")
FLAC: Final = _type("audio/flac", MediaKind.AUDIO, ".flac")
MP3: Final = _type("audio/mpeg", MediaKind.AUDIO, ".mp3")
OGG: Final = _type("audio/ogg", MediaKind.AUDIO, ".ogg")
M4A: Final = _type("audio/mp4", MediaKind.AUDIO, ".m4a")
GLB: Final = _type("model/gltf-binary", MediaKind.MODEL, ".glb")
PLAIN_TEXT: Final = _type("text/plain; charset=utf-8", MediaKind.TEXT, ".txt")
UNKNOWN: Final = _type("application/octet-stream", MediaKind.FILE, ".bin")

_PREFIXES: Final = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"fLaC", FLAC),
    (b"ID3", MP3),
    (b"\xff\xfb", MP3),
    (b"\xff\xf3", MP3),
    (b"\xff\xf2", MP3),
    (b"OggS", OGG),
    (b"glTF", GLB),
)
_RIFF: Final = {b"WEBP": WEBP, b"WAVE": WAV}
_BRANDS: Final = {b"avif": AVIF, b"avis": AVIF, b"qt  ": MOV, b"M4A ": M4A, b"M4B ": M4A}


def sniff(head: bytes) -> MediaType:
    """Return the type that the first bytes of a file show, :data:`UNKNOWN` when none does."""
    for prefix, media_type in _PREFIXES:
        if head.startswith(prefix):
            return media_type
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], MP4)
    if head[:4] == b"\x1aE\xdf\xa3" and b"webm" in head:
        return WEBM
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00":
        return BMP
    return UNKNOWN
