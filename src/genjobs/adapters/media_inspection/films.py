"""
Prove video and sound: the container by one fixed demuxer, its streams by decoding, with PyAV.

Every packet is read and counted. Sound is decoded whole. Pictures are decoded from the start until
``video_decoded_pixels`` of them are; then key frames alone, until they make as many again. So a
usual clip is decoded whole, a long one in samples, and which of the two does not depend on how busy
the machine is. Streams of data and subtitles are read but never decoded; nothing but the file is
ever opened. Runs in a confined process only.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import av
import av.audio.frame
import av.codec
import av.container
import av.error
import av.sidedata
import av.subtitles
import av.video.frame
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from genjobs.adapters.media_inspection.tally import Tally
from genjobs.adapters.media_inspection.verdicts import Found, Reason, Refused
from genjobs.domain import media
from genjobs.domain.media import MediaKind, MediaType
from genjobs.domain.media_limits import MediaLimits

# What PyAV loads on its own when a stream asks for it: too late in a confined process.
for _package in (av.audio, av.codec, av.container, av.sidedata, av.subtitles, av.video):
    for _module in pkgutil.iter_modules(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)

DEMUXERS: Final[Mapping[MediaType, str]] = {
    media.MP4: "mov",
    media.MOV: "mov",
    media.M4A: "mov",
    media.WEBM: "matroska",
    media.MKV: "matroska",
    media.WAV: "wav",
    media.MP3: "mp3",
    media.FLAC: "flac",
    media.OGG: "ogg",
    media.OPUS: "ogg",
    media.AAC: "aac",
}
#: By FFmpeg's names of decoders.
_SOUND_DECODERS: Final = frozenset(
    {"aac", "ac3", "alac", "eac3", "flac", "mp3", "mp3float", "opus", "vorbis"}
    | {"pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le"}
    | {"pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"}
)
_VIDEO_DECODERS: Final = frozenset(
    {"h264", "hevc", "libdav1d", "mjpeg", "mpeg4", "prores", "vp8", "vp9"}
)
_FLAC_SLACK: Final = 0.01  # seconds


def prove(file: IO[bytes], media_type: MediaType, limits: MediaLimits) -> Found:
    """
    Return what the video or sound is.

    Raises:
        Refused: it is over a limit, or does not hold what its type says.
        MemoryError: there is too little memory for it.
        Exception: of any class: it is broken.
    """
    decoders = _SOUND_DECODERS
    if media_type.kind is MediaKind.VIDEO:
        decoders |= _VIDEO_DECODERS
    with av.open(
        Named(file, f"input{media_type.extension}"),
        mode="r",
        container_options={
            # ComfyUI lets FFmpeg guess: what it would not guess to be this type is refused.
            "format_whitelist": DEMUXERS[media_type],
            "protocol_whitelist": "none",
            "codec_whitelist": ",".join(sorted(decoders)),
            # Every sample is to be read, not only those that an edit list shows.
            **({"ignore_editlist": "1"} if DEMUXERS[media_type] == "mov" else {}),
        },
        metadata_errors="replace",
        io_open=open_nothing,
    ) as container:
        return _Reading(container, media_type, limits, decoders).read()


class Named:
    """A file with a name, whose ending FFmpeg heeds when it guesses."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def open_nothing(*_: object) -> Any:
    """Refuse what a media file asks to be opened besides itself."""
    raise PermissionError("a media file names another file or address")


class _Reading:
    """One pass over a container."""

    def __init__(
        self,
        container: InputContainer,
        media_type: MediaType,
        limits: MediaLimits,
        decoders: frozenset[str],
    ) -> None:
        self._container = container
        self._limits = limits
        self._media_type = media_type
        if len(container.streams) > limits.streams:
            raise Refused(Reason.STREAMS)
        self._video = [one for one in container.streams.video if not _is_cover(one)]
        self._audio = list(container.streams.audio)
        if len(self._video) + len(self._audio) > limits.media_streams:
            raise Refused(Reason.STREAMS)
        self._set_aside_unknown()
        self._check_kind()
        self._longest = limits.video_seconds if self._video else limits.audio_seconds
        if (container.duration or 0) > self._longest * av.time_base:
            raise Refused(Reason.DURATION)
        self._tallies = {one.index: Tally(one) for one in (*self._video, *self._audio)}
        for stream in (*self._video, *self._audio):
            if stream.codec_context.codec.name not in decoders:
                raise Refused(Reason.CODEC)
            stream.codec_context.thread_count = 1
        for video in self._video:
            self._check_size(video.codec_context.width, video.codec_context.height)
            video.codec_context.options = {"max_pixels": str(limits.video_pixels)}
        for audio in self._audio:
            self._check_sound(audio.codec_context.sample_rate, audio.codec_context.channels)
        self._decoded_pixels = 0

    def _set_aside_unknown(self) -> None:
        """
        Take a stream for data that FFmpeg has no decoder for: ComfyUI cannot decode it either.

        A phone's clip has its sound twice, and the second one may be such a stream.
        """
        before = self._video, self._audio
        self._video = [one for one in self._video if _has_decoder(one)]
        self._audio = [one for one in self._audio if _has_decoder(one)]
        if before != ([], []) and not self._video and not self._audio:
            raise Refused(Reason.CODEC)

    def _check_kind(self) -> None:
        if self._media_type.kind is MediaKind.AUDIO:
            if self._video:
                raise Refused(Reason.NOT_SOUND_ALONE)
            if not self._audio:
                raise Refused(Reason.NO_SOUND)
        # Sound alone in these two is common and has a type of its own.
        elif not self._video and not (self._audio and self._media_type in (media.MP4, media.WEBM)):
            raise Refused(Reason.NO_PICTURES)

    def read(self) -> Found:
        """Read all packets, decode what is to be decoded, and judge."""
        for packet in self._container.demux():
            tally = self._tallies.get(packet.stream.index)
            if tally is None:
                continue
            if packet.size:
                tally.count(packet)
                if tally.seconds > self._longest:
                    raise Refused(Reason.DURATION)
            self._decode(packet, tally)
        self._check_whole()
        first = self._video[0] if self._video else None
        return Found(
            width=first.codec_context.width if first else None,
            height=first.codec_context.height if first else None,
            frames=self._tallies[first.index].packets if first else None,
            seconds=round(float(max(one.seconds for one in self._tallies.values())), 3),
        )

    def _check_whole(self) -> None:
        """Judge what only the whole tells: faults, and whether its end is missing."""
        for tally in self._tallies.values():
            tally.check()
        if self._media_type == media.FLAC:  # whose header counts the samples, or says nothing
            declared = (self._container.duration or 0) / av.time_base
            if max(one.sounding for one in self._tallies.values()) < declared - _FLAC_SLACK:
                raise Refused(Reason.CUT_OFF)
        for video in self._video:
            tally = self._tallies[video.index]
            if tally.packets < video.frames and self._media_type in (media.MP4, media.MOV):
                raise Refused(Reason.CUT_OFF)
            if tally.packets > self._limits.video_rate * (tally.seconds + 1):
                raise Refused(Reason.VIDEO_RATE)

    def _decode(self, packet: Packet[Any], tally: Tally) -> None:
        if tally.stream.type == "video":
            if self._decoded_pixels > 2 * self._limits.video_decoded_pixels:
                return
            if self._decoded_pixels > self._limits.video_decoded_pixels and packet.size:
                if not packet.is_keyframe:
                    return
                tally.stream.codec_context.skip_frame = "NONKEY"
        tally.fed += 1
        try:
            frames: Sequence[Any] = packet.decode()
        except (EOFError, MemoryError):
            raise
        except (av.error.FFmpegError, ValueError):
            tally.errors += 1
            return
        for frame in frames:
            tally.frames += 1
            if isinstance(frame, av.video.frame.VideoFrame):
                self._check_size(frame.width, frame.height)
                self._decoded_pixels += frame.width * frame.height
            elif isinstance(frame, av.audio.frame.AudioFrame):
                self._check_sound(frame.sample_rate, len(frame.layout.channels))
                tally.sounding += frame.samples / frame.sample_rate
                if tally.sounding > self._longest + 1:
                    raise Refused(Reason.DURATION)

    def _check_size(self, width: int, height: int) -> None:
        limits = self._limits
        if width * height > limits.video_pixels or max(width, height) > limits.video_side:
            raise Refused(Reason.VIDEO_SIZE, width=width, height=height)

    def _check_sound(self, sample_rate: int, channels: int) -> None:
        if sample_rate > self._limits.sample_rate or channels > self._limits.channels:
            raise Refused(Reason.SOUND_FORMAT)


def _has_decoder(stream: Stream) -> bool:
    # There is no context where there is no decoder, whatever the annotation says.
    return getattr(stream, "codec_context", None) is not None


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)
