"""
The pull worker: takes dispatched jobs and runs several at once, one of them in the renderer.

How one attempt runs is in ``application.run``. Several workers, in one process or many, share
the ledger; the dispatch window bounds them all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog

from genjobs.application.recording import LAST_WORDS
from genjobs.application.run import RunJob
from genjobs.domain.attempts import Assignment, Crashed
from genjobs.domain.errors import EngineFailed, Unavailable
from genjobs.domain.ports import Clock, EngineKeeper, JobLedger, Signals, WorkflowEngine
from genjobs.gpu.places import Places

#: How often an idle worker asks for work; a submit in the same process wakes it at once.
POLL: Final = timedelta(seconds=0.25)
#: How long a worker that renders leaves a new job to one that is idle: longer than that one's
#: poll.
COURTESY: Final = timedelta(seconds=0.4)
#: How long an engine that answered is trusted to be there.
_CHECK_EVERY: Final = timedelta(seconds=2)
_PAUSE_AFTER_FAILURE: Final = timedelta(seconds=1)
_STEP: Final = timedelta(seconds=0.05)
_LAST_ANSWER: Final = timedelta(seconds=2)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullWorker:
    """Runs jobs until told to stop."""

    ledger: JobLedger
    run_job: RunJob
    engine: WorkflowEngine
    keeper: EngineKeeper
    signals: Signals
    clock: Clock
    #: Set when the machine must take no more jobs.
    retired: asyncio.Event = field(default_factory=asyncio.Event)
    #: How many jobs it may have at once: one that loads, one that renders, the rest upload.
    places: int = 3

    async def run(self, shutdown: asyncio.Event) -> None:
        """
        Take jobs until ``shutdown`` is set; those it has are then finished or given back.

        A job is taken only when a place to load is free, so none waits here while the renderer
        of another worker idles. A database or ComfyUI that is away is waited for: no job is taken
        meanwhile.
        """
        _log.info("worker.started", places=self.places)
        places, leave = Places(self.places), asyncio.Event()
        beside = [
            asyncio.create_task(self.run_job.heart.listen()),
            asyncio.create_task(_set_after(leave, shutdown)),
            asyncio.create_task(_set_after(leave, self.retired)),
        ]
        try:
            shift = _Shift(worker=self, places=places, leave=leave)
            while not leave.is_set():
                await shift.turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._to_stop().total_seconds()):
                    await places.emptied()
        finally:
            await places.clear()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        _log.info("worker.stopped", retired=self.retired.is_set())

    def _to_stop(self) -> timedelta:
        """Return how long jobs may take to end; each has its own limit, this one is for defects."""
        return self.run_job.deadlines.stop + 3 * LAST_WORDS


@dataclass(slots=True, kw_only=True)
class _Shift:
    """From the start of a worker to its end."""

    worker: PullWorker
    places: Places
    leave: asyncio.Event
    #: When the engine was last known to answer.
    checked_at: float | None = None
    #: Whether the last look found no job.
    nothing: bool = False

    async def turn(self) -> None:
        """Take a job, or wait until there may be one to take."""
        try:
            if not self.places.may_load():
                await self._until(self.places.changed())
            elif await self._engine_is_there() and await self._others_had_their_chance():
                await self._take()
        except (Unavailable, EngineFailed) as exc:
            _log.warning("worker.waiting", code=exc.code, reason=exc.message)
            await self._until(limit=_PAUSE_AFTER_FAILURE)
        except Exception:
            # The edge of the process: an unforeseen error must not end the worker.
            _log.exception("worker.crashed")
            await self._until(limit=_PAUSE_AFTER_FAILURE)

    async def _take(self) -> None:
        worker = self.worker
        asking = asyncio.create_task(worker.ledger.dispatch(now=worker.clock.now(), limit=1))
        try:
            await self._until(asyncio.wait({asking}))
            # Told to stop meanwhile: what was dispatched waits for its start, so hear the answer,
            # but not for ever.
            await asyncio.wait({asking}, timeout=_LAST_ANSWER.total_seconds())
            if not asking.done():
                return
            assignments = asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        self.nothing = not assignments
        for assignment in assignments:
            self.places.start(partial(self._run, assignment))
        if self.nothing:
            await self._until(self.places.changed(), worker.signals.wait(POLL.total_seconds()))

    async def _engine_is_there(self) -> bool:
        """
        Whether a job that is taken now could be rendered; returns early when told to stop.

        While somebody renders, the renderer itself knows better than any question.
        """
        renderer, clock = self.worker.run_job.renderer, self.worker.clock
        if renderer.held:
            if not renderer.usable:
                await self._until(self.places.changed(), limit=_PAUSE_AFTER_FAILURE)
            return renderer.usable
        if self.checked_at is None or (
            clock.monotonic() - self.checked_at >= _CHECK_EVERY.total_seconds()
        ):
            looking = asyncio.create_task(self._look())
            try:
                await self._until(asyncio.wait({looking}))
                if not looking.done():
                    return False
                looking.result()
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
            self.checked_at = clock.monotonic()
        return True

    async def _look(self) -> None:
        await self.worker.keeper.ready()
        await self.worker.engine.check()

    async def _others_had_their_chance(self) -> bool:
        """Wait a moment while rendering: a new job starts sooner where nothing renders."""
        renderer, now = self.worker.run_job.renderer, asyncio.get_running_loop().time
        until = now() + COURTESY.total_seconds()
        while self.nothing and renderer.held and now() < until and not self.leave.is_set():
            await self._until(limit=_STEP)
        return not self.leave.is_set()

    async def _run(self, assignment: Assignment, on_rendering: Callable[[], None]) -> None:
        try:
            ending = await self.worker.run_job(assignment, self.leave, on_rendering)
            if isinstance(ending, Crashed):
                self.checked_at = None
        except Unavailable as exc:
            _log.warning("worker.not_started", code=exc.code, reason=exc.message)
        except Exception:
            # One job's unforeseen error must not end the others. The job's lease runs out, and it
            # gets another attempt.
            self.checked_at = None
            _log.exception("worker.job_crashed")

    async def _until(
        self, *waits: Coroutine[Any, Any, Any], limit: timedelta | None = None
    ) -> None:
        """Return when one of them returns, the time is up, or the worker is told to stop."""
        tasks = [asyncio.create_task(wait) for wait in (*waits, self.leave.wait())]
        try:
            await asyncio.wait(
                tasks,
                timeout=limit.total_seconds() if limit else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _set_after(target: asyncio.Event, source: asyncio.Event) -> None:
    await source.wait()
    target.set()
