"""Durations of the lifecycle and what follows from them; no clock is read here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from genjobs.domain.limits import RUN_TIMEOUT_RANGE

#: Starting, being recorded and being cleaned up, beside the steps with deadlines of their own.
_MARGIN: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """The deployment's durations; a job may set its own queue and run time-outs."""

    #: How often a worker renews its lease.
    heartbeat: timedelta = timedelta(seconds=5)
    #: How long a silent worker keeps its job.
    lease: timedelta = timedelta(seconds=30)
    #: From dispatch to start; after it the slot is freed and the attempt is not charged.
    start: timedelta = timedelta(minutes=10)
    #: Default for a job that names none: from becoming eligible to its first start.
    queue: timedelta = timedelta(minutes=30)
    #: Default for a job that names none: how long it may hold the renderer.
    run: timedelta = timedelta(minutes=10)
    #: Default for a job that names none: how long its files are kept after its end.
    retention: timedelta = timedelta(days=7)
    #: Fetching the inputs into ComfyUI.
    prepare: timedelta = timedelta(minutes=5)
    #: Waiting, prepared, for the renderer; after it the job is given back, not charged.
    wait: timedelta = timedelta(minutes=15)
    #: How long a render may report nothing new before the engine counts as hung.
    no_progress: timedelta = timedelta(minutes=5)
    #: Storing the outputs.
    upload: timedelta = timedelta(minutes=15)
    #: From a cancel reaching the worker until the engine must have stopped.
    cancel_grace: timedelta = timedelta(seconds=30)
    #: From being told to stop until a worker lets go of everything it has.
    stop: timedelta = timedelta(seconds=20)
    #: Charged attempts a job may use before it fails as ``worker_lost``.
    max_attempts: int = 3
    #: First pause before a lost job is queued again; doubles with each charged attempt.
    backoff: timedelta = timedelta(seconds=2)
    #: Upper bound of that pause.
    max_backoff: timedelta = timedelta(minutes=2)

    def longest_call(self) -> timedelta:
        """
        Return how long a platform must let a call of the worker go on: all steps of an attempt.

        Waiting for the renderer holds a neighbour's render, and the attempt's own may be as long
        as any job may ask for.
        """
        steps = self.start + self.prepare + self.wait + RUN_TIMEOUT_RANGE[1] + self.upload
        return steps + self.cancel_grace + self.stop + _MARGIN

    def beat(self) -> timedelta:
        """Return how long a heartbeat may take: the next one must come before the lease is over."""
        return (self.lease - self.heartbeat) / 2

    def stop_render(self) -> timedelta:
        """Return how long a worker that is told to stop lets its render go on; then it uploads."""
        return self.stop * 0.6

    def retry_at(self, now: datetime, charged: int) -> datetime:
        """Return when a job that lost its worker ``charged`` (>= 1) times may be dispatched."""
        pause: timedelta = self.backoff * 2 ** min(charged - 1, 20)
        return now + min(pause, self.max_backoff)
