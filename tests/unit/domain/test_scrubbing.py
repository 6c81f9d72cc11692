"""Scrubbing: no text of a workflow is left, every pixel and sample is, whatever the chunks."""

from __future__ import annotations

import io
import random
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


PICTURES: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "png": png,
    "apng": lambda: png(animated=True),
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


def test_other_files_pass_unchanged() -> None:
    for content in (b"", b"x", b"GIF89a" + bytes(500), b"plain text" * 100):
        assert scrub(content) == content


def test_what_follows_the_end_of_a_png_is_not_delivered() -> None:
    content = png()
    assert scrub(content + SECRET.encode()) == scrub(content)


@pytest.mark.parametrize("make", [*PICTURES.values(), *FILMS.values()], ids=[*PICTURES, *FILMS])
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
        ]
    ),
    st.binary(max_size=300),
    st.integers(0, 100),
)
def test_broken_files_never_grow_and_never_fail(head: bytes, rest: bytes, seed: int) -> None:
    assert len(scrub(head + rest, seed)) <= len(head + rest)
