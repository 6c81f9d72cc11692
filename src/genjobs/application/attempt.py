"""
An attempt while it runs: what is known of it, how it may end, and waiting within limits.

The steps themselves are in ``run``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from genjobs.domain.attempts import (
    Completed,
    Crashed,
    Execution,
    Failed,
    Outcome,
    Released,
    Stopped,
)
from genjobs.domain.errors import EngineFailed, JobFailure, RunTimeout
from genjobs.domain.job import CancelMethod, JobError, Progress, Timings
from genjobs.domain.lifecycle import Phase

_T = TypeVar("_T")
Ending = Outcome | Crashed | Released


class StopReason(StrEnum):
    """Why an attempt is asked to stop."""

    CANCEL = "cancel"
    DEADLINE = "deadline"
    #: The render has reported nothing new for too long.
    HUNG = "hung"
    LEASE_LOST = "lease_lost"
    RELEASE = "release"
    #: The platform takes the attempt away: for a cancel, or to use the machine otherwise. The job's
    #: row decides which it was.
    TAKEN = "taken"


@dataclass(slots=True, kw_only=True)
class Run:
    """What is known of an attempt while it runs; the heartbeat reads it, the steps write it."""

    execution: Execution
    phase: Phase = Phase.PREPARING
    progress: Progress | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reason: StopReason | None = None
    stop_asked_at: float | None = None
    render_started: float | None = None
    prepare_seconds: float | None = None
    render_seconds: float | None = None
    upload_seconds: float | None = None
    #: When the engine's process was seen dead, for it had to be killed or died of itself.
    dead_at: datetime | None = None
    #: Set when the worker must let go of the attempt, whatever it does.
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    _sent: tuple[Phase, Progress | None] | None = None
    _beaten_at: float = 0.0

    def state(self) -> tuple[Phase, Progress | None]:
        """Return what a heartbeat tells."""
        return self.phase, self.progress

    def beaten(self, state: tuple[Phase, Progress | None], at: float) -> None:
        """Note that a heartbeat has told ``state``."""
        self._sent, self._beaten_at = state, at

    def beat_due(self, now: float, every: float) -> bool:
        """Whether there is something new to tell, or the lease is to be renewed."""
        return self.state() != self._sent or now - self._beaten_at >= every

    def ask_stop(self, reason: StopReason, at: float) -> None:
        """Stop the render; the first reason stands, except that a lost lease beats all."""
        if self.reason is None or reason is StopReason.LEASE_LOST:
            self.reason = reason
            self.stop_asked_at = at
        self.stop.set()

    def gpu_seconds_since_asked(self, now: float) -> float:
        """Return how long the renderer was held after the worker was told to stop."""
        if self.render_started is None or self.stop_asked_at is None:
            return 0.0
        until = now if self.render_seconds is None else self.render_started + self.render_seconds
        return max(0.0, until - max(self.render_started, self.stop_asked_at))

    def stopped(self, *, now: datetime, at: float) -> Ending:
        """Return how an attempt ends that was stopped, as seen ``now`` (monotonic ``at``)."""
        match self.reason:
            case StopReason.DEADLINE:
                return Failed(error=JobError.of(RunTimeout()), timings=self.timings())
            case StopReason.HUNG:
                return Crashed(error=JobError.of(EngineFailed("ComfyUI made no progress.")))
            case StopReason.CANCEL | StopReason.TAKEN:
                # Without a requested cancel the ledger takes it for a release.
                killed = self.dead_at is not None
                return Stopped(
                    method=CancelMethod.PROCESS_KILLED if killed else CancelMethod.INTERRUPTED,
                    stopped_at=self.dead_at or now,
                    gpu_seconds_after_request=self.gpu_seconds_since_asked(at),
                    timings=self.timings(),
                )
            case _:  # given back; for a lost lease the fence will answer
                return Released()

    def timings(self) -> Timings:
        """Return what has been spent so far."""
        return Timings(
            prepare_seconds=self.prepare_seconds,
            render_seconds=self.render_seconds,
            upload_seconds=self.upload_seconds,
            gpu_seconds=self.render_seconds,
        )


def described(ending: Ending) -> dict[str, object]:
    """Return what a log line says of an ending."""
    said: dict[str, object] = {"outcome": type(ending).__name__.lower()}
    match ending:
        case Failed(error=error) | Crashed(error=error):
            said |= {"code": error.code, "node_class": error.node_class}
        case Completed(outputs=outputs):
            said["outputs"] = len(outputs)
    return said


async def within(limit: timedelta, work: Awaitable[_T], failure: JobFailure) -> _T:
    """Return what ``work`` returns, or raise ``failure`` once ``limit`` has passed."""
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await work
    except TimeoutError:
        raise failure from None


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T | None:
    """Return what ``work`` returns, or None as soon as ``stop`` is set."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        doing.cancel()
        stopping.cancel()
        await asyncio.gather(doing, stopping, return_exceptions=True)


async def first_of(*events: asyncio.Event, within: timedelta | None = None) -> None:
    """Return once one of the events is set, or the time is up."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(
            waits,
            timeout=None if within is None else within.total_seconds(),
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
