"""
The pull worker: takes dispatched jobs one after another and runs them.

How one attempt runs is in ``application.run``. Several workers, in one process or many, share
the ledger; the dispatch window bounds them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.application.run import RunJob
from genjobs.domain.attempts import Assignment, Crashed
from genjobs.domain.errors import EngineFailed, Unavailable
from genjobs.domain.ports import Clock, JobLedger, Signals, WorkflowEngine

#: How often an idle worker asks for work; a submit in the same process wakes it at once.
POLL: Final = timedelta(seconds=0.25)
#: How long an engine that answered is trusted to be there.
_CHECK_EVERY: Final = timedelta(seconds=2)
_PAUSE_AFTER_FAILURE: Final = timedelta(seconds=1)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullWorker:
    """Runs jobs until told to stop."""

    ledger: JobLedger
    run_job: RunJob
    engine: WorkflowEngine
    signals: Signals
    clock: Clock

    async def run(self, shutdown: asyncio.Event) -> None:
        """
        Take jobs until ``shutdown`` is set; the current one is then finished or given back.

        A database or ComfyUI that is away is waited for: no job is taken meanwhile.
        """
        _log.info("worker.started")
        checked_at = -_CHECK_EVERY.total_seconds()
        while not shutdown.is_set():
            try:
                if self.clock.monotonic() - checked_at >= _CHECK_EVERY.total_seconds():
                    await self.engine.check()  # never take a job that could not be rendered
                    checked_at = self.clock.monotonic()
                assignments = await self._take()
                for assignment in assignments:
                    ending = await self.run_job(assignment, shutdown)
                    if isinstance(ending, Crashed):
                        checked_at = -_CHECK_EVERY.total_seconds()
            except (Unavailable, EngineFailed) as exc:
                _log.warning("worker.waiting", code=exc.code, reason=exc.message)
                await _pause(shutdown, _PAUSE_AFTER_FAILURE)
                continue
            except Exception:
                # The edge of the process: one job's unforeseen error must not end the worker. The
                # job's lease runs out, and it gets another attempt.
                _log.exception("worker.crashed")
                await _pause(shutdown, _PAUSE_AFTER_FAILURE)
                continue
            if not assignments:
                await self._idle(shutdown)
        _log.info("worker.stopped")

    async def _take(self) -> Sequence[Assignment]:
        return await self.ledger.dispatch(now=self.clock.now(), limit=1)

    async def _idle(self, shutdown: asyncio.Event) -> None:
        waiting = asyncio.create_task(self.signals.wait(POLL.total_seconds()))
        stopping = asyncio.create_task(shutdown.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            stopping.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)


async def _pause(shutdown: asyncio.Event, pause: timedelta) -> None:
    try:
        async with asyncio.timeout(pause.total_seconds()):
            await shutdown.wait()
    except TimeoutError:
        return
