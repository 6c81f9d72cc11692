"""Looking into pictures with Pillow: sizes from headers, nothing is decoded."""

from __future__ import annotations

import io
import warnings

from genjobs.domain.ports import PictureSize

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")


class PillowProbe:
    """The ``MediaProbe`` port."""

    def picture_size(self, head: bytes) -> PictureSize | None:
        """Return the size that the header states, None when there is no readable one."""
        # Imported here: a process that never sees a picture need not load Pillow.
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415

        try:
            with warnings.catch_warnings():
                # Only the header is read, so a huge picture costs nothing.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(head), formats=_FORMATS) as picture:
                    return PictureSize(width=picture.width, height=picture.height)
        except (
            UnidentifiedImageError,
            Image.DecompressionBombError,
            OSError,
            ValueError,
            SyntaxError,  # Pillow's word for a broken PNG chunk
            EOFError,
        ):
            return None
