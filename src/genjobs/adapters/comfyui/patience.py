"""How long the engine waits for what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what."""

    #: Between two looks at ``/history`` while the socket is open, for it may be silent.
    poll: timedelta = timedelta(seconds=1)
    #: The same at first once the socket is gone or has said that the prompt ended, or a stop was
    #: asked for; grows slowly up to ``poll``.
    poll_closely: timedelta = timedelta(milliseconds=100)
    #: First pause between two requests to cancel; grows by half up to four times.
    cancel_again: timedelta = timedelta(milliseconds=500)
    #: How long nobody may listen at the address before ComfyUI counts as dead.
    refused: timedelta = timedelta(seconds=5)
    #: How long it may give no answer at all; nodes can freeze its server for many seconds.
    silent: timedelta = timedelta(seconds=120)
    #: Without a byte of an answer; a whole answer that is no file may take twice as long.
    answer: timedelta = timedelta(seconds=30)
