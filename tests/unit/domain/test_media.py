"""Recognising media: every type has an example, and no markup is ever recognised."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.domain import media
from genjobs.domain.media import ACCEPTED_INPUTS, MediaKind, MediaType, sniff
from genjobs.testing import png_bytes


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return struct.pack(">I", 16 + len(brands)) + b"ftyp" + major + bytes(4) + brands


def ebml(doc_type: bytes, before: bytes = b"B\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04") -> bytes:
    body = before + b"B\x82" + bytes([0x80 | len(doc_type)]) + doc_type
    return b"\x1aE\xdf\xa3" + bytes([0x80 | len(body)]) + body


def ogg(packet: bytes, flags: int = 2) -> bytes:
    return b"OggS\x00" + bytes([flags]) + bytes(20) + b"\x01" + bytes([len(packet)]) + packet


def mpeg_frame(second: int, third: int = 0x90, fourth: int = 0x00) -> bytes:
    return bytes([0xFF, second, third, fourth])


#: By the formats' own signatures, not by the table under test.
EXAMPLES: list[tuple[bytes, MediaType]] = [
    (png_bytes(), media.PNG),
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", media.JPEG),
    (b"\xff\xd8\xff\xe1\x00\x10Exif", media.JPEG),
    (b"GIF87a\x01\x00", media.GIF),
    (b"GIF89a\x01\x00", media.GIF),
    (b"RIFF\x10\x00\x00\x00WEBPVP8L", media.WEBP),
    (b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00", media.BMP),
    (b"II*\x00\x08\x00\x00\x00", media.TIFF),
    (b"MM\x00*\x00\x00\x00\x08", media.TIFF),
    (b"v/1\x01\x02\x00\x00\x00channels", media.EXR),
    (ftyp(b"avif", b"avif", b"mif1", b"miaf"), media.AVIF),
    (ftyp(b"avis", b"avis", b"msf1", b"iso8"), media.AVIF),
    (ftyp(b"mif1", b"mif1", b"avif", b"miaf"), media.AVIF),
    (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00", media.MP4),
    (ftyp(b"mp42", b"mp42", b"isom"), media.MP4),
    (ftyp(b"iso6", b"dash"), media.MP4),
    (ftyp(b"dash"), media.MP4),
    (ftyp(b"M4V ", b"M4V ", b"M4A ", b"mp42"), media.MP4),
    (ftyp(b"XAVC", b"XAVC", b"mp42"), media.MP4),
    (ftyp(b"3gp4", b"isom", b"3gp4"), media.MP4),
    (ftyp(b"qt  ", b"qt  "), media.MOV),
    (ftyp(b"M4A ", b"M4A ", b"mp42", b"isom"), media.M4A),
    (ftyp(b"M4B ", b"M4A "), media.M4A),
    (ebml(b"webm"), media.WEBM),
    (ebml(b"webm", b""), media.WEBM),
    (ebml(b"webm\x00\x00"), media.WEBM),
    (ebml(b"matroska"), media.MKV),
    (b"\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x07B\x82\x84webm", media.WEBM),
    (b"RIFF\x24\x00\x00\x00WAVEfmt ", media.WAV),
    (b"fLaC\x00\x00\x00\x22", media.FLAC),
    (b"ID3\x04\x00\x00\x00\x00\x00\x00", media.MP3),
    (b"ID3\x03\x00\x00\x00\x00\x00\x03abc" + b"fLaC\x00\x00\x00\x22", media.FLAC),
    (b"ID3\x04\x00\x10\x00\x00\x00\x00" + bytes(10) + b"fLaC\x00\x00\x00\x22", media.FLAC),
    (b"ID3\x03\x00\x00\x00\x00\x00\x01x" * 2 + b"\xff\xf1\x50\x80\x2e\x7f\xfc", media.AAC),
    (b"ID3\x03\x00\x00\x00\x00\x00\x01xfLaX", media.MP3),
    (b"ID3\x03\x00\x80\x00\x00\x7f\x7f", media.MP3),
    (ogg(b"\x01vorbis"), media.OGG),
    (ogg(b"\x7fFLAC\x01"), media.OGG),
    (ogg(b"OpusHead\x01"), media.OPUS),
    (b"\xff\xf1\x50\x80\x2e\x7f\xfc", media.AAC),
    (b"\xff\xf9\x50\x80\x2e\x7f\xfc", media.AAC),
    (b"glTF\x02\x00\x00\x00", media.GLB),
    # MPEG 1, 2 and 2.5, layer III, without and with CRC.
    *((mpeg_frame(second), media.MP3) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)),
    *((mpeg_frame(0xFB, bitrate << 4), media.MP3) for bitrate in range(1, 15)),
    *((mpeg_frame(0xFB, 0x90 | rate << 2), media.MP3) for rate in range(3)),
]
NOTHING = [
    b"",
    b"<svg xmlns='http://www.w3.org/2000/svg'>",
    b"<?xml version='1.0'?><svg>",
    b"<!DOCTYPE html>",
    b"<html><script>",
    b"\xef\xbb\xbf<svg>",
    b"  \n<svg>",
    b"%PDF-1.7",
    b"%!PS-Adobe",
    b"\xc5\xd0\xd3\xc6\x20\x00",
    b"8BPS\x00\x01",
    b"PK\x03\x04",
    b"\x1f\x8b\x08\x00",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07\x00",
    b"file.txt".ljust(257, b"\x00") + b"ustar\x0000",
    b"\x00\x00\x01\x00\x01\x00\x10\x10",
    b"MZ\x90\x00",
    b"\x7fELF",
    b"#!/bin/sh",
    b"#EXTM3U\n#EXT-X-VERSION:3\n",
    b"ffconcat version 1.0\nfile a.mp4\n",
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
    b"[playlist]\nFile1=a",
    b"FLV\x01\x05",
    b"RIFF\x00\x00\x00\x00AVI LIST",
    b"G" + bytes(187) + b"G",
    # Boxes that are no video: HEIC, Canon raw, JPEG 2000, JPEG XL, a brand that nobody knows.
    ftyp(b"heic", b"mif1", b"heic"),
    ftyp(b"mif1", b"mif1", b"heic"),
    ftyp(b"hevc", b"msf1", b"hevc", b"iso8"),
    ftyp(b"crx ", b"crx ", b"isom"),
    ftyp(b"jp2 ", b"jp2 "),
    ftyp(b"jxl ", b"jxl ", b"isom"),
    ftyp(b"zzzz", b"yyyy"),
    b"\x00\x00\x00\x18ftyp",
    b"\x00\x00\x00\x0fftypisom\x00\x00\x00\x00",
    b"\x00\x10\x00\x00ftypisom\x00\x00\x00\x00",
    b"\x00\x00\x00\x08wide\x00\x00\x00\x08mdat",
    # The word is not the element.
    b"\x1aE\xdf\xa3 matroska",
    b"\x1aE\xdf\xa3....webm",
    ebml(b"other") + b"B\x82\x84webm",
    ebml(b"web"),
    ebml(b"webmx"),
    b"\x1aE\xdf\xa3\x00",
    b"\x1aE\xdf\xa3\x9f",
    b"\x1aE\xdf\xa3\x87B\x82\xffwebm",
    # Ogg with video, with an old codec, in the middle, and cut off.
    ogg(b"\x80theora"),
    ogg(b"Speex   "),
    ogg(b"\x01vorbis", flags=0),
    b"OggS\x00\x02",
    # Not frames of MP3: layers I and II, reserved versions, rates, emphasis, free format, UTF-16.
    *(mpeg_frame(second) for second in (0xFF, 0xFD, 0xEB, 0xEA, 0xDB, 0xE1)),
    mpeg_frame(0xFB, 0xF0),
    mpeg_frame(0xFB, 0x00),
    mpeg_frame(0xFB, 0x9C),
    mpeg_frame(0xFB, 0x90, 0x02),
    b"\xff\xfe<\x00s\x00v\x00g\x00",
    b"\xff\xfb\x90",
    # Not ADTS: a sampling rate that is none, a frame shorter than its header.
    b"\xff\xf1\x74\x80\x2e\x7f\xfc",
    b"\xff\xf1\x50\x80\x00\x1f\xfc",
    # Not ID3: an unknown version, a size that is not 7-bit.
    b"ID3\x05\x00\x00\x00\x00\x00\x00",
    b"ID3\x03\x00\x00\xff\x00\x00\x00",
    b"ID3 is what this text is about",
]


@pytest.mark.parametrize(("head", "expected"), EXAMPLES)
def test_type_is_read_from_the_first_bytes(head: bytes, expected: MediaType) -> None:
    assert sniff(head) is expected
    assert sniff(head[: media.SNIFF_BYTES] + bytes(100)) is expected


def test_every_type_that_first_bytes_can_show_has_an_example() -> None:
    types = {value for value in vars(media).values() if isinstance(value, MediaType)}
    unseen = types - {expected for _, expected in EXAMPLES}
    assert unseen == {media.PLAIN_TEXT, media.UNKNOWN, media.WEBA}


@pytest.mark.parametrize("head", [*NOTHING, *(head[:3] for head in (b"GIF8", b"RIFF", b"\x89PNG"))])
def test_markup_programs_and_beginnings_are_plain_bytes(head: bytes) -> None:
    assert sniff(head) is media.UNKNOWN


@given(
    st.binary(max_size=64)
    | st.binary(max_size=40).map(lambda tail: b"\x1aE\xdf\xa3" + tail)
    | st.binary(max_size=40).map(lambda tail: b"\x00\x00\x00\x20ftyp" + tail)
    | st.binary(max_size=40).map(lambda tail: b"OggS\x00\x02" + tail)
)
def test_any_bytes_have_a_type_and_none_that_a_browser_runs(head: bytes) -> None:
    found = sniff(head)
    assert found.kind in MediaKind
    assert not any(word in found.content_type for word in ("html", "svg", "xml", "script"))


def test_extensions_are_plain_and_say_the_type() -> None:
    types: list[Any] = [value for value in vars(media).values() if isinstance(value, MediaType)]
    assert len({item.extension for item in types}) == len(types)
    assert all(item.extension[1:].isalnum() and item.extension[0] == "." for item in types)


def test_only_pictures_video_and_sound_are_accepted_and_not_every_picture() -> None:
    kinds = {item.kind for item in ACCEPTED_INPUTS}
    assert kinds == {MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO}
    outputs_only = (media.BMP, media.TIFF, media.GLB, media.PLAIN_TEXT, media.UNKNOWN)
    assert ACCEPTED_INPUTS.isdisjoint(outputs_only)
    assert {item.extension for item in ACCEPTED_INPUTS} == {
        *(".jpg", ".png", ".webp", ".gif", ".avif"),
        *(".mp4", ".mov", ".webm", ".mkv"),
        *(".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".weba"),
    }
