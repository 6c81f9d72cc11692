"""
Scrubbing: taking text that a workflow left in its files out of them, as they stream by.

ComfyUI writes the whole graph, prompts included, into what it saves unless it is told not to;
what is delivered must hold none of it. Pixels and samples pass unchanged. Sizes are kept where a
format counts them from the start: what is taken out becomes filler that every reader skips.

Each format has a parser beside this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from genjobs.domain.media import MediaType
from genjobs.domain.scrubbing.films import iso_media, matroska, tagged
from genjobs.domain.scrubbing.ogg import ogg
from genjobs.domain.scrubbing.pictures import exr, gif, jpeg, png, webp
from genjobs.domain.scrubbing.steps import Fate, Parser, Pass, Take

__all__ = ["Scrubber"]


class Scrubber:
    """Scrubs one file; what :meth:`feed` and :meth:`finish` return is the scrubbed file."""

    def __init__(self, media_type: MediaType) -> None:
        make = _PARSERS.get(media_type.content_type)
        self._parser = make() if make else _unchanged()
        self._step: Take | Pass | bytes | None = next(self._parser, None)
        self._held = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Return what is known of the scrubbed file by now; holds back little."""
        self._held += chunk
        return self._run(ended=False)

    def finish(self) -> bytes:
        """Return the rest."""
        return self._run(ended=True)

    def _run(self, *, ended: bool) -> bytes:
        out = bytearray()
        while True:
            match self._step:
                case bytes() as made:
                    out += made
                    self._go_on(b"")
                case Take(size=size):
                    if len(self._held) < size and not ended:
                        break
                    self._go_on(self._cut(size))
                case Pass(size=size, fate=fate):
                    wanted = len(self._held) if size is None else min(size, len(self._held))
                    part = self._cut(wanted)
                    if fate is Fate.KEEP:
                        out += part
                    elif fate is Fate.BLANK:
                        out += bytes(len(part))
                    left = None if size is None else size - len(part)
                    if left != 0 and not ended:
                        self._step = Pass(left, fate)
                        break
                    self._go_on(b"")
                case None:  # what follows the end of a file is no part of it
                    self._held.clear()
                    break
        return bytes(out)

    def _cut(self, size: int) -> bytes:
        part = bytes(self._held[:size])
        del self._held[:size]
        return part

    def _go_on(self, taken: bytes) -> None:
        try:
            self._step = self._parser.send(taken)
        except StopIteration:
            self._step = None


def _unchanged() -> Parser:
    yield Pass(None)


_PARSERS: Final[Mapping[str, Callable[[], Parser]]] = {
    "image/jpeg": jpeg,
    "image/png": png,
    "image/webp": webp,
    "image/gif": gif,
    "image/x-exr": exr,
    "video/mp4": iso_media,
    "video/quicktime": iso_media,
    "audio/mp4": iso_media,
    "video/webm": matroska,
    "video/x-matroska": matroska,
    "audio/flac": tagged,
    "audio/mpeg": tagged,
    "audio/aac": tagged,
    "audio/ogg": ogg,
    "audio/opus": ogg,
}
