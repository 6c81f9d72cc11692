"""
Frames that FFmpeg finds in a picture and Pillow does not: ComfyUI loads pictures with FFmpeg.

It goes on where a picture ends, or believes no count of frames: what the limits let by as one frame
could be thousands. Packets are counted, none is decoded. Runs in a confined process only.
"""

from __future__ import annotations

from typing import IO, Any, Final

import av
import av.error

from genjobs.adapters.media_inspection.films import Named, open_nothing
from genjobs.adapters.media_inspection.verdicts import Found, Reason, Refused
from genjobs.domain.media import JPEG, PNG, WEBP, MediaType
from genjobs.domain.media_limits import MediaLimits

#: How a file of the type starts. Of those in a row each may be of any size; in a row of GIFs the
#: first says the size for all, so that counting is enough.
_STARTS: Final = {PNG: b"\x89PNG", JPEG: b"\xff\xd8\xff", WEBP: b"RIFF"}


def check(file: IO[bytes], media_type: MediaType, found: Found, limits: MediaLimits) -> None:
    """
    Hold what FFmpeg finds to the limits; what it cannot open is no concern, ComfyUI cannot either.

    Raises:
        Refused: there are further pictures in the file, or more frames than are allowed.
    """
    file.seek(0)
    try:
        with av.open(
            Named(file, f"input{media_type.extension}"),
            mode="r",
            container_options={"protocol_whitelist": "none", "codec_whitelist": "none"},
            metadata_errors="replace",
            io_open=open_nothing,
        ) as container:
            _count(container, _STARTS.get(media_type), found, limits)
    except (av.error.FFmpegError, PermissionError):
        return


def _count(container: Any, start: bytes | None, found: Found, limits: MediaLimits) -> None:
    frames: dict[int, int] = {}
    wholes = 0
    for packet in container.demux():
        if not packet.size:
            continue
        index = packet.stream.index
        frames[index] = count = frames.get(index, 0) + 1
        if start is not None:
            wholes += bytes(memoryview(packet)[: len(start)]) == start
        if wholes > 1:
            raise Refused(Reason.FURTHER_PICTURES)
        if count > limits.picture_frames:
            raise Refused(Reason.PICTURE_FRAMES)
        if count > (found.frames or 0):
            context = getattr(packet.stream, "codec_context", None)
            width = max(found.width or 0, getattr(context, "width", 0))
            height = max(found.height or 0, getattr(context, "height", 0))
            if width * height > limits.picture_pixels:
                raise Refused(Reason.PICTURE_PIXELS)
            if count * width * height > limits.picture_total_pixels:
                raise Refused(Reason.PICTURE_TOTAL)
