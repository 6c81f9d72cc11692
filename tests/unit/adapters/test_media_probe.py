"""Sizes of pictures from their heads, and of things that only look like pictures."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from genjobs.adapters.media_probe import PillowProbe
from genjobs.domain.ports import PictureSize

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
HEAD = 64 * 1024


def encoded(name: str, width: int, height: int, **options: object) -> bytes:
    noise = random.Random(1).randbytes(width * height * 3)
    file = io.BytesIO()
    Image.frombytes("RGB", (width, height), noise).save(file, name, **options)
    return file.getvalue()


SMALL = {name: encoded(name, 31, 17) for name in FORMATS}


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 100)
        + b"IDAT"
    )


@pytest.mark.parametrize("name", FORMATS)
def test_whole_small_picture_has_its_size(name: str) -> None:
    assert PillowProbe().picture_size(SMALL[name]) == PictureSize(width=31, height=17)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("AVIF", "TIFF")])
def test_head_of_a_large_picture_is_enough(name: str) -> None:
    options = {"quality": 95} if name in ("JPEG", "WEBP") else {}
    head = encoded(name, 700, 500, **options)[:HEAD]
    assert len(head) == HEAD
    assert PillowProbe().picture_size(head) == PictureSize(width=700, height=500)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0II*\0"}]
)
def test_every_kind_of_webp_header_is_read(options: dict[str, object]) -> None:
    picture = encoded("WEBP", 301, 203, **options)
    assert PillowProbe().picture_size(picture) == PictureSize(width=301, height=203)
    assert PillowProbe().picture_size(picture[:30]) == PictureSize(width=301, height=203)
    assert PillowProbe().picture_size(picture[:29]) is None


@pytest.mark.parametrize(
    "size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (10_000, 10_000), (0, 5)]
)
def test_more_pixels_than_allowed_or_none_is_unreadable(size: tuple[int, int]) -> None:
    assert PillowProbe().picture_size(png_header(*size)) is None
    assert PillowProbe().picture_size(png_header(4_000, 3_000)) == PictureSize(
        width=4_000, height=3_000
    )


def test_largest_webp_canvas_is_refused_without_being_allocated() -> None:
    head = b"RIFF\x00\x01\x00\x00WEBPVP8X\x0a\x00\x00\x00" + bytes(4) + b"\xff" * 6
    assert PillowProbe().picture_size(head) is None


def test_format_that_is_not_allowed_has_no_size() -> None:
    for name in ("PPM", "TGA", "PCX", "ICO"):
        assert PillowProbe().picture_size(encoded(name, 31, 17)) is None


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(
    name=st.sampled_from(FORMATS),
    keep=st.integers(4, 2_000),
    changes=st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=8),
    tail=st.binary(max_size=40),
)
@settings(max_examples=200, deadline=None)
def test_nothing_broken_raises(
    name: str, keep: int, changes: list[tuple[int, int]], tail: bytes
) -> None:
    head = bytearray(SMALL[name][:keep] + tail)
    for place, value in changes:
        head[place % len(head)] = value
    size = PillowProbe().picture_size(bytes(head))
    assert size is None or (size.width > 0 and size.height > 0)


def test_pillow_is_loaded_by_the_first_picture_only() -> None:
    script = (
        "import sys; from genjobs.adapters.media_probe import PillowProbe; "
        "probe = PillowProbe(); probe.picture_size(b'<svg/>'); print('PIL' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
