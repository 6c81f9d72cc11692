"""Pictures from outside: good ones of every make pass as they are, bombs and fakes are refused."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genjobs.adapters.media_inspection import SubprocessInspector
from genjobs.adapters.media_inspection.warm_process import WarmProcess
from genjobs.domain import media
from genjobs.domain.media_limits import MediaLimits
from genjobs.testing import png_bytes
from tests.integration.inspecting import MEGABYTE, Desk, end_of, resident
from tests.media_files import animated, encoded, picture, png, png_header, tiny_gif

FORMATS = {
    "PNG": media.PNG,
    "JPEG": media.JPEG,
    "GIF": media.GIF,
    "WEBP": media.WEBP,
    "AVIF": media.AVIF,
}
LIMITS = MediaLimits()
ORIENTATION = Image.Exif()
ORIENTATION[0x0112] = 6


# -- good ones --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
async def test_every_accepted_type_passes(desk: Desk, name: str) -> None:
    facts = await desk.accepts(encoded(name))
    assert facts.media_type is FORMATS[name]
    assert (facts.width, facts.height, facts.frames) == (64, 48, 1)
    assert facts.duration_seconds is None


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("PNG", "1", {}),
        ("PNG", "L", {}),
        ("PNG", "LA", {}),
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "I;16", {}),
        ("PNG", "RGB", {"exif": ORIENTATION}),
        ("PNG", "RGB", {"icc_profile": b"not a profile" * 100}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"progressive": True, "exif": ORIENTATION, "quality": 95}),
        ("GIF", "P", {"transparency": 0}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "RGBA", {"lossless": True, "exif": ORIENTATION}),
        ("AVIF", "RGBA", {}),
        ("AVIF", "RGB", {"exif": ORIENTATION}),
        ("AVIF", "L", {}),
    ],
)
async def test_every_make_of_picture_passes(
    desk: Desk, name: str, mode: str, options: dict[str, Any]
) -> None:
    facts = await desk.accepts(encoded(name, mode, **options))
    # As stored: what an orientation tag turns is the reader's business.
    assert (facts.width, facts.height) == (64, 48)


async def test_16_bits_a_channel_pass(desk: Desk) -> None:
    rows = (b"\x00" + random.Random(1).randbytes(8 * 6)) * 5
    content = png(png_header(6, 5, depth=16, colour=6), (b"IDAT", zlib.compress(rows)))
    assert (await desk.accepts(content)).width == 6


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_animations_pass_with_their_frames(desk: Desk, name: str) -> None:
    facts = await desk.accepts(animated(name, 7))
    assert (facts.width, facts.height, facts.frames) == (32, 24, 7)


async def test_photograph_with_previews_is_one_picture(desk: Desk) -> None:
    file = io.BytesIO()
    picture().save(file, "MPO", save_all=True, append_images=[picture(size=(16, 12))])
    whole = file.getvalue()
    assert (await desk.accepts(whole)).frames == 1
    cut = whole[: whole.rindex(b"\xff\xd8")]  # as programs leave it that know of no second picture
    assert (await desk.accepts(cut)).frames == 1


async def test_photograph_of_40_megapixels_passes(desk: Desk) -> None:
    file = io.BytesIO()
    picture(size=(80, 50)).resize((8_000, 5_000)).save(file, "JPEG", progressive=True)
    facts = await desk.accepts(file.getvalue())
    assert (facts.width, facts.height) == (8_000, 5_000)


@pytest.mark.parametrize("name", FORMATS)
async def test_what_follows_the_end_is_nobodys_business(desk: Desk, name: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("page.html", "<script>alert(1)</script>")
    content = encoded(name)
    tail = archive.getvalue() + b"<script>alert(1)</script>"
    if name == "AVIF":  # boxes go on, and one that is none ends them
        tail = struct.pack(">I", 8 + len(tail)) + b"free" + tail
    assert (await desk.accepts(content + tail)).media_type is FORMATS[name]


def frames_of_png(count: int, declared: int, side: int = 32) -> bytes:
    """Return an animation that says how many frames it has, and has as many as it has."""
    chunks = [png_header(side, side), (b"acTL", struct.pack(">II", declared, 0))]
    pixels = zlib.compress((b"\x00" + bytes(3) * side) * side)
    for n in range(count):
        place = struct.pack(">IIIIIHHBB", max(0, 2 * n - 1), side, side, 0, 0, 1, 10, 0, 0)
        number = struct.pack(">I", 2 * n) if n else b""
        chunks += [(b"fcTL", place), (b"fdAT" if n else b"IDAT", number + pixels)]
    return png(*chunks)


@pytest.mark.parametrize("name", ["PNG", "WEBP"])
async def test_pictures_behind_a_picture_are_refused(desk: Desk, name: str) -> None:
    """FFmpeg, with which ComfyUI loads pictures, takes a row of files for an animation."""
    small = encoded(name, size=(8, 8))
    await desk.refuses(small + encoded(name, size=(300, 200)), saying="further pictures")
    await desk.refuses(small * 2_000, saying="further pictures")


async def test_frames_that_an_animation_does_not_declare_are_counted(desk: Desk) -> None:
    assert (await desk.accepts(frames_of_png(20, declared=20))).frames == 20
    await desk.accepts(frames_of_png(20, declared=1))  # within the limits all the same
    await desk.refuses(frames_of_png(1_001, declared=1), saying="more than 1000 frames")
    row = animated("GIF", 3) * 350
    await desk.accepts(row[: len(row) // 2])
    await desk.refuses(row, saying="more than 1000 frames")
    large = frames_of_png(20, declared=1, side=6_000)
    assert len(large) < 3 * MEGABYTE
    await desk.refuses(large, saying="megapixels together")


async def test_track_behind_a_still_avif_is_counted(tmp_path: Path) -> None:
    film = animated("AVIF", 9, (64, 64))
    still = film[:8] + b"avif" + film[12:]  # readers of pictures see the first alone
    async with SubprocessInspector(LIMITS) as inspector:
        assert (await Desk(inspector=inspector, folder=tmp_path).accepts(still)).frames == 1
    async with SubprocessInspector(replace(LIMITS, picture_frames=8)) as inspector:
        await Desk(inspector=inspector, folder=tmp_path).refuses(still, saying="frames")


# -- limits -----------------------------------------------------------------------------------


async def test_png_of_20000_by_20000_is_refused_from_its_header(
    process: WarmProcess, desk: Desk, tmp_path: Path
) -> None:
    rows = zlib.compress(bytes(1 + 20_000 * 3), 9) * 100
    content = png(png_header(20_000, 20_000), (b"IDAT", rows))
    message = await desk.refuses(content)
    assert message == ("The picture is of 20000 x 20000 pixels; at most 40 megapixels are allowed.")
    end = await end_of(process, content, tmp_path)
    assert end.resident_bytes < 80 * MEGABYTE


def webp_canvas(width: int, height: int) -> bytes:
    flags = b"\x02\x00\x00\x00"
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + flags + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_of_size(width: int, height: int) -> bytes:
    content = encoded("JPEG")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def avif_of_size(width: int, height: int) -> bytes:
    content = encoded("AVIF")
    at = content.index(b"ispe") + 8
    return content[:at] + struct.pack(">II", width, height) + content[at + 8 :]


def gif_of_size(width: int, height: int) -> bytes:
    content = encoded("GIF", "P")
    return content[:6] + struct.pack("<HH", width, height) + content[10:]


@pytest.mark.parametrize(
    "content",
    [
        png(png_header(2**31 - 1, 2**31 - 1)),
        png(png_header(1, 2**31 - 1)),
        png(png_header(20_000, 1_000), (b"IDAT", zlib.compress(bytes(3_001)))),
        webp_canvas(16_384, 16_384),
        webp_canvas(2**24, 2**24),
        jpeg_of_size(65_535, 65_535),
        jpeg_of_size(65_535, 10),
        gif_of_size(65_535, 65_535),
    ],
    ids=["png", "tall png", "wide png", "webp", "largest webp", "jpeg", "wide jpeg", "gif"],
)
async def test_size_over_the_limit_is_refused_from_the_header(
    process: WarmProcess, desk: Desk, content: bytes, tmp_path: Path
) -> None:
    await desk.refuses(content, saying="The picture is of")
    assert (await end_of(process, content, tmp_path)).resident_bytes < 80 * MEGABYTE


async def test_avif_that_declares_too_large_a_size_is_refused(desk: Desk) -> None:
    await desk.refuses(avif_of_size(16_384, 16_384), saying="at most 40 megapixels")
    await desk.refuses(avif_of_size(2**31, 2**31))


async def test_png_with_fewer_pixels_than_it_says_is_refused(desk: Desk) -> None:
    pixels = (b"IDAT", zlib.compress(bytes(99)))
    await desk.refuses(png(png_header(6_000, 6_000), pixels), saying="broken")
    await desk.refuses(png(png_header(6_000, 6_000)), saying="broken")


@pytest.mark.parametrize("content", [jpeg_of_size(6_000, 6_000), avif_of_size(6_000, 6_000)])
async def test_size_that_lies_within_the_limit_is_the_size(
    process: WarmProcess, desk: Desk, content: bytes, tmp_path: Path
) -> None:
    # These decoders fill up what is missing, for ComfyUI as for us.
    facts = await desk.accepts(content)
    assert (facts.width, facts.height) == (6_000, 6_000)
    assert (await end_of(process, content, tmp_path)).resident_bytes < 600 * MEGABYTE


async def test_gif_of_10000_frames_is_refused(
    process: WarmProcess, desk: Desk, tmp_path: Path
) -> None:
    content = tiny_gif(10_000)
    await desk.refuses(content, saying="more than 1000 frames")
    assert (await end_of(process, content, tmp_path)).resident_bytes < 80 * MEGABYTE
    assert (await desk.accepts(tiny_gif(1_000))).frames == 1_000
    await desk.refuses(tiny_gif(1_001), saying="more than 1000 frames")


async def test_small_gif_of_large_frames_is_refused_by_their_sum(desk: Desk) -> None:
    await desk.refuses(tiny_gif(900, 6_000, 6_000), saying="600 megapixels together")


async def test_gif_frame_outside_the_canvas_does_not_slip_past_the_limit(desk: Desk) -> None:
    frame = b"\x2c" + struct.pack("<HHHH", 60_000, 60_000, 5_000, 5_000)
    content = tiny_gif(1)[:-1] + frame + b"\x00\x02\x02\x44\x01\x00\x3b"
    await desk.refuses(content)


@pytest.mark.parametrize("frames", [1_001, 2**31 - 1, 2**32 - 1])
async def test_apng_that_declares_too_many_frames_is_refused(desk: Desk, frames: int) -> None:
    content = animated("PNG", 3)
    at = content.index(b"acTL")
    chunk = b"acTL" + struct.pack(">II", frames, 0)
    content = content[:at] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[at + 16 :]
    # A number that PNG itself does not allow makes it a still picture to Pillow.
    if frames > 2**31 - 1:
        assert (await desk.accepts(content)).frames == 1
    else:
        await desk.refuses(content, saying="more than 1000 frames")


async def test_apng_that_declares_more_frames_than_it_has_is_refused(desk: Desk) -> None:
    content = animated("PNG", 3)
    at = content.index(b"acTL")
    chunk = b"acTL" + struct.pack(">II", 5, 0)
    content = content[:at] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[at + 16 :]
    await desk.refuses(content, saying="broken")


async def test_webp_of_too_many_frames_is_refused(desk: Desk, tmp_path: Path) -> None:
    content = animated("WEBP", 30, size=(8, 8))
    async with SubprocessInspector(replace(LIMITS, picture_frames=29)) as strict:
        await Desk(inspector=strict, folder=tmp_path).refuses(content, saying="29 frames")
    assert (await desk.accepts(content)).frames == 30


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_sum_of_frames_is_limited_in_every_animation(tmp_path: Path, name: str) -> None:
    async with SubprocessInspector(replace(LIMITS, picture_total_pixels=32 * 24 * 6)) as strict:
        desk = Desk(inspector=strict, folder=tmp_path)
        await desk.accepts(animated(name, 6))
        await desk.refuses(animated(name, 7), saying="megapixels together")


# -- bombs and broken ones --------------------------------------------------------------------

_ZEROS = zlib.compress(bytes(200 * MEGABYTE), 9)


@pytest.mark.parametrize(
    "bomb",
    [
        (b"zTXt", b"Comment\x00\x00" + _ZEROS),
        (b"iTXt", b"Comment\x00\x01\x00\x00\x00" + _ZEROS),
        (b"iCCP", b"Profile\x00\x00" + _ZEROS),
    ],
    ids=lambda bomb: bomb[0].decode(),
)
@pytest.mark.parametrize("place", ["before", "after"])
async def test_bomb_beside_the_pixels_is_never_unpacked(
    process: WarmProcess, bomb: tuple[bytes, bytes], place: str, tmp_path: Path
) -> None:
    pixels = (b"IDAT", zlib.compress((b"\x00" + bytes(300)) * 100))
    header = png_header(100, 100)
    content = png(header, bomb, pixels) if place == "before" else png(header, pixels, bomb)
    end = await end_of(process, content, tmp_path)
    assert end.resident_bytes < 80 * MEGABYTE
    assert end.status == 0


async def test_pixels_that_unpack_to_more_than_the_picture_take_no_memory(
    process: WarmProcess, tmp_path: Path
) -> None:
    content = png(png_header(100, 100), (b"IDAT", _ZEROS))
    end = await end_of(process, content, tmp_path)
    assert end.resident_bytes < 80 * MEGABYTE


async def test_memory_of_this_process_stays_flat(desk: Desk) -> None:
    bombs = [
        png(png_header(20_000, 20_000), (b"IDAT", _ZEROS)),
        png(png_header(100, 100), (b"zTXt", b"a\x00\x00" + _ZEROS)),
        webp_canvas(2**24, 2**24),
        tiny_gif(10_000),
    ]
    large = png(png_header(6_000, 6_000), (b"IDAT", _ZEROS))
    await desk.refuses(bombs[0])
    before = resident()
    for _ in range(5):
        for bomb in bombs:
            await desk.refuses(bomb)
        await desk.accepts(large)
    assert resident() - before < 8 * MEGABYTE


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
async def test_picture_that_is_cut_off_is_refused(desk: Desk, name: str, part: float) -> None:
    content = encoded(name, size=(200, 150))
    cut = content[: max(int(len(content) * part), 32)]
    await desk.refuses(cut)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_animation_that_is_cut_off_is_refused(desk: Desk, name: str) -> None:
    content = animated(name, 5, size=(100, 80))
    last = {"GIF": b"\x2c", "WEBP": b"ANMF", "PNG": b"fdAT", "AVIF": b"mdat"}[name]
    cut = content[: content.rindex(last) + 20]
    await desk.refuses(cut)


async def test_noise_in_the_place_of_pixels_is_refused(desk: Desk) -> None:
    # To the other formats any bytes are pixels.
    content = encoded("PNG", size=(200, 150))
    await desk.refuses(content[:400] + random.Random(2).randbytes(len(content) - 400))


@pytest.mark.parametrize("name", FORMATS)
async def test_broken_pictures_of_every_sort_have_an_answer(
    process: WarmProcess, tmp_path: Path, name: str
) -> None:
    noise = random.Random(3)
    whole = animated(name, 3) if name != "JPEG" else encoded("JPEG", exif=ORIENTATION)
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(noise.randint(1, 6)):
            content[noise.randrange(12, len(content))] = noise.randrange(256)
        end = await end_of(process, bytes(content[: noise.randint(20, len(content))]), tmp_path)
        assert end.status == 0
        assert end.resident_bytes < 200 * MEGABYTE


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>" + encoded("PNG"),
        b"<!DOCTYPE html>" + encoded("JPEG"),
        b"%PDF-1.7\n" + encoded("JPEG"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"8BPS\x00\x01" + bytes(100),
        b"PK\x03\x04" + encoded("PNG"),
        encoded("ICO"),
        encoded("BMP"),
        encoded("TIFF"),
        encoded("TGA"),
        encoded("PPM"),
        encoded("JPEG2000"),
    ],
    ids=["svg", "html", "pdf", "eps", "psd", "zip", "ico", "bmp", "tiff", "tga", "ppm", "jp2"],
)
async def test_what_is_no_accepted_picture_at_its_start_is_refused(
    desk: Desk, content: bytes
) -> None:
    await desk.refuses_type(content)


async def test_picture_of_one_type_with_the_start_of_another_is_refused(desk: Desk) -> None:
    await desk.refuses(b"GIF89a" + encoded("PNG"))
    await desk.refuses(b"\xff\xd8\xff/*" + b"*/=1;alert(1)" + png_bytes())
    await desk.refuses(b"\x89PNG\r\n\x1a\n" + encoded("GIF"))
    await desk.refuses(b"RIFF\x00\x10\x00\x00WEBPVP8 " + encoded("JPEG"))
