"""
Run one attempt of a job: start, prepare, render, upload, finish; heartbeat and stop watch beside.

The worker around it (how many at once, which process) is in ``gpu``; what a lost worker means is
the supervisor's. Every write names the execution, so an attempt that was overtaken changes
nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.application.attempt import Ending, Run, StopReason, described, unless_stopped, within
from genjobs.application.transfer import Transfer
from genjobs.domain.artifacts import Output, attempt_prefix
from genjobs.domain.attempts import (
    Assignment,
    Beat,
    BeatReply,
    Completed,
    Crashed,
    Failed,
    Recorded,
    Released,
    StartedJob,
)
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import (
    EngineFailed,
    GenjobsError,
    InputUnavailable,
    JobFailure,
    OutputNotStored,
    RenderInterrupted,
    RunTimeout,
    StaleAttempt,
    Unavailable,
    WorkflowRefused,
)
from genjobs.domain.ids import ExecutionId, job_text
from genjobs.domain.job import JobError, Progress
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
from genjobs.domain.workflow import load_workflow

#: Progress reaches the database at most this often, however fast the engine reports it.
PROGRESS_INTERVAL: Final = timedelta(seconds=0.5)
_RETRY: Final = timedelta(seconds=1)
#: How long an outcome is offered to a database that does not answer; then the fence decides.
_RECORD_PATIENCE: Final = timedelta(minutes=10)
_DISCARD_LIMIT: Final = timedelta(seconds=30)

#: Not the workflow's fault: the job gets another attempt.
_MACHINE_FAILURES: Final = (EngineFailed, InputUnavailable)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """The use case; one call runs one attempt to its recorded end."""

    ledger: JobLedger
    artifacts: ArtifactStore
    engine: WorkflowEngine
    probe: MediaProbe
    clock: Clock
    ids: IdSource
    signals: Signals
    catalogue: NodeCatalogue
    deadlines: Deadlines

    async def __call__(self, assignment: Assignment, shutdown: asyncio.Event) -> Ending | None:
        """
        Run ``assignment`` and return how it ended; None when another execution has it.

        When ``shutdown`` is set the attempt is given back, not charged.

        Raises:
            Unavailable: the start could not be recorded; the attempt may be started again.
        """
        log = _log.bind(job_id=job_text(assignment.job_id), attempt=assignment.attempt)
        execution_id = ExecutionId(self.ids.uuid4())
        try:
            started = await self._start(assignment, execution_id)
        except StaleAttempt:
            log.info("job.start_refused")
            return None
        log.info("job.started")
        run = Run(execution=started.execution)
        if started.cancel_requested:
            run.ask_stop(StopReason.CANCEL, self.clock.monotonic())
        heart = asyncio.create_task(self._beat(run))
        watch = asyncio.create_task(self._watch(shutdown, run))
        try:
            ending = await self._attempt(started, run)
            await self._record(run, ending)
            return ending
        except asyncio.CancelledError:
            await self._record(run, Released())
            raise
        finally:
            heart.cancel()
            watch.cancel()
            await asyncio.gather(heart, watch, return_exceptions=True)
            await self._discard(run)
            self.signals.wake()

    async def _start(self, assignment: Assignment, execution_id: ExecutionId) -> StartedJob:
        try:
            return await self.ledger.start(assignment, execution_id, now=self.clock.now())
        except Unavailable:
            # Perhaps it was recorded and only the answer was lost: the repeat will say.
            return await self.ledger.start(assignment, execution_id, now=self.clock.now())

    async def _attempt(self, started: StartedJob, run: Run) -> Ending:
        transfer = Transfer(artifacts=self.artifacts, engine=self.engine, probe=self.probe)
        try:
            begun = self.clock.monotonic()
            try:
                files = await unless_stopped(
                    run.stop,
                    within(
                        self.deadlines.prepare,
                        transfer.stage(started.execution.execution_id, started.inputs),
                        InputUnavailable(),
                    ),
                )
            finally:
                run.prepare_seconds = self.clock.monotonic() - begun
            if run.stop.is_set() or files is None:
                raise RenderInterrupted
            rendered = await self._render(started, run, files)
            run.phase = Phase.UPLOADING
            outputs = await self._upload(transfer, rendered, run)
            return Completed(outputs=outputs, timings=run.timings())
        except JobFailure as failure:
            if run.reason is StopReason.RELEASE:
                return Released()
            if run.reason is StopReason.DEADLINE:  # whatever else went wrong while stopping it
                return Failed(error=JobError.of(RunTimeout()), timings=run.timings())
            if isinstance(failure, _MACHINE_FAILURES):
                return Crashed(error=JobError.of(failure))
            return Failed(error=JobError.of(failure), timings=run.timings())
        except RenderInterrupted:
            return run.interrupted(now=self.clock.now(), at=self.clock.monotonic())

    async def _render(self, started: StartedJob, run: Run, files: dict[str, str]) -> Rendered:
        try:
            workflow = load_workflow(started.workflow, self.catalogue)
        except GenjobsError as exc:
            raise WorkflowRefused(exc.message) from exc

        def report(progress: Progress) -> None:
            run.progress = progress

        run.phase = Phase.RENDERING
        run.render_started = begun = self.clock.monotonic()
        render = asyncio.create_task(
            self.engine.render(
                started.execution.execution_id,
                workflow,
                files,
                on_progress=report,
                stop=run.stop,
            )
        )
        stop = asyncio.create_task(run.stop.wait())
        grace = self.deadlines.cancel_grace
        try:
            await asyncio.wait(
                {render, stop},
                timeout=started.run_timeout.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not render.done() and not run.stop.is_set():
                run.ask_stop(StopReason.DEADLINE, self.clock.monotonic())
            return await within(grace, render, EngineFailed("ComfyUI did not stop when asked to."))
        except asyncio.CancelledError:
            # This process is being taken away, which looks the same for a cancel and for a
            # preemption: stop the prompt first, the job row decides what it was.
            run.ask_stop(StopReason.RELEASE, self.clock.monotonic())
            await asyncio.wait({render}, timeout=grace.total_seconds())
            raise
        finally:
            stop.cancel()
            render.cancel()
            await asyncio.gather(render, stop, return_exceptions=True)
            run.render_seconds = self.clock.monotonic() - begun

    async def _upload(self, transfer: Transfer, rendered: Rendered, run: Run) -> tuple[Output, ...]:
        """Store the outputs; a store that fails is tried again, never the render."""
        execution = run.execution
        begun = self.clock.monotonic()

        async def store_all() -> tuple[Output, ...]:
            while True:
                try:
                    return await transfer.store(execution, rendered)
                except Unavailable:
                    _log.warning("job.upload_retry", job_id=job_text(execution.job_id))
                    await asyncio.sleep(_RETRY.total_seconds())

        try:
            return await within(self.deadlines.upload, store_all(), OutputNotStored())
        finally:
            run.upload_seconds = self.clock.monotonic() - begun

    async def _record(self, run: Run, ending: Ending) -> None:
        execution = run.execution
        log = _log.bind(job_id=job_text(execution.job_id), attempt=execution.attempt)
        until = self.clock.monotonic() + _RECORD_PATIENCE.total_seconds()
        while True:
            now = self.clock.now()
            try:
                match ending:
                    case Released():
                        recorded = await self.ledger.release(execution, now=now)
                    case Crashed(error=error):
                        recorded = await self.ledger.crash(execution, error, now=now)
                    case _:
                        recorded = await self.ledger.finish(execution, ending, now=now)
                break
            except Unavailable:
                if self.clock.monotonic() > until:
                    log.error("job.outcome_not_recorded")
                    return
                await asyncio.sleep(_RETRY.total_seconds())
        log.info("job.ended", recorded=recorded.value, **described(ending))
        if recorded is Recorded.STALE and isinstance(ending, Completed):
            # Read, not guessed: the recorded outcome is another attempt's, so these are nobody's.
            with suppress(Unavailable):  # swept by prefix later
                await self.artifacts.delete_prefix(
                    attempt_prefix(execution.owner, execution.job_id, execution.attempt)
                )

    async def _beat(self, run: Run) -> None:
        """Renew the lease, carry phase and progress, and learn of a cancel."""
        sent, beaten_at = (run.phase, run.progress), self.clock.monotonic()  # the start was one
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL.total_seconds())
            now = self.clock.monotonic()
            state = (run.phase, run.progress)
            if state != sent or now - beaten_at >= self.deadlines.heartbeat.total_seconds():
                sent, beaten_at = state, now
                beat = Beat(execution=run.execution, phase=state[0], progress=state[1])
                try:
                    replies = await self.ledger.heartbeat([beat], now=self.clock.now())
                except Unavailable:
                    # Go on rendering: only being told that the lease is gone ends the work.
                    _log.warning("job.heartbeat_failed", job_id=job_text(run.execution.job_id))
                else:
                    self._heed(run, replies[run.execution.execution_id])

    def _heed(self, run: Run, reply: BeatReply) -> None:
        if reply is BeatReply.CANCEL:
            run.ask_stop(StopReason.CANCEL, self.clock.monotonic())
        elif reply is BeatReply.LEASE_LOST:
            run.ask_stop(StopReason.LEASE_LOST, self.clock.monotonic())

    async def _watch(self, shutdown: asyncio.Event, run: Run) -> None:
        await shutdown.wait()
        if run.phase is not Phase.UPLOADING:  # what is rendered is worth storing
            run.ask_stop(StopReason.RELEASE, self.clock.monotonic())

    async def _discard(self, run: Run) -> None:
        try:
            async with asyncio.timeout(_DISCARD_LIMIT.total_seconds()):
                await self.engine.discard(run.execution.execution_id)
        except (EngineFailed, TimeoutError):
            _log.warning("job.engine_not_cleaned", job_id=job_text(run.execution.job_id))
