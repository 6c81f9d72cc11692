"""
Run one attempt of a job: start, prepare, wait for the renderer, render, upload, finish.

Several attempts of a worker run at once, one of them in the renderer; how many, and which process,
is the worker's in ``gpu``. Heartbeats, renderer and recording are in modules beside this one. What
a lost worker means is the supervisor's. Every write names the execution, so an attempt that was
overtaken changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import structlog

from genjobs.application.attempt import Ending, Run, StopReason, first_of, unless_stopped, within
from genjobs.application.heart import Heart
from genjobs.application.recording import PATIENCE, Recorder
from genjobs.application.renderer import Renderer, RendererBusy
from genjobs.application.transfer import Transfer
from genjobs.domain.artifacts import Output
from genjobs.domain.attempts import Assignment, Completed, Crashed, Failed, Released, StartedJob
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import (
    DeviceFailed,
    EngineFailed,
    GenjobsError,
    InputUnavailable,
    JobFailure,
    OutputNotStored,
    RenderInterrupted,
    StaleAttempt,
    Unavailable,
    WorkflowRefused,
)
from genjobs.domain.ids import ExecutionId, job_text
from genjobs.domain.job import JobError
from genjobs.domain.lifecycle import Phase
from genjobs.domain.ports import (
    ArtifactStore,
    Clock,
    IdSource,
    JobLedger,
    MediaProbe,
    Rendered,
    Signals,
    WorkflowEngine,
)
from genjobs.domain.workflow import Workflow, load_workflow

_T = TypeVar("_T")
_RETRY: Final = timedelta(seconds=1)
#: How long a transfer waits for an engine that should be there.
_ENGINE_PATIENCE: Final = timedelta(seconds=30)

#: Not the workflow's fault: the job gets another attempt.
_MACHINE_FAILURES: Final = (DeviceFailed, EngineFailed, InputUnavailable)

_log = structlog.get_logger(__name__)


def _nobody_asks() -> None:
    """Nobody wants to know when a place to load is free again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """The use case; one call runs one attempt to its recorded end, any number run at once."""

    ledger: JobLedger
    artifacts: ArtifactStore
    engine: WorkflowEngine
    probe: MediaProbe
    clock: Clock
    ids: IdSource
    signals: Signals
    catalogue: NodeCatalogue
    deadlines: Deadlines
    heart: Heart
    renderer: Renderer
    recorder: Recorder

    async def __call__(
        self,
        assignment: Assignment,
        shutdown: asyncio.Event,
        on_rendering: Callable[[], None] = _nobody_asks,
        *,
        interrupted: asyncio.Event | None = None,
        call_id: str | None = None,
    ) -> Ending | None:
        """
        Run ``assignment`` and return how it ended; None when another execution has it.

        ``on_rendering`` is called when the attempt gets the renderer. Once ``shutdown`` is set, a
        render may go on for a while, an upload is finished, and everything else is given back,
        not charged; all of it within the deadline to stop.

        ``interrupted`` is set when the platform takes this one away, which looks the same for a
        cancel and for a preemption: a render is stopped first, then the job's row decides.
        ``call_id`` tells who runs it, in the words of ``WorkerControl``.

        Raises:
            Unavailable: the start could not be recorded; the attempt may be started again.
        """
        log = _log.bind(job_id=job_text(assignment.job_id), attempt=assignment.attempt)
        try:
            started = await self._start(assignment, shutdown, call_id)
        except StaleAttempt:
            log.info("job.start_refused")
            return None
        log.info("job.started")
        run = Run(execution=started.execution)
        if started.cancel_requested:
            run.ask_stop(StopReason.CANCEL, self.clock.monotonic())
        ending: Ending | None = None
        async with self.heart.carrying(run):
            watch = asyncio.create_task(self._watch(shutdown, interrupted or asyncio.Event(), run))
            try:
                ending = await self._attempt(started, run, on_rendering)
                await self.recorder.record(run, ending)
                return ending
            except asyncio.CancelledError:
                # Means nothing by itself: the prompt has been stopped, the row decides.
                run.leave.set()
                await self.recorder.record(run, ending or Released())
                raise
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
                await self.recorder.discard(run)
                self.signals.wake()

    async def _start(
        self, assignment: Assignment, shutdown: asyncio.Event, call_id: str | None
    ) -> StartedJob:
        """
        Start, again and again: perhaps it was recorded, and only the answer was lost.

        Then nobody else can run it, however long ago the deadline to start it has passed.
        """
        execution_id = ExecutionId(self.ids.uuid4())
        now = asyncio.get_running_loop().time
        until = now() + PATIENCE.total_seconds()
        while True:
            try:
                return await self.ledger.start(
                    assignment, execution_id, now=self.clock.now(), call_id=call_id
                )
            except Unavailable:
                if shutdown.is_set() or now() >= until:
                    raise
                await asyncio.sleep(_RETRY.total_seconds())

    async def _attempt(
        self, started: StartedJob, run: Run, on_rendering: Callable[[], None]
    ) -> Ending:
        transfer = Transfer(artifacts=self.artifacts, engine=self.engine, probe=self.probe)
        epoch = self.renderer.epoch
        try:
            workflow = self._judged(started)
            files = await self._prepare(started, transfer, run)
            run.phase = Phase.WAITING
            async with self.renderer.turn(run):
                run.phase = Phase.RENDERING
                on_rendering()
                rendered = await self._render(started, run, workflow, files)
            run.phase = Phase.UPLOADING
            outputs = await self._upload(transfer, rendered, run)
            return Completed(outputs=outputs, timings=run.timings())
        except RendererBusy:
            _log.warning("job.renderer_not_free", job_id=job_text(started.execution.job_id))
            return Released()
        except RenderInterrupted:
            return self._stopped(run)
        except JobFailure as failure:
            if run.reason in {StopReason.CANCEL, StopReason.TAKEN} and run.dead_at is not None:
                return self._stopped(run)
            if run.leave.is_set() or run.reason in {StopReason.RELEASE, StopReason.TAKEN}:
                return Released()
            if run.reason in {StopReason.DEADLINE, StopReason.HUNG}:  # whatever else went wrong
                return self._stopped(run)
            if isinstance(failure, EngineFailed) and self._victim(run, epoch):
                return Released()
            if isinstance(failure, _MACHINE_FAILURES):
                return Crashed(error=JobError.of(failure))
            return Failed(error=JobError.of(failure), timings=run.timings())

    def _stopped(self, run: Run) -> Ending:
        return run.stopped(now=self.clock.now(), at=self.clock.monotonic())

    def _victim(self, run: Run, epoch: tuple[int, int]) -> bool:
        """Whether the engine failed in another attempt's hands: only that one is charged."""
        if run.phase is Phase.RENDERING:
            return False
        return self.renderer.epoch != epoch

    def _judged(self, started: StartedJob) -> Workflow:
        try:
            return load_workflow(started.workflow, self.catalogue)
        except GenjobsError as exc:
            raise WorkflowRefused(exc.message) from exc

    async def _prepare(self, started: StartedJob, transfer: Transfer, run: Run) -> dict[str, str]:
        begun = self.clock.monotonic()
        stage = self._patiently(
            run, lambda: transfer.stage(started.execution.execution_id, started.inputs)
        )
        try:
            files = await unless_stopped(
                run.stop, within(self.deadlines.prepare, stage, InputUnavailable())
            )
        finally:
            run.prepare_seconds = self.clock.monotonic() - begun
        if run.stop.is_set() or files is None:
            raise RenderInterrupted
        return files

    async def _render(
        self, started: StartedJob, run: Run, workflow: Workflow, files: dict[str, str]
    ) -> Rendered:
        run.render_started = begun = self.clock.monotonic()
        try:
            return await self.renderer.render(run, workflow, files, started.run_timeout)
        finally:
            run.render_seconds = self.clock.monotonic() - begun

    async def _upload(self, transfer: Transfer, rendered: Rendered, run: Run) -> tuple[Output, ...]:
        """Store the outputs; what fails is tried again, never the render."""
        begun = self.clock.monotonic()
        store = self._patiently(run, lambda: transfer.store(run.execution, rendered))
        try:
            outputs = await unless_stopped(
                run.leave, within(self.deadlines.upload, store, OutputNotStored())
            )
        finally:
            run.upload_seconds = self.clock.monotonic() - begun
        if outputs is None:
            raise OutputNotStored
        return outputs

    async def _patiently(self, run: Run, step: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """
        Return what a transfer returns; tried again while the store is away.

        An engine that is away gets less time: its files outlive its process, which a neighbour may
        have taken down, but one that refuses a file will do so again.
        """
        now = asyncio.get_running_loop().time
        until = now() + _ENGINE_PATIENCE.total_seconds()
        while True:
            try:
                return await step()
            except (Unavailable, EngineFailed) as exc:
                if isinstance(exc, EngineFailed) and now() >= until:
                    raise
                _log.warning(
                    "job.transfer_retry",
                    job_id=job_text(run.execution.job_id),
                    phase=run.phase.value,
                    reason=exc.code,
                )
                await asyncio.sleep(_RETRY.total_seconds())

    async def _watch(self, shutdown: asyncio.Event, interrupted: asyncio.Event, run: Run) -> None:
        """Give the attempt up in order once the worker is told to stop, or it is taken away."""
        await first_of(shutdown, interrupted)
        whole, render = self.deadlines.stop, self.deadlines.stop_render()
        if run.phase in {Phase.RENDERING, Phase.UPLOADING}:
            await first_of(interrupted, within=render)
        if run.phase is not Phase.UPLOADING:  # what is rendered is worth storing
            taken = interrupted.is_set()
            reason = StopReason.TAKEN if taken else StopReason.RELEASE
            run.ask_stop(reason, self.clock.monotonic())
        self.heart.hurry()  # it brings a cancel, if that is what it is for
        await asyncio.sleep((whole - render).total_seconds())
        if run.phase is Phase.UPLOADING and run.reason is StopReason.CANCEL:
            await shutdown.wait()  # only this attempt was meant, and its cancel came too late
            await asyncio.sleep(whole.total_seconds())
        run.leave.set()
