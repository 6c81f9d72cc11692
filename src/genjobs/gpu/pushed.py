"""
The worker that is called: each call brings an attempt, several at once, one in the renderer.

How one attempt runs is in ``application.run``; what calls it, and keeps it from being called when
it must leave, is the platform's. Imports on a laptop like its sister that pulls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from genjobs.application.attempt import described
from genjobs.application.recording import LAST_WORDS
from genjobs.application.run import RunJob
from genjobs.domain.attempts import Assignment
from genjobs.domain.errors import EngineFailed, GenjobsError, Unavailable
from genjobs.domain.ids import JobId, TenantId, job_text
from genjobs.domain.ports import EngineKeeper, Retirement
from genjobs.domain.tenancy import Owner
from genjobs.gpu.places import Places

#: Between two looks whether the engine is there.
_LOOK: Final = timedelta(seconds=10)

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class PushedWorker:
    """Runs what it is called for, from ``open`` until ``close``."""

    run_job: RunJob
    keeper: EngineKeeper
    retirement: Retirement
    #: Set by the retirement: what is here is given back, and so is what comes all the same.
    retired: asyncio.Event
    #: Says who runs the call that asks, in the words of ``WorkerControl``.
    own_call_id: Callable[[], str | None]
    #: How many calls the platform brings at once.
    places: int = 3
    #: How long the engine may be away before this machine leaves the pool.
    unhealthy: timedelta = timedelta(minutes=2)
    _here: Places = field(init=False)
    _leave: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _beside: list[asyncio.Task[None]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._here = Places(self.places)

    async def open(self, *, since: float | None = None) -> None:
        """
        Get ready for calls; return once the engine answers.

        ``since`` is when that began, by the event loop's clock; it is for the log.

        Raises:
            EngineFailed: it does not start; nothing may be called here.
        """
        now = asyncio.get_running_loop().time
        began = now() if since is None else since
        await self.keeper.ready()
        self._beside = [
            asyncio.create_task(self.run_job.heart.listen()),
            asyncio.create_task(self._watch_engine()),
            asyncio.create_task(self._leave_when_retired()),
        ]
        _log.info(
            "worker.started",
            places=self.places,
            prepared=self.keeper.prepared,
            seconds_to_ready=round(now() - began, 1),
        )

    async def run(self, tenant: str, user: str, job: str, attempt: int) -> str:
        """
        Run one attempt to its recorded end; return a word for the platform's records.

        The same attempt brought twice is refused its second start and has no effect. When this is
        cancelled, the attempt is stopped and recorded first: what it was for is the job row's to
        say, for a cancel and a preemption look the same.
        """
        try:
            assignment = Assignment(
                owner=Owner(tenant_id=TenantId(UUID(tenant)), user_id=user),
                job_id=JobId(UUID(job)),
                attempt=int(attempt),
            )
        except (ValueError, TypeError, AttributeError, GenjobsError):
            _log.error("worker.call_not_understood")  # nothing of it is known to be safe to log
            return "not_understood"
        interrupted, said = asyncio.Event(), _Said()
        call_id = self.own_call_id()
        task = self._here.start(partial(self._one, assignment, interrupted, call_id, said))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            _log.info("job.interrupted", job_id=job_text(assignment.job_id), attempt=attempt)
            interrupted.set()
            await asyncio.wait({task}, timeout=self._to_end().total_seconds())
            raise
        return said.word

    async def close(self) -> None:
        """Give back what is not rendered yet, finish the rest in time, and let go."""
        self._leave.set()
        try:
            with contextlib.suppress(TimeoutError):
                deadlines = self.run_job.deadlines
                async with asyncio.timeout((deadlines.stop + 3 * LAST_WORDS).total_seconds()):
                    await self._here.emptied()
        finally:
            await self._here.clear()
            for task in self._beside:
                task.cancel()
            await asyncio.gather(*self._beside, return_exceptions=True)
        _log.info("worker.stopped", retired=self.retired.is_set())

    def _to_end(self) -> timedelta:
        """Return how long an interrupted attempt may take; its steps have limits of their own."""
        deadlines = self.run_job.deadlines
        return deadlines.stop + deadlines.upload + 3 * LAST_WORDS

    async def _one(
        self,
        assignment: Assignment,
        interrupted: asyncio.Event,
        call_id: str | None,
        said: _Said,
        on_rendering: Callable[[], None],
    ) -> None:
        try:
            ending = await self.run_job(
                assignment, self._leave, on_rendering, interrupted=interrupted, call_id=call_id
            )
            said.word = "refused" if ending is None else str(described(ending)["outcome"])
        except Unavailable as exc:
            # Nobody has it: after its start deadline it is dispatched again.
            _log.warning("worker.not_started", code=exc.code, reason=exc.message)
            said.word = "not_started"
        except Exception:
            # One job's unforeseen error must not end the others. The job's lease runs out, and it
            # gets another attempt; the platform must not try this one again.
            _log.exception("worker.job_crashed")
            said.word = "crashed"

    async def _watch_engine(self) -> None:
        """Leave the pool when the engine is away for long: jobs would only wait here."""
        while True:
            try:
                async with asyncio.timeout(self.unhealthy.total_seconds()):
                    await self.keeper.ready()
            except (EngineFailed, TimeoutError):
                await self.retirement.retire("engine_unhealthy")
                return
            except Exception:
                # The edge of a task that nobody waits for.
                _log.exception("worker.watch_crashed")
            await asyncio.sleep(_LOOK.total_seconds())

    async def _leave_when_retired(self) -> None:
        await self.retired.wait()
        self._leave.set()


@dataclass(slots=True)
class _Said:
    """How an attempt ended, in a word."""

    word: str = "interrupted"
