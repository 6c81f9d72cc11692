"""Record how an attempt ended, and remove what it left: both bounded, both safe to repeat."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.application.attempt import Ending, Run, described
from genjobs.domain.artifacts import attempt_prefix
from genjobs.domain.attempts import Completed, Crashed, Execution, Recorded, Released
from genjobs.domain.errors import EngineFailed, Unavailable
from genjobs.domain.ids import job_text
from genjobs.domain.ports import ArtifactStore, Clock, JobLedger, WorkflowEngine

_RETRY: Final = timedelta(seconds=1)
#: How long a step that may be recorded already is offered to a database that does not answer; then
#: the fence decides. No lease bounds it: none runs out for an outage.
PATIENCE: Final = timedelta(minutes=10)
#: The same once the worker has to go.
LAST_WORDS: Final = timedelta(seconds=3)
_DISCARD_LIMIT: Final = timedelta(seconds=30)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """The end of an attempt."""

    ledger: JobLedger
    artifacts: ArtifactStore
    engine: WorkflowEngine
    clock: Clock

    async def record(self, run: Run, ending: Ending) -> None:
        """
        Offer the outcome to the ledger until it answers.

        A database that is away is waited for: long, or briefly once ``run.leave`` is set. Then
        the lease runs out, and the supervisor decides.
        """
        log = _log.bind(job_id=job_text(run.execution.job_id), attempt=run.execution.attempt)
        offering = asyncio.create_task(self._offer(run.execution, ending))
        leaving = asyncio.create_task(run.leave.wait())
        try:
            await asyncio.wait(
                {offering, leaving},
                timeout=PATIENCE.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not offering.done():
                await asyncio.wait({offering}, timeout=LAST_WORDS.total_seconds())
            if not offering.done():
                log.error("job.outcome_not_recorded", **described(ending))
                return
            recorded = offering.result()
        finally:
            offering.cancel()
            leaving.cancel()
            await asyncio.gather(offering, leaving, return_exceptions=True)
        log.info("job.ended", recorded=recorded.value, **described(ending))
        if recorded is Recorded.STALE and isinstance(ending, Completed):
            # Read, not guessed: the recorded outcome is another attempt's, so these are nobody's.
            execution = run.execution
            with suppress(Unavailable):  # swept by prefix later
                await self.artifacts.delete_prefix(
                    attempt_prefix(execution.owner, execution.job_id, execution.attempt)
                )

    async def _offer(self, execution: Execution, ending: Ending) -> Recorded:
        while True:
            now = self.clock.now()
            try:
                match ending:
                    case Released():
                        return await self.ledger.release(execution, now=now)
                    case Crashed(error=error):
                        return await self.ledger.crash(execution, error, now=now)
                    case _:
                        return await self.ledger.finish(execution, ending, now=now)
            except Unavailable:
                await asyncio.sleep(_RETRY.total_seconds())

    async def discard(self, run: Run) -> None:
        """Remove the attempt's files and history from the engine, if it answers in time."""
        limit = LAST_WORDS if run.leave.is_set() else _DISCARD_LIMIT
        try:
            async with asyncio.timeout(limit.total_seconds()):
                await self.engine.discard(run.execution.execution_id)
        except (EngineFailed, TimeoutError):
            _log.warning("job.engine_not_cleaned", job_id=job_text(run.execution.job_id))
