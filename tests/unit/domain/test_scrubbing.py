"""Scrubbing: no text of a workflow is left, every pixel and sample is, whatever the chunks."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence, PngImagePlugin

from genjobs.domain.media import SNIFF_BYTES, sniff
from genjobs.domain.scrubbing import Scrubber

SECRET = "a-prompt-that-nobody-else-may-read"
TEXT = f'{{"3": {{"inputs": {{"text": "{SECRET}"}}}}}}' * 50


def png(*, animated: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", TEXT)
    info.add_text("workflow", TEXT, zip=False)
    info.add_itxt("parameters", TEXT)
    out = io.BytesIO()
    frames = [Image.effect_noise((40, 30), n).convert("RGBA") for n in (10, 50)]
    frames[0].save(out, "PNG", pnginfo=info, save_all=animated, append_images=frames[1:])
    return out.getvalue()


def webp(*, animated: bool = False) -> bytes:
    frames = [Image.effect_noise((41, 30), n).convert("RGB") for n in (10, 50)]
    exif = frames[0].getexif()
    exif[0x0110] = f"prompt:{TEXT}"
    exif[0x010F] = f"workflow:{TEXT}"
    out = io.BytesIO()
    frames[0].save(
        out, "WEBP", exif=exif, lossless=True, save_all=animated, append_images=frames[1:]
    )
    return out.getvalue()


def jpeg() -> bytes:
    picture = Image.effect_noise((40, 30), 50)
    exif = picture.getexif()
    exif[0x010E] = TEXT
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif, comment=TEXT.encode())
    return out.getvalue()


def apng_of_comfyui() -> bytes:
    """Return an animation with the graph in chunks of ComfyUI's own, as SaveAnimatedPNG does."""
    info = PngImagePlugin.PngInfo()
    for name in ("prompt", "workflow"):
        info.add(b"comf", name.encode() + b"\0" + TEXT.encode(), after_idat=True)
    out = io.BytesIO()
    frames = [Image.effect_noise((40, 30), n).convert("RGBA") for n in (10, 50)]
    frames[0].save(
        out, "PNG", pnginfo=info, save_all=True, append_images=frames[1:], duration=[70, 90]
    )
    return out.getvalue()


def gif() -> bytes:
    frames = [Image.effect_noise((40, 30), n).convert("P") for n in (10, 50)]
    out = io.BytesIO()
    frames[0].save(
        out, "GIF", save_all=True, append_images=frames[1:], loop=0, comment=TEXT[:2000].encode()
    )
    content = out.getvalue()
    xmp = b"\x21\xff\x0bXMP DataXMP" + bytes([len(SECRET)]) + SECRET.encode() + b"\x00"
    return content[:-1] + xmp + content[-1:]


def exr() -> bytes:
    """Return 2 x 2 grey numbers, and the graph in an attribute, as SaveImageAdvanced does."""
    window = struct.pack("<4i", 0, 0, 1, 1)
    attributes = [
        ("channels", "chlist", b"Y\0" + struct.pack("<iiii", 2, 0, 1, 1) + b"\0"),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("prompt", "string", TEXT.encode()),
        ("screenWindowCenter", "v2f", bytes(8)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ]
    head = b"v/1\x01\x02\0\0\0" + b"".join(
        f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    lines = [struct.pack("<ii2f", row, 8, 0.25 + row, 0.5) for row in (0, 1)]
    first = len(head) + 1 + 16
    return head + b"\0" + struct.pack("<QQ", first, first + 16) + b"".join(lines)


def video(container: str, codec: str) -> bytes:
    out = io.BytesIO()
    options = {"movflags": "use_metadata_tags"} if container in {"mp4", "mov"} else {}
    with av.open(out, "w", format=container, options=options) as file:
        file.metadata["prompt"] = TEXT
        file.metadata["comment"] = TEXT
        stream = file.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(8):
            picture = Image.new("RGB", (64, 48), (number * 20, 0, 0))
            file.mux(stream.encode(av.VideoFrame.from_image(picture)))
        file.mux(stream.encode())
    return out.getvalue()


def sound(container: str, codec: str, rate: int = 48_000) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        file.metadata["prompt"] = file.metadata["comment"] = TEXT * 40
        stream = file.add_stream(codec, rate=rate, options={"strict": "experimental"})
        stream.metadata["workflow"] = TEXT
        frame = av.AudioFrame(format="s16", layout="stereo", samples=rate)
        frame.planes[0].update(random.Random(1).randbytes(rate * 4))
        frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return out.getvalue()


def scrub(content: bytes, seed: int = 0) -> bytes:
    scrubber = Scrubber(sniff(content[:SNIFF_BYTES]))
    sizes = random.Random(seed)
    out, at = bytearray(), 0
    while at < len(content):
        size = sizes.choice([1, 2, 7, 100, 5000, 1 << 20])
        out += scrubber.feed(content[at : at + size])
        at += size
    return bytes(out + scrubber.finish())


def frames_of(content: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(content)) as picture:
        return [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(picture)]


def packets_of(content: bytes) -> list[bytes]:
    with av.open(io.BytesIO(content)) as file:
        assert file.metadata.get("prompt") is None
        for stream in file.streams:
            assert "workflow" not in stream.metadata
        return [bytes(packet) for packet in file.demux() if packet.size]


def samples_of(content: bytes) -> int:
    with av.open(io.BytesIO(content)) as file:
        return sum(frame.samples for frame in file.decode(audio=0))


def tagged(content: bytes) -> bytes:
    """Return a sound after ID3 tags, as players write them before files of any type."""
    tag = b"TXXX" + len(TEXT).to_bytes(4, "big") + b"\0\0" + TEXT.encode()
    size = bytes(len(tag) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return (b"ID3\x03\0\0" + size + tag) * 2 + content


PICTURES: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "png": png,
    "apng": lambda: png(animated=True),
    "apng of ComfyUI": apng_of_comfyui,
    "gif": gif,
    "webp": webp,
    "animated webp": lambda: webp(animated=True),
}
FILMS: dict[str, Callable[[], bytes]] = {
    "mp4": lambda: video("mp4", "libx264"),
    "mov": lambda: video("mov", "libx264"),
    "webm": lambda: video("webm", "libvpx-vp9"),
    "mkv": lambda: video("matroska", "libx264"),
    "flac": lambda: sound("flac", "flac"),
    "mp3": lambda: sound("mp3", "libmp3lame"),
    "flac after a tag": lambda: tagged(sound("flac", "flac")),
    "aac after a tag": lambda: tagged(sound("adts", "aac")),
    "opus": lambda: sound("ogg", "libopus"),
    "vorbis": lambda: sound("ogg", "vorbis"),
    "m4a": lambda: sound("ipod", "aac"),
}


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_pictures_keep_their_pixels_and_no_text(make: Callable[[], bytes]) -> None:
    content = make()
    assert SECRET.encode() in content
    for seed in range(5):
        clean = scrub(content, seed)
        assert SECRET.encode() not in clean
        assert frames_of(clean) == frames_of(content)


@pytest.mark.parametrize("make", FILMS.values(), ids=FILMS)
def test_films_and_sounds_keep_their_packets_and_no_text(make: Callable[[], bytes]) -> None:
    content = make()
    assert SECRET.encode() in content
    with av.open(io.BytesIO(content)) as file:
        packets = [bytes(packet) for packet in file.demux() if packet.size]
        kind = file.streams[0].type
    for seed in range(5):
        clean = scrub(content, seed)
        assert SECRET.encode() not in clean
        assert packets_of(clean) == packets
        if kind == "audio":
            assert samples_of(clean) == samples_of(content)


def test_numbers_of_an_exr_stay_where_they_are() -> None:
    content = exr()
    assert SECRET.encode() in content
    for seed in range(5):
        clean = scrub(content, seed)
        assert SECRET.encode() not in clean
        assert clean == content.replace(TEXT.encode(), bytes(len(TEXT)))
        with av.open(io.BytesIO(clean), format="exr_pipe") as file:
            [frame] = file.decode(video=0)
        lines = [bytes(frame.planes[0])[at : at + 8] for at in (0, frame.planes[0].line_size)]
        assert lines == [struct.pack("<2f", 0.25, 0.5), struct.pack("<2f", 1.25, 0.5)]


def test_texts_that_name_the_parts_of_an_exr_stay() -> None:
    part = b"name\0string\0\x04\0\0\0leftowner\0string\0\x03\0\0\0Ann\0"
    content = b"v/1\x01\x02\x10\0\0" + part * 2 + b"\0" + b"Ann's pixels"
    assert scrub(content) == content.replace(b"Ann\0", bytes(4))


def test_gif_still_repeats() -> None:
    with Image.open(io.BytesIO(scrub(gif()))) as picture:
        assert picture.info["loop"] == 0
        assert "comment" not in picture.info


def test_other_files_pass_unchanged() -> None:
    for content in (b"", b"x", b"II*\x00" + bytes(500), b"plain text" * 100):
        assert scrub(content) == content


def test_what_follows_the_end_of_a_png_is_not_delivered() -> None:
    content = png()
    assert scrub(content + SECRET.encode()) == scrub(content)


@pytest.mark.parametrize(
    "make", [*PICTURES.values(), *FILMS.values(), exr], ids=[*PICTURES, *FILMS, "exr"]
)
def test_cut_files_lose_nothing_but_text(make: Callable[[], bytes]) -> None:
    content = make()
    for size in (1, 7, 13, 40, len(content) // 2, len(content) - 1):
        cut = scrub(content[:size])
        assert len(cut) <= size
        assert SECRET.encode() not in cut


@settings(max_examples=300)
@given(
    st.sampled_from(
        [
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x00\x00\x00\x00WEBP",
            b"\x00\x00\x00\x08ftyp",
            b"\x00\x00\x00\x14ftypisom",
            b"\x1aE\xdf\xa3\x84webm",
            b"\xff\xd8\xff\xe1",
            b"fLaC",
            b"ID3\x04\x00\x10",
            b"OggS",
            b"GIF89a",
            b"v/1\x01\x02\x10\x00\x00a\x00",
        ]
    ),
    st.binary(max_size=300),
    st.integers(0, 100),
)
def test_broken_files_never_grow_and_never_fail(head: bytes, rest: bytes, seed: int) -> None:
    assert len(scrub(head + rest, seed)) <= len(head + rest)
