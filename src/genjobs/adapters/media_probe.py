"""
The size of pictures from their first bytes, by Pillow's header parsers; nothing is decoded.

Types are recognised by ``domain.media`` first and only the parser of that type is tried. An AVIF
is read only when ``head`` is all of it, since Pillow's parser wants the whole file.
"""

from __future__ import annotations

import io
from typing import Final

from genjobs.domain.media import AVIF, BMP, GIF, JPEG, PNG, TIFF, WEBP, sniff
from genjobs.domain.media_headers import webp_size
from genjobs.domain.ports import PictureSize

_FORMATS: Final = {AVIF: "AVIF", BMP: "BMP", GIF: "GIF", JPEG: "JPEG", PNG: "PNG", TIFF: "TIFF"}


class PillowProbe:
    """A ``MediaProbe``; Pillow is imported by the first picture."""

    def picture_size(self, head: bytes) -> PictureSize | None:
        """
        Return the size of the picture that starts with ``head``, None if unreadable.

        A picture of more pixels than ``PIL.Image.MAX_IMAGE_PIXELS`` counts as unreadable.
        """
        media_type = sniff(head)
        if media_type == WEBP:
            # Pillow allocates the canvas on opening and refuses an incomplete file.
            size = webp_size(head)
        elif media_type in _FORMATS:
            size = _pillow_size(head, _FORMATS[media_type])
        else:
            return None
        if size is None or not _acceptable(*size):
            return None
        return PictureSize(width=size[0], height=size[1])


def _acceptable(width: int, height: int) -> bool:
    from PIL import Image  # noqa: PLC0415 (loads a third of a second of modules)

    limit = Image.MAX_IMAGE_PIXELS
    return width > 0 and height > 0 and (limit is None or width * height <= limit)


def _pillow_size(head: bytes, name: str) -> tuple[int, int] | None:
    from PIL import Image  # noqa: PLC0415 (loads a third of a second of modules)

    try:
        with Image.open(io.BytesIO(head), formats=(name,)) as picture:
            return picture.size
    except (
        OSError,  # UnidentifiedImageError is one
        ValueError,  # PNG text chunks that unpack to too much
        SyntaxError,  # how format plugins say that a file is broken
        EOFError,  # the same, of files that end too early
        RuntimeError,  # the same, of the AVIF library
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,  # where warnings are errors
    ):
        return None
