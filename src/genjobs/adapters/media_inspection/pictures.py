"""
Prove a picture: sizes from its header first, then every frame decoded whole, by Pillow.

What follows the end of the picture is not looked at here (see ``further_frames``), and it is
never served for a browser to guess. Runs in a confined process only.
"""

from __future__ import annotations

import warnings
from typing import IO, Final

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from genjobs.adapters.media_inspection.verdicts import Found, Reason, Refused
from genjobs.domain import media
from genjobs.domain.media import MediaType
from genjobs.domain.media_headers import webp_size
from genjobs.domain.media_limits import MediaLimits

FORMATS: Final = {
    media.PNG: PngImagePlugin.PngImageFile.format,
    media.JPEG: JpegImagePlugin.JpegImageFile.format,
    media.GIF: GifImagePlugin.GifImageFile.format,
    media.WEBP: WebPImagePlugin.WebPImageFile.format,
    media.AVIF: AvifImagePlugin.AvifImageFile.format,
}
# What Pillow loads on its own when a file is opened: too late in a confined process.
Image.preinit()
_LOADED_AHEAD: Final = (MpoImagePlugin, TiffImagePlugin)
_HEAD: Final = 64


def prove(file: IO[bytes], media_type: MediaType, limits: MediaLimits) -> Found:
    """
    Return what the picture is.

    Raises:
        Refused: it is over a limit.
        MemoryError: there is too little memory for it.
        Exception: of any class: it is broken.
    """
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.MAX_IMAGE_PIXELS = limits.picture_pixels  # also of what frames ask for by themselves
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    head = file.read(_HEAD)
    file.seek(0)
    declared = _declared_size(media_type, head)
    if declared is not None:
        _check_size(*declared, limits)
    try:
        with Image.open(file, formats=(FORMATS[media_type],)) as picture:
            return _decode(picture, limits)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise Refused(Reason.PICTURE_PIXELS) from exc


def _declared_size(media_type: MediaType, head: bytes) -> tuple[int, int] | None:
    """Return the size of those formats for which Pillow may allocate before it tells it."""
    if media_type == media.WEBP:
        return webp_size(head)
    if media_type == media.GIF:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if media_type == media.PNG and head[12:16] == b"IHDR":
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    return None


def _check_size(width: int, height: int, limits: MediaLimits) -> None:
    if width * height > limits.picture_pixels:
        raise Refused(Reason.PICTURE_PIXELS, width=width, height=height)
    if max(width, height) > limits.picture_side:
        raise Refused(Reason.PICTURE_SIDE, width=width, height=height)


def _decode(picture: Image.Image, limits: MediaLimits) -> Found:
    width, height = picture.size
    _check_size(width, height, limits)
    declared = _declared_frames(picture)
    if declared is not None:
        if declared > limits.picture_frames:
            raise Refused(Reason.PICTURE_FRAMES)
        if declared * width * height > limits.picture_total_pixels:
            raise Refused(Reason.PICTURE_TOTAL)
    frames = total = 0
    while declared is None or frames < declared:
        try:
            picture.seek(frames)
        except EOFError:
            if declared is not None:
                raise
            break
        if frames == limits.picture_frames:
            raise Refused(Reason.PICTURE_FRAMES)
        _check_size(*picture.size, limits)  # a frame may enlarge the canvas
        total += picture.size[0] * picture.size[1]
        if total > limits.picture_total_pixels:
            raise Refused(Reason.PICTURE_TOTAL)
        picture.load()
        frames += 1
    return Found(width=width, height=height, frames=frames)


def _declared_frames(picture: Image.Image) -> int | None:
    """
    Return how many frames the header says there are, None when only reading tells (GIF).

    Of a JPEG with further pictures (MPO: previews, depth, the other eye) the first is the picture;
    many programs cut off the others and leave the table that lists them.
    """
    if isinstance(picture, GifImagePlugin.GifImageFile):
        return None
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        return 1
    return int(getattr(picture, "n_frames", 1))
