"""
The heartbeat of a worker: all its attempts in one statement, and what the answers say.

A cancel is learnt from the answer. A direct notice only makes the next heartbeat come at once, so
a lost or a false one does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from genjobs.application.attempt import Run, StopReason
from genjobs.domain.attempts import Beat, BeatReply
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ports import CancelNotices, Clock, JobLedger

#: Progress reaches the database at most this often, however fast the engine reports it.
PROGRESS_INTERVAL: Final = timedelta(seconds=0.5)
_PAUSE_AFTER_DEFECT: Final = timedelta(seconds=1)

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Heart:
    """Beats for every attempt that it carries; one for each worker."""

    ledger: JobLedger
    clock: Clock
    notices: CancelNotices
    deadlines: Deadlines
    _runs: dict[ExecutionId, Run] = field(default_factory=dict, init=False)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    #: Whether the last heartbeat failed, so that the next must not wait for its time.
    _owed: bool = field(default=False, init=False)
    _beating: asyncio.Task[None] | None = field(default=None, init=False)

    @asynccontextmanager
    async def carrying(self, run: Run) -> AsyncIterator[None]:
        """Keep the attempt's lease, show its phase and progress, and tell it of a cancel."""
        run.beaten(run.state(), self.clock.monotonic())  # the start was one
        self._runs[run.execution.execution_id] = run
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            del self._runs[run.execution.execution_id]
            if not self._runs and self._beating is not None:
                beating, self._beating = self._beating, None
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)

    async def listen(self) -> None:
        """Hear of cancels directly, until cancelled; without it the heartbeat brings them."""
        while True:
            try:
                await self.notices.listen(self._heard)
            except Exception:
                # The edge of a task that nobody waits for; heartbeats go on without it.
                _log.exception("cancel_notices.crashed")
            await asyncio.sleep(_PAUSE_AFTER_DEFECT.total_seconds())

    def hurry(self) -> None:
        """Let the next heartbeat come at once: its answer is wanted."""
        self._hurry.set()

    def _heard(self, execution_id: ExecutionId | None) -> None:
        if self._runs and (execution_id is None or execution_id in self._runs):
            self._hurry.set()

    async def _beat(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PROGRESS_INTERVAL.total_seconds()):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            try:
                await self._once()
                self._owed = False
            except Unavailable:
                self._owed = True
                # Go on rendering: only being told that the lease is gone ends the work.
                _log.warning("worker.heartbeat_failed", jobs=len(self._runs))
            except Exception:
                self._owed = True
                # Without heartbeats every job here would be taken away: say it, and go on.
                _log.exception("worker.heartbeat_crashed", jobs=len(self._runs))
                await asyncio.sleep(_PAUSE_AFTER_DEFECT.total_seconds())

    async def _once(self) -> None:
        """Beat for all if one of them has something to say, or somebody asked for it."""
        asked, now = self._hurry.is_set() or self._owed, self.clock.monotonic()
        self._hurry.clear()
        every = self.deadlines.heartbeat.total_seconds()
        runs = list(self._runs.values())
        if not runs or not (asked or any(run.beat_due(now, every) for run in runs)):
            return
        states = {run.execution.execution_id: run.state() for run in runs}
        beats = [
            Beat(execution=run.execution, phase=phase, progress=progress)
            for run in runs
            for phase, progress in (states[run.execution.execution_id],)
        ]
        replies = await self.ledger.heartbeat(beats, now=self.clock.now())
        for run in runs:
            execution_id = run.execution.execution_id
            run.beaten(states[execution_id], now)
            self._heed(run, replies[execution_id])

    def _heed(self, run: Run, reply: BeatReply) -> None:
        if reply is BeatReply.CANCEL:
            run.ask_stop(StopReason.CANCEL, self.clock.monotonic())
        elif reply is BeatReply.LEASE_LOST:
            run.ask_stop(StopReason.LEASE_LOST, self.clock.monotonic())
