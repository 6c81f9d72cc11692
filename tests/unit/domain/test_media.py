"""Recognising media: every type has an example, and no markup is ever recognised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.domain import media
from genjobs.domain.media import MediaKind, MediaType, sniff
from genjobs.testing import png_bytes

_BOX = b"\x00\x00\x00\x18ftyp"
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
    (_BOX + b"avif\x00\x00\x00\x00", media.AVIF),
    (_BOX + b"avis\x00\x00\x00\x00", media.AVIF),
    (_BOX + b"isom\x00\x00\x02\x00", media.MP4),
    (_BOX + b"mp42\x00\x00\x00\x00", media.MP4),
    (_BOX + b"qt  \x00\x00\x00\x00", media.MOV),
    (_BOX + b"M4A \x00\x00\x00\x00", media.M4A),
    (
        b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm",
        media.WEBM,
    ),
    (b"RIFF\x24\x00\x00\x00WAVEfmt ", media.WAV),
    (b"fLaC\x00\x00\x00\x22", media.FLAC),
    (b"ID3\x04\x00\x00\x00\x00\x00\x00", media.MP3),
    (b"\xff\xfb\x90\x00", media.MP3),
    (b"OggS\x00\x02", media.OGG),
    (b"glTF\x02\x00\x00\x00", media.GLB),
]
MARKUP = [
    b"<svg xmlns='http://www.w3.org/2000/svg'>",
    b"<?xml version='1.0'?><svg>",
    b"<!DOCTYPE html>",
    b"<html><script>",
    b"\xef\xbb\xbf<svg>",
    b"  \n<svg>",
    b"%PDF-1.7",
    b"%!PS-Adobe",
    b"PK\x03\x04",
    b"MZ\x90\x00",
    b"\x7fELF",
    b"#!/bin/sh",
    b"\x1aE\xdf\xa3 matroska",
]


@pytest.mark.parametrize(("head", "expected"), EXAMPLES)
def test_type_is_read_from_the_first_bytes(head: bytes, expected: MediaType) -> None:
    assert sniff(head) is expected
    assert sniff(head[: media.SNIFF_BYTES] + bytes(100)) is expected


def test_every_type_that_can_be_an_input_has_an_example() -> None:
    types = {value for value in vars(media).values() if isinstance(value, MediaType)}
    unseen = types - {expected for _, expected in EXAMPLES}
    assert unseen == {media.PLAIN_TEXT, media.UNKNOWN}


@pytest.mark.parametrize("head", [*MARKUP, *(head[:3] for head in (b"GIF8", b"RIFF", b"\x89PNG"))])
def test_markup_programs_and_beginnings_are_plain_bytes(head: bytes) -> None:
    assert sniff(head) is media.UNKNOWN


@given(st.binary(max_size=64))
def test_any_bytes_have_a_type_and_none_that_a_browser_runs(head: bytes) -> None:
    found = sniff(head)
    assert found.kind in MediaKind
    assert not any(word in found.content_type for word in ("html", "svg", "xml", "script"))


def test_extensions_are_plain_and_say_the_type() -> None:
    types: list[Any] = [value for value in vars(media).values() if isinstance(value, MediaType)]
    assert len({item.extension for item in types}) == len(types)
    assert all(item.extension[1:].isalnum() and item.extension[0] == "." for item in types)
