"""
Media kinds and types, and recognising them by their first bytes.

Names and declared types are never believed. Markup that a browser would run (SVG, HTML) has no
entry on purpose: it is not an allowed input and is delivered as plain bytes. Proving that a file is
what its first bytes say is not here (port ``MediaInspector``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from genjobs.domain import media_headers as headers

#: How many leading bytes :func:`sniff` wants; fewer are fine for a shorter file.
SNIFF_BYTES: Final = 4096


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
EXR: Final = _type("image/x-exr", MediaKind.IMAGE, ".exr")
AVIF: Final = _type("image/avif", MediaKind.IMAGE, ".avif")
MP4: Final = _type("video/mp4", MediaKind.VIDEO, ".mp4")
MOV: Final = _type("video/quicktime", MediaKind.VIDEO, ".mov")
WEBM: Final = _type("video/webm", MediaKind.VIDEO, ".webm")
MKV: Final = _type("video/x-matroska", MediaKind.VIDEO, ".mkv")
WAV: Final = _type("audio/wav", MediaKind.AUDIO, ".wav")
FLAC: Final = _type("audio/flac", MediaKind.AUDIO, ".flac")
MP3: Final = _type("audio/mpeg", MediaKind.AUDIO, ".mp3")
OGG: Final = _type("audio/ogg", MediaKind.AUDIO, ".ogg")
OPUS: Final = _type("audio/opus", MediaKind.AUDIO, ".opus")
AAC: Final = _type("audio/aac", MediaKind.AUDIO, ".aac")
M4A: Final = _type("audio/mp4", MediaKind.AUDIO, ".m4a")
#: A WebM of sound alone, as browsers record it. Its first bytes are those of :data:`WEBM`.
WEBA: Final = _type("audio/webm", MediaKind.AUDIO, ".weba")
GLB: Final = _type("model/gltf-binary", MediaKind.MODEL, ".glb")
PLAIN_TEXT: Final = _type("text/plain; charset=utf-8", MediaKind.TEXT, ".txt")
UNKNOWN: Final = _type("application/octet-stream", MediaKind.FILE, ".bin")

#: What a customer may send. The other types exist as outputs only.
ACCEPTED_INPUTS: Final[frozenset[MediaType]] = frozenset(
    {PNG, JPEG, GIF, WEBP, AVIF, MP4, MOV, WEBM, MKV} | {WAV, FLAC, MP3, OGG, OPUS, AAC, M4A, WEBA}
)

_PREFIXES: Final = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"v/1\x01", EXR),
    (b"fLaC", FLAC),
    (b"glTF", GLB),
)
_RIFF: Final = {b"WEBP": WEBP, b"WAVE": WAV}
_DOC_TYPES: Final = {b"webm": WEBM, b"matroska": MKV}
_OGG_CODECS: Final = ((b"OpusHead", OPUS), (b"\x01vorbis", OGG), (b"\x7fFLAC", OGG))

_MAJOR_BRANDS: Final = {b"avif": AVIF, b"avis": AVIF, b"qt  ": MOV, b"M4A ": M4A, b"M4B ": M4A}
_MP4_BRANDS: Final = frozenset(
    {b"isom", b"mp41", b"mp42", b"mp71", b"mmp4", b"avc1", b"av01", b"dash", b"cmfc", b"cmf2"}
    | {b"M4V ", b"M4VH", b"M4VP", b"MSNV"}
    | {b"iso" + digit for digit in (b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"a", b"b")}
)
#: Pictures in the same box structure (ISO/IEC 23008-12, JPEG 2000, Canon raw): some of them name
#: an MP4 brand as compatible, and none of them is a video.
_PICTURE_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2"}
    | {b"msf1", b"miaf", b"crx ", b"jp2 ", b"jpx ", b"jpm ", b"mjp2", b"jxl ", b"j2ki", b"avci"}
)


def sniff(head: bytes) -> MediaType:
    """Return the type that the first bytes of a file show, :data:`UNKNOWN` when none does."""
    for prefix, media_type in _PREFIXES:
        if head.startswith(prefix):
            return media_type
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _of_brands(headers.brands(head))
    if (doc_type := headers.ebml_doc_type(head)) is not None:
        return _DOC_TYPES.get(doc_type, UNKNOWN)
    if (packet := headers.ogg_first_packet(head)) is not None:
        return next((found for start, found in _OGG_CODECS if packet.startswith(start)), UNKNOWN)
    if headers.is_id3(head):  # made for MP3, and put before others too
        tagged = headers.after_id3(head)
        others = ((FLAC, tagged.startswith(b"fLaC")), (AAC, headers.is_adts(tagged)))
        return next((found for found, is_it in others if is_it), MP3)
    if headers.is_mpeg_layer_3(head):
        return MP3
    if headers.is_adts(head):
        return AAC
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00":
        return BMP
    return UNKNOWN


def _of_brands(brands: tuple[bytes, ...]) -> MediaType:
    """
    Return the type of a file with these brands, the major one first.

    A camera's own major brand (Sony's ``XAVC``, ``3gp4`` of old phones) is MP4 when a compatible
    brand says so. QuickTime from before ``ftyp`` is not recognised: it has no signature.
    """
    if not brands:
        return UNKNOWN
    major, compatible = brands[0], brands[1:]
    if major in _MAJOR_BRANDS:
        return _MAJOR_BRANDS[major]
    if major in _PICTURE_BRANDS:
        return AVIF if b"avif" in compatible or b"avis" in compatible else UNKNOWN
    if major in _MP4_BRANDS or not _MP4_BRANDS.isdisjoint(compatible):
        return MP4
    return UNKNOWN
