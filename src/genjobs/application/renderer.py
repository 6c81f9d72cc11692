"""
The renderer of a worker: one attempt at a time holds it, and its render is ended for sure.

A render that does not stop when asked to is ended with the engine's process, if that is ours.
Nobody gets the renderer before the render of its last holder is known to be over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog

from genjobs.application.attempt import Run, StopReason
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import (
    DeviceFailed,
    EngineFailed,
    NodeError,
    NoOutput,
    OutOfMemory,
    RenderInterrupted,
    WorkflowRefused,
)
from genjobs.domain.ids import ExecutionId, job_text
from genjobs.domain.job import Progress
from genjobs.domain.ports import Clock, EngineKeeper, Rendered, Retirement, WorkflowEngine
from genjobs.domain.workflow import Workflow

#: How long an engine is asked what became of a render, before its process is killed or, if it is
#: not ours, the next holder has to ask again.
_SETTLE_LIMIT: Final = timedelta(seconds=5)
_PAUSE: Final = timedelta(seconds=1)

#: After these the engine is known to be done with the render.
_SEEN_TO_END: Final = (RenderInterrupted, NodeError, NoOutput, OutOfMemory, WorkflowRefused)

_log = structlog.get_logger(__name__)


class RendererBusy(Exception):
    """The renderer did not become free in time."""


@dataclass(slots=True, kw_only=True)
class Renderer:
    """The renderer of one engine; one for each worker."""

    engine: WorkflowEngine
    keeper: EngineKeeper
    retirement: Retirement
    clock: Clock
    deadlines: Deadlines
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    #: The render that may still go on in an engine that cannot be killed.
    _unsettled: ExecutionId | None = field(default=None, init=False)
    #: Whether the machine is on its way out: nobody gets its engine any more.
    _retired: bool = field(default=False, init=False)
    _losses: int = field(default=0, init=False)

    @property
    def held(self) -> bool:
        """Whether an attempt holds it, or waits for it to be usable again."""
        return self._lock.locked()

    @property
    def usable(self) -> bool:
        """Whether the next attempt may have it as soon as it is free."""
        return self._unsettled is None

    @property
    def epoch(self) -> tuple[int, int]:
        """What changes whenever the engine fails or is started anew."""
        return self._losses, self.keeper.life

    @asynccontextmanager
    async def turn(self, run: Run) -> AsyncIterator[None]:
        """
        Hold the renderer, once it is free and its engine is there.

        Raises:
            RenderInterrupted: the attempt was asked to stop while it waited.
            RendererBusy: its time to wait is over, or the machine is on its way out.
        """
        await self._take(run)
        try:
            yield
        finally:
            self._lock.release()

    async def _take(self, run: Run) -> None:
        taking = asyncio.create_task(self._lock_and_prepare())
        stopping = asyncio.create_task(run.stop.wait())
        taken = False
        try:
            await asyncio.wait(
                {taking, stopping},
                timeout=self.deadlines.wait.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if run.stop.is_set():
                raise RenderInterrupted
            if not taking.done():
                raise RendererBusy
            taking.result()
            taken = True
        finally:
            stopping.cancel()
            if not taken:
                taking.cancel()
                await asyncio.gather(taking, return_exceptions=True)
                if not taking.cancelled() and taking.exception() is None:
                    self._lock.release()  # it had got it in the last moment

    async def _lock_and_prepare(self) -> None:
        await self._lock.acquire()
        try:
            while not self._retired:
                try:
                    if self._unsettled is not None:
                        await self.engine.settle(self._unsettled)
                        self._unsettled = None
                    await self.keeper.ready()
                    return
                except EngineFailed as exc:
                    _log.warning("renderer.waiting", reason=exc.message)
                    await asyncio.sleep(_PAUSE.total_seconds())
            raise RendererBusy
        except BaseException:
            self._lock.release()
            raise

    async def render(
        self, run: Run, workflow: Workflow, files: Mapping[str, str], limit: timedelta
    ) -> Rendered:
        """
        Render, and return or raise only when the render is over, or is left to the next holder.

        Raises:
            what ``WorkflowEngine.render`` raises; ``EngineFailed`` as well when it had to be ended
            by force. ``run.dead_at`` is set when that, or the process itself, ended it.
        """
        life, execution_id = self.keeper.life, run.execution.execution_id
        watched = _Watched(run)
        render = asyncio.create_task(
            self.engine.render(
                execution_id, workflow, files, on_progress=watched.heed, stop=run.stop
            )
        )
        try:
            await self._until_over(render, run, watched, limit)
            if not render.done():
                raise EngineFailed("ComfyUI did not stop when asked to.")
            return render.result()
        except _SEEN_TO_END:
            raise
        except Exception as exc:
            self._losses += 1
            await _cancelled(render)
            await self._clean(run, life)
            if isinstance(exc, DeviceFailed):
                self._retired = not await self.retirement.retire(exc.code)
            raise
        except asyncio.CancelledError:
            # This process is being taken away, which looks the same for a cancel and for a
            # preemption: stop the prompt first, the job row decides what it was.
            run.ask_stop(StopReason.RELEASE, self.clock.monotonic())
            await asyncio.wait({render}, timeout=_SETTLE_LIMIT.total_seconds())
            if not render.done():
                await self._clean(run, life)
            raise
        finally:
            await _cancelled(render)

    async def _until_over(
        self, render: asyncio.Task[Rendered], run: Run, watched: _Watched, limit: timedelta
    ) -> None:
        """Wait for the render's end, and ask it to stop when its time or patience is over."""
        now = asyncio.get_running_loop().time
        until, quiet = now() + limit.total_seconds(), self.deadlines.no_progress.total_seconds()
        stopping = asyncio.create_task(run.stop.wait())
        leaving = asyncio.create_task(run.leave.wait())
        try:
            while not render.done() and not run.stop.is_set():
                stuck_at = watched.changed_at + quiet
                if now() >= until:
                    run.ask_stop(StopReason.DEADLINE, self.clock.monotonic())
                elif now() >= stuck_at:
                    _log.error("renderer.hung", job_id=job_text(run.execution.job_id))
                    run.ask_stop(StopReason.HUNG, self.clock.monotonic())
                    if self.keeper.owned:  # what hangs hears nothing
                        return
                else:
                    await asyncio.wait(
                        {render, stopping},
                        timeout=min(until, stuck_at) - now(),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
            if not render.done():
                await asyncio.wait(
                    {render, leaving},
                    timeout=self.deadlines.cancel_grace.total_seconds(),
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            await _cancelled(stopping, leaving)

    async def _clean(self, run: Run, life: int) -> None:
        """Make sure that a render whose end nobody saw is over."""
        execution_id = run.execution.execution_id
        if run.reason is not StopReason.HUNG and not run.stop.is_set():
            try:
                async with asyncio.timeout(_SETTLE_LIMIT.total_seconds()):
                    await self.engine.settle(execution_id)
                return
            except (EngineFailed, TimeoutError):
                pass
        run.dead_at = await self.keeper.kill(life)
        if run.dead_at is None:
            self._unsettled = execution_id
            _log.warning("renderer.unsettled", job_id=job_text(run.execution.job_id))
        else:
            _log.warning("renderer.killed", job_id=job_text(run.execution.job_id))


class _Watched:
    """Hands on a render's progress, and knows when it last changed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()
        self.changed_at = self._loop.time()

    def heed(self, progress: Progress) -> None:
        if progress != self._run.progress:
            self._run.progress = progress
            self.changed_at = self._loop.time()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
