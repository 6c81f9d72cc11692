"""What was seen of one stream of a film: packets, frames, times, errors."""

from __future__ import annotations

from typing import Any, Final

from av.packet import Packet
from av.stream import Stream

from genjobs.adapters.media_inspection.verdicts import Reason, Refused

#: An odd packet fails to decode in good files too: what follows the last frame of an MP3, the
#: first pictures of a clip that was cut out of a longer one.
_ERRORS_ALLOWED: Final = 3
_ERROR_SHARE_ALLOWED: Final = 0.05
#: FFmpeg gives the last packet of a Vorbis of one page what is cut off of it: less than nothing,
#: in 32 bits without a sign.
_WRAPPED: Final = 2**32


class Tally:
    """What was seen of one stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.packets = 0
        self.fed = 0
        self.frames = 0
        self.errors = 0
        self.sounding = 0.0  # seconds of samples, whatever the packets' times say
        self._first: float | None = None
        self._last = 0.0

    @property
    def seconds(self) -> float:
        """From the first packet's start to the last one's end."""
        return max(self._last - self._first, 0.0) if self._first is not None else 0.0

    def count(self, packet: Packet[Any]) -> None:
        """Take note of a packet and its time."""
        self.packets += 1
        at = packet.pts if packet.pts is not None else packet.dts
        if at is None:
            return
        start = float(at * packet.time_base)
        lasting = packet.duration or 0
        if self.stream.type == "audio" and lasting >= _WRAPPED // 2:
            lasting -= _WRAPPED
        end = start + float(lasting * packet.time_base)
        if self._first is None:
            self._first, self._last = start, end
        else:
            self._first, self._last = min(self._first, start), max(self._last, end)

    def check(self) -> None:
        """Raise ``Refused`` unless the stream decoded."""
        allowed = _ERRORS_ALLOWED + _ERROR_SHARE_ALLOWED * self.fed
        if not self.frames or self.errors > allowed:
            raise Refused(Reason.BROKEN)
