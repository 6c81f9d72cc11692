"""Video and sound from outside: good ones of every type pass, lies and limits are found out."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from genjobs.adapters.media_inspection import SubprocessInspector
from genjobs.adapters.media_inspection.warm_process import WarmProcess
from genjobs.domain import media
from genjobs.domain.media import ACCEPTED_INPUTS, MediaKind, sniff
from genjobs.domain.media_limits import MediaLimits
from tests.integration.inspecting import MEGABYTE, Desk, end_of
from tests.media_files import (
    FILMS,
    box,
    edited,
    encoded,
    film,
    good_film,
    matroska_of_tracks,
    patched,
    picture,
)

LIMITS = MediaLimits()
TYPES = {one.extension: one for one in ACCEPTED_INPUTS}
GOOD = {extension: good_film(extension) for extension in FILMS}


def test_there_is_an_example_of_every_accepted_type() -> None:
    assert set(FILMS) == {
        one.extension for one in ACCEPTED_INPUTS if one.kind is not MediaKind.IMAGE
    }


# -- good ones --------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", FILMS)
async def test_every_accepted_type_passes(desk: Desk, extension: str) -> None:
    facts = await desk.accepts(GOOD[extension])
    assert facts.media_type is TYPES[extension]
    assert facts.duration_seconds == pytest.approx(1.0, abs=0.1)
    if facts.media_type.kind is MediaKind.VIDEO:
        assert (facts.width, facts.height, facts.frames) == (64, 48, 25)
    else:
        assert (facts.width, facts.height, facts.frames) == (None, None, None)


@pytest.mark.parametrize(
    ("container", "video", "audio"),
    [
        ("mp4", "libx265", None),
        ("mp4", "libsvtav1", "libopus"),
        ("mp4", "mpeg4", "libmp3lame"),
        ("mp4", "libvpx-vp9", "libopus"),
        ("mp4", "libx264", "ac3"),
        ("mov", "prores_ks", "pcm_s16le"),
        ("mov", "mjpeg", "pcm_s24le"),
        ("webm", "libvpx", "vorbis"),
        ("webm", "libsvtav1", "libopus"),
        ("matroska", "libx265", "aac"),
        ("matroska", "libvpx-vp9", "libopus"),
        ("wav", None, "pcm_f32le"),
        ("wav", None, "pcm_alaw"),
        ("ogg", None, "flac"),
        ("ipod", None, "alac"),
    ],
)
async def test_every_accepted_codec_passes(
    desk: Desk, container: str, video: str | None, audio: str | None
) -> None:
    size = (128, 96)  # the least that the AV1 encoder takes
    facts = await desk.accepts(film(container, video, audio, size=size, seconds=0.5))
    assert facts.duration_seconds == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"movflags": "+faststart"},
        {"movflags": "+frag_keyframe+empty_moov"},
        {"movflags": "+dash+delay_moov+frag_keyframe"},
    ],
    ids=lambda options: str(options["movflags"]),
)
async def test_every_order_of_boxes_passes(desk: Desk, options: dict[str, str]) -> None:
    facts = await desk.accepts(film("mp4", "libx264", "aac", container_options=options))
    assert (facts.media_type, facts.frames) == (media.MP4, 25)


async def test_sound_alone_in_a_container_of_video_is_sound(desk: Desk) -> None:
    facts = await desk.accepts(film("mp4", None, "aac"))
    assert facts.media_type is media.M4A
    await desk.refuses(film("matroska", None, "flac"), saying="no video")


async def test_live_recording_without_lengths_passes(desk: Desk) -> None:
    content = film("webm", "libvpx", "libopus", container_options={"live": "1"})
    assert (await desk.accepts(content)).frames == 25


async def test_wave_of_a_recorder_that_did_not_know_its_length_passes(desk: Desk) -> None:
    def unknown(_: bytes) -> bytes:
        return b"\xff\xff\xff\xff"

    content = patched(patched(GOOD[".wav"], b"data", unknown, 4), b"RIFF", unknown, 4)
    assert (await desk.accepts(content)).duration_seconds == pytest.approx(1.0, abs=0.05)


async def test_clip_with_timecode_and_subtitles_passes(desk: Desk) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mov") as out:
        out.metadata["timecode"] = "01:00:00:00"
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(25):
            frame = av.VideoFrame.from_image(picture())
            frame.pts = n
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    content = file.getvalue()
    assert b"tmcd" in content
    assert (await desk.accepts(content)).frames == 25


async def test_clip_with_a_second_sound_that_nothing_here_decodes_passes(desk: Desk) -> None:
    def unknown(content: bytes) -> bytes:
        assert (content.count(b"mp4a"), content.count(b"esds")) == (1, 1)
        return content.replace(b"mp4a", b"apac").replace(b"esds", b"free")

    facts = await desk.accepts(unknown(GOOD[".mp4"]))
    assert (facts.media_type, facts.frames) == (media.MP4, 25)
    await desk.refuses(unknown(GOOD[".m4a"]), saying="codec")


def id3(*frames: tuple[bytes, bytes], size: int | None = None) -> bytes:
    body = b"".join(
        name + struct.pack(">I", len(data)) + b"\x00\x00" + data for name, data in frames
    )
    length = len(body) if size is None else size
    synchsafe = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + synchsafe + body


async def test_song_with_its_cover_passes(desk: Desk) -> None:
    cover = b"\x00image/jpeg\x00\x03\x00" + encoded("JPEG", size=(600, 600))
    song = id3((b"APIC", cover), (b"TIT2", b"\x00\xff\xfe\x80")) + film("mp3", None, "libmp3lame")
    facts = await desk.accepts(song)
    assert (facts.media_type, facts.frames) == (media.MP3, None)


@pytest.mark.parametrize(("container", "codec"), [("flac", "flac"), ("adts", "aac")])
async def test_tag_of_mp3_before_another_type_does_not_hide_it(
    desk: Desk, container: str, codec: str
) -> None:
    content = film(container, None, codec)
    plain = await desk.accepts(content)
    facts = await desk.accepts(id3((b"TIT2", b"\x00x")) + content)
    assert facts.media_type is plain.media_type


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("extension", [".ogg", ".opus", ".mp3", ".aac", ".m4a", ".flac", ".wav"])
async def test_short_sounds_pass_with_their_length(
    desk: Desk, extension: str, seconds: float
) -> None:
    facts = await desk.accepts(film(*FILMS[extension], seconds=seconds))
    assert facts.duration_seconds == pytest.approx(seconds, abs=0.08)


async def test_song_after_a_tag_of_20_megabytes_passes_in_bounded_memory(
    process: WarmProcess, desk: Desk, tmp_path: Path
) -> None:
    content = id3((b"PRIV", bytes(20 * MEGABYTE))) + GOOD[".mp3"]
    assert (await desk.accepts(content)).media_type is media.MP3
    assert (await end_of(process, content, tmp_path)).resident_bytes < 400 * MEGABYTE


async def test_tag_that_says_it_is_larger_than_the_file_is_refused(desk: Desk) -> None:
    await desk.refuses(id3(size=2**28 - 1) + GOOD[".mp3"])
    await desk.refuses(id3((b"APIC", bytes(100)), size=2**28 - 1))


# -- what is decoded --------------------------------------------------------------------------


async def test_long_film_is_decoded_in_samples_and_counted_whole(tmp_path: Path) -> None:
    content = film("mp4", "libx264", "aac", seconds=8, video_options={"g": "25"})
    async with SubprocessInspector(replace(LIMITS, video_decoded_pixels=64 * 48 * 30)) as hasty:
        facts = await Desk(inspector=hasty, folder=tmp_path).accepts(content)
    assert facts.frames == 200
    assert facts.duration_seconds == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".webm", ".m4a", ".aac", ".mp3"])
async def test_noise_in_the_place_of_samples_is_refused(desk: Desk, extension: str) -> None:
    content = GOOD[extension]
    noise = random.Random(1)
    if extension in (".mp4", ".mov", ".m4a"):
        at = content.index(b"mdat") + 4
        length = struct.unpack(">I", content[at - 8 : at - 4])[0] - 8
        content = content[:at] + noise.randbytes(length) + content[at + length :]
    else:
        at = {".mkv": 1_000, ".webm": 1_000}.get(extension, 40)
        content = content[:at] + noise.randbytes(len(content) - at)
    await desk.refuses(content)


@pytest.mark.parametrize(
    ("extension", "part"),
    [
        *(
            (extension, part)
            for extension in (".mp4", ".mov", ".m4a")
            for part in (0.05, 0.5, 0.95)
        ),
        *((extension, part) for extension in (".mkv", ".webm", ".weba") for part in (0.5, 0.95)),
        *((extension, part) for extension in (".wav", ".flac") for part in (0.5, 0.95)),
    ],
)
async def test_film_that_is_cut_off_is_refused(desk: Desk, extension: str, part: float) -> None:
    content = GOOD[extension]
    await desk.refuses(content[: int(len(content) * part)])


async def test_film_with_its_index_in_front_that_is_cut_off_is_refused(desk: Desk) -> None:
    content = film("mp4", "libx264", "aac", container_options={"movflags": "+faststart"})
    await desk.refuses(content[: len(content) * 9 // 10], saying="cut off")


async def test_index_without_samples_is_refused(desk: Desk) -> None:
    content = film("mp4", "libx264", "aac", container_options={"movflags": "+faststart"})
    await desk.refuses(content[: content.index(b"mdat") - 4])


@pytest.mark.parametrize("extension", [".ogg", ".opus", ".mp3", ".aac"])
async def test_row_of_frames_that_is_cut_is_a_shorter_one(desk: Desk, extension: str) -> None:
    content = good_film(extension, seconds=3)
    facts = await desk.accepts(content[: len(content) // 2])
    assert facts.duration_seconds is not None
    assert 0.5 < facts.duration_seconds < 2.5


@pytest.mark.parametrize("extension", FILMS)
async def test_broken_films_of_every_sort_have_an_answer(
    process: WarmProcess, tmp_path: Path, extension: str
) -> None:
    noise = random.Random(extension)
    for _ in range(30):
        content = bytearray(GOOD[extension])
        for _ in range(noise.randint(1, 12)):
            content[noise.randrange(16, min(len(content), 3_000))] = noise.randrange(256)
        end = await end_of(process, bytes(content), tmp_path, sniff(GOOD[extension]))
        assert end.status <= 0
        assert not end.timed_out
        assert end.resident_bytes < LIMITS.memory_bytes


# -- what is not what it says -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n",
        b"<?xml version='1.0'?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>",
        b"[playlist]\nFile1=file:///etc/passwd\n",
    ],
    ids=["hls", "concat", "sdp", "dash", "pls"],
)
async def test_list_of_other_files_is_refused_whatever_it_starts_with(
    desk: Desk, text: bytes
) -> None:
    await desk.refuses_type(text)
    for start in (
        box(b"ftyp", b"isom", bytes(4), b"isom"),
        b"ID3\x03\x00\x00\x00\x00\x00\x00",
        b"RIFF\x00\x10\x00\x00WAVE",
        b"fLaC",
        b"\x1aE\xdf\xa3\x87B\x82\x84webm",
        b"\xff\xf1\x50\x80\x2e\x7f\xfc",
    ):
        await desk.refuses(start + text * 50)


@pytest.mark.parametrize(
    "text",
    [
        b"ffconcat version 1.0\nfile other.mp3\n",
        b"v=0\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    ],
    ids=["concat", "sdp"],
)
async def test_song_with_a_list_of_files_between_tag_and_frames_is_refused(
    desk: Desk, text: bytes
) -> None:
    """Whoever lets FFmpeg guess what it is, as ComfyUI does, opens the list and not the song."""
    await desk.refuses(id3((b"TIT2", b"\x00x")) + text + film("mp3", None, "libmp3lame", seconds=2))


def alias(path: bytes) -> bytes:
    """Return a data reference of QuickTime to another file."""
    path += b"\x00" * (len(path) % 2)
    record = bytes(10) + b"\x04disk".ljust(28, b"\x00") + bytes(12) + b"\x01x".ljust(64, b"\x00")
    record += bytes(16) + struct.pack(">HH", 0, 0) + bytes(16)
    record += struct.pack(">HH", 2, len(path)) + path + b"\xff\xff"
    return box(b"alis", bytes(4), record.ljust(200, b"\x00"))


async def test_film_whose_samples_are_in_another_file_is_refused(
    desk: Desk, tmp_path: Path
) -> None:
    samples = tmp_path / "samples"
    whole = film("mov", "libx264", None)
    samples.write_bytes(whole)

    def elsewhere(data: bytes) -> bytes:
        return data[:8] + alias(str(samples).encode())

    content = edited(whole, b"moov/trak/mdia/minf/dinf/dref", elsewhere)
    assert str(samples).encode() in content
    # The box is one that FFmpeg follows when it is told to.
    with av.open(
        io.BytesIO(content), format="mov", options={"enable_drefs": "1", "use_absolute_path": "1"}
    ) as opened:
        assert len(list(opened.decode(video=0))) == 25
    await desk.refuses(content)


async def test_video_under_the_name_of_sound_is_refused(desk: Desk) -> None:
    content = GOOD[".mp4"].replace(b"ftypisom", b"ftypM4A ", 1)
    await desk.refuses(content, saying="audio/mp4, but has video in it")


@pytest.mark.parametrize("extension", FILMS)
async def test_start_of_one_type_before_another_is_refused(desk: Desk, extension: str) -> None:
    start = GOOD[extension][:64]
    other = GOOD[".flac"] if extension != ".flac" else GOOD[".ogg"]
    await desk.refuses(start + other)


@pytest.mark.parametrize("codec", ["ffv1", "mpeg2video", "libx264rgb", "rawvideo"])
async def test_only_known_codecs_are_decoded(desk: Desk, codec: str) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream: Any = out.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = {"libx264rgb": "rgb24"}.get(codec, "yuv420p")
        frame = av.VideoFrame.from_image(picture()).reformat(format=stream.pix_fmt)
        for n in range(5):
            frame.pts = n
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    if codec == "libx264rgb":
        await desk.accepts(file.getvalue())
    else:
        await desk.refuses(file.getvalue(), saying="codec")


# -- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "content", "saying"),
    [
        (
            {"video_seconds": 2},
            lambda: film("mp4", "libx264", None, seconds=3),
            "longer than 2 seconds",
        ),
        (
            {"video_seconds": 2},
            lambda: film("webm", "libvpx", None, seconds=3, container_options={"live": "1"}),
            "longer than 2 seconds",
        ),
        (
            {"audio_seconds": 2},
            lambda: film("mp3", None, "libmp3lame", seconds=3),
            "longer than 2 seconds",
        ),
        (
            {"audio_seconds": 2},
            lambda: film("ogg", None, "libopus", seconds=3),
            "longer than 2 seconds",
        ),
        (
            {"video_pixels": 64 * 48 - 1},
            lambda: film("mp4", "libx264", None),
            "The video is of 64 x 48 pixels",
        ),
        (
            {"video_side": 63},
            lambda: film("webm", "libvpx-vp9", None),
            "The video is of 64 x 48 pixels",
        ),
        (
            {},
            lambda: film("mp4", "libx264", None, rate=240, seconds=3),
            "more than 120 frames per second",
        ),
        (
            {"channels": 1},
            lambda: film("wav", None, "pcm_s16le"),
            "more than 1 channels",
        ),
        (
            {"sample_rate": 44_100},
            lambda: film("flac", None, "flac"),
            "more than 44100 samples per second",
        ),
        ({}, lambda: film("mp4", "libx264", "aac", streams=3, seconds=0.1), "4 streams"),
    ],
    ids=[
        "long video",
        "long video that does not say so",
        "long song",
        "long opus",
        "large",
        "wide",
        "fast",
        "channels",
        "sample rate",
        "5 streams",
    ],
)
async def test_limits_are_held(
    tmp_path: Path, limits: dict[str, Any], content: Callable[[], bytes], saying: str
) -> None:
    async with SubprocessInspector(replace(LIMITS, **limits)) as strict:
        await Desk(inspector=strict, folder=tmp_path).refuses(content(), saying=saying)


@pytest.mark.parametrize("count", [17, 1_000])
async def test_many_streams_are_refused(
    process: WarmProcess, desk: Desk, tmp_path: Path, count: int
) -> None:
    content = matroska_of_tracks(count)
    await desk.refuses(content, saying="16 streams in all")
    assert (await end_of(process, content, tmp_path)).resident_bytes < 200 * MEGABYTE


async def test_more_streams_than_the_demuxer_takes_are_refused(desk: Desk) -> None:
    await desk.refuses(matroska_of_tracks(20_000))


async def test_film_that_grows_after_its_header_is_refused(desk: Desk, tmp_path: Path) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as out:
        stream: Any = out.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        other: Any = av.CodecContext.create("libvpx", "w")
        other.width, other.height, other.pix_fmt = 640, 480, "yuv420p"
        other.time_base = Fraction(1, 25)
        small = av.VideoFrame.from_image(picture())
        large = av.VideoFrame.from_image(picture(size=(640, 480)))
        for n in range(5):
            small.pts = n
            out.mux(stream.encode(small))
        out.mux(stream.encode(None))
        for n in range(5, 10):
            large.pts = n
            for packet in other.encode(large):
                packet.stream = stream
                out.mux(packet)
        for packet in other.encode(None):
            packet.stream = stream
            out.mux(packet)
    content = file.getvalue()
    assert (await desk.accepts(content)).frames == 10
    async with SubprocessInspector(replace(LIMITS, video_pixels=64 * 48)) as strict:
        await Desk(inspector=strict, folder=tmp_path).refuses(content)


async def test_wave_that_says_it_lasts_for_ages_is_refused(desk: Desk) -> None:
    fmt = struct.pack("<HHIIHH", 1, 1, 1, 1, 1, 8)  # one sample per second
    samples = bytes(10_000)
    body = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data"
    for length in (len(samples), 2**32 - 1, 2**32 - 2):
        content = b"RIFF" + struct.pack("<I", 2**32 - 1) + body + struct.pack("<I", length)
        await desk.refuses(content + samples)


async def test_times_that_lie_do_not_lengthen_a_film(desk: Desk) -> None:
    def slower(data: bytes) -> bytes:
        return struct.pack(">I", max(1, struct.unpack(">I", data)[0] // 10_000))

    content = GOOD[".m4a"]
    at = content.index(b"mdhd") + 4 + 12
    content = content[:at] + slower(content[at : at + 4]) + content[at + 4 :]
    await desk.refuses(content, saying="longer than 1800 seconds")
