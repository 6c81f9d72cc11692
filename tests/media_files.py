"""Media made at test time: good files of every accepted type, and building blocks of bad ones."""

from __future__ import annotations

import io
import math
import random
import struct
import tempfile
import zlib
from array import array
from collections.abc import Callable
from typing import Any

import av
from PIL import Image

#: Container and codec by the extension that genjobs gives the type.
FILMS: dict[str, tuple[str, str | None, str | None]] = {
    ".mp4": ("mp4", "libx264", "aac"),
    ".mov": ("mov", "libx264", "aac"),
    ".webm": ("webm", "libvpx-vp9", "libopus"),
    ".mkv": ("matroska", "libx264", "flac"),
    ".wav": ("wav", None, "pcm_s16le"),
    ".mp3": ("mp3", None, "libmp3lame"),
    ".flac": ("flac", None, "flac"),
    ".ogg": ("ogg", None, "vorbis"),
    ".opus": ("ogg", None, "libopus"),
    ".m4a": ("ipod", None, "aac"),
    ".aac": ("adts", None, "aac"),
    ".weba": ("webm", None, "libopus"),
}


def picture(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a picture of noise, the same for the same arguments."""
    noise = random.Random(1)
    bands = [
        Image.frombytes("L", size, noise.randbytes(size[0] * size[1]))
        for _ in Image.new(mode, (1, 1)).getbands()
    ]
    return Image.merge(mode, bands) if len(bands) > 1 else bands[0].convert(mode)


def encoded(
    name: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: Any
) -> bytes:
    """Return a picture file of Pillow's format ``name``."""
    file = io.BytesIO()
    picture(mode, size).save(file, name, **options)
    return file.getvalue()


def animated(name: str, frames: int = 3, size: tuple[int, int] = (32, 24), **options: Any) -> bytes:
    """Return an animation in which each frame differs from the one before."""
    colours = [Image.new("RGB", size, (n * 53 % 256, n * 97 % 256, n % 256)) for n in range(frames)]
    file = io.BytesIO()
    colours[0].save(file, name, save_all=True, append_images=colours[1:], duration=40, **options)
    return file.getvalue()


def film(
    container: str,
    video: str | None = None,
    audio: str | None = None,
    *,
    seconds: float = 1.0,
    size: tuple[int, int] = (64, 48),
    rate: int = 25,
    sample_rate: int = 48_000,
    layout: str = "stereo",
    streams: int = 1,
    container_options: dict[str, str] | None = None,
    video_options: dict[str, str] | None = None,
) -> bytes:
    """Return a film of moving noise and a tone; ``streams`` is the number of tracks of each."""
    with tempfile.NamedTemporaryFile() as file:  # by name, which some ways of writing read again
        out = av.open(file.name, "w", format=container, options=container_options or {})
        videos, audios = [], []
        for _ in range(streams):
            if video:
                stream: Any = out.add_stream(video, rate=rate, options=video_options or {})
                stream.width, stream.height = size
                stream.pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
                if video == "prores_ks":
                    stream.pix_fmt = "yuv422p10le"
                videos.append(stream)
            if audio:
                strict = {"strict": "experimental"} if audio == "vorbis" else {}
                audios.append(
                    out.add_stream(audio, rate=sample_rate, layout=layout, options=strict)
                )
        _fill(out, videos, audios, seconds, rate, size, sample_rate, layout)
        out.close()
        return file.read()


def _fill(
    out: Any,
    videos: list[Any],
    audios: list[Any],
    seconds: float,
    rate: int,
    size: tuple[int, int],
    sample_rate: int,
    layout: str,
) -> None:
    still = picture("RGB", size)
    for n in range(max(1, round(seconds * rate))) if videos else ():
        frame = av.VideoFrame.from_image(
            still.transform(size, Image.Transform.AFFINE, (1, 0, n, 0, 1, 0))
        )
        frame.pts = n
        for stream in videos:
            out.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
    channels = len(av.AudioLayout(layout).channels)
    tone = array("h", (int(8000 * math.sin(n / 20)) for n in range(960))) * 1
    done = 0
    total = int(seconds * sample_rate) if audios else 0
    while done < total:
        sound = av.AudioFrame(format="s16", layout=layout, samples=960)
        sound.planes[0].update(
            array("h", (value for value in tone for _ in range(channels))).tobytes()
        )
        sound.sample_rate = sample_rate
        sound.pts = done
        for stream in audios:
            out.mux(stream.encode(sound))
        done += 960
    for stream in (*videos, *audios):
        out.mux(stream.encode(None))


def good_film(extension: str, **options: Any) -> bytes:
    """Return a small film or sound of the type with this extension."""
    return film(*FILMS[extension], **options)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of these chunks, IEND added."""
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> tuple[bytes, bytes]:
    """Return an IHDR chunk."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def tiny_gif(frames: int, width: int = 1, height: int = 1) -> bytes:
    """Return a GIF whose frames are one pixel each, on a canvas of any size."""
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\x00\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\x00\x00" + bytes(3) + b"\xff" * 3
    return head + frame * frames + b"\x3b"


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box of an ISO file."""
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


def patched(data: bytes, find: bytes, change: Callable[[bytes], bytes], length: int) -> bytes:
    """Return the data with the ``length`` bytes after the only ``find`` changed."""
    assert data.count(find) == 1, data.count(find)
    at = data.index(find) + len(find)
    return data[:at] + change(data[at : at + length]) + data[at + length :]


def edited(data: bytes, path: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return an ISO file with the content of each box at ``path`` changed, lengths mended."""
    name, _, rest = path.partition(b"/")
    result, at = b"", 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + length]
        if kind == name:
            content = edited(content, rest, change) if rest else change(content)
        result += box(kind, content)
        at += length
    return result


def element(name: str, data: bytes) -> bytes:
    """Return an element of EBML; ``name`` is its id in hexadecimal."""
    return bytes.fromhex(name) + struct.pack(">Q", 1 << 56 | len(data)) + data


def matroska_of_tracks(count: int) -> bytes:
    """Return a Matroska file that lists tracks of PCM and has no samples."""
    tracks = b"".join(
        element(
            "AE",
            element("D7", struct.pack(">H", number))
            + element("73C5", struct.pack(">H", number))
            + element("83", b"\x02")
            + element("86", b"A_PCM/INT/LIT")
            + element("E1", element("B5", struct.pack(">d", 48_000.0)) + element("9F", b"\x01")),
        )
        for number in range(1, count + 1)
    )
    header = element("1A45DFA3", element("4282", b"matroska"))
    block = b"\x81\x00\x00\x80" + bytes(960)
    cluster = element("1F43B675", element("E7", b"\x00") + element("A3", block))
    return header + element("18538067", element("1654AE6B", tracks) + cluster)
