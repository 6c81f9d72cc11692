"""
Call ids: what an engine that has to be called names an attempt, and which worker runs it.

A worker with several attempts at once has a call for each. It says ``worker#call`` when it starts
one, so that those beside it are found by the part before the ``#``. Before the start, and where
workers pull, there is one part only.
"""

from __future__ import annotations

from typing import Final

_BETWEEN: Final = "#"


def call_id_of(worker: str, call: str) -> str:
    """Return what a worker says of an attempt that it starts; either part may be unknown ("")."""
    return f"{worker}{_BETWEEN}{call}" if worker and call else worker or call


def worker_of(call_id: str) -> str:
    """Return the part that all attempts of a worker share."""
    return call_id.partition(_BETWEEN)[0]


def call_of(call_id: str) -> str:
    """Return the part that names the call."""
    return call_id.rpartition(_BETWEEN)[2]
