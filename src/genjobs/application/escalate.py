"""
Escalate: the last rung of a cancel, for workers that do not answer it.

The worker is ended from outside, a few times if need be; then the job is cancelled, whatever
became of the worker. Its neighbours are queued again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from genjobs.domain.attempts import Rescue
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import job_text
from genjobs.domain.ports import Clock, Supervision, WorkerControl
from genjobs.domain.supervision import Patience, SilentCancel, Termination

_BATCH: Final = 20  # at once; the next tick goes on
_LOOKS: Final = 3
_TERMINATED: Final = Termination.TERMINATED
_PAUSE: Final = 0.05  # seconds
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalateCancels:
    """The use case."""

    supervision: Supervision
    workers: WorkerControl
    clock: Clock
    patience: Patience

    async def __call__(self) -> Sequence[Rescue]:
        """Return the jobs that were cancelled for it, or queued again."""
        silent = await self.supervision.silent_cancels(now=self.clock.now(), limit=_BATCH)
        done: list[Rescue] = []
        # At once: where workers are far away, each may take as long as a tick.
        ends = await asyncio.gather(*(self._terminate(cancel) for cancel in silent))
        # Two may share a worker: what one of them saw end is not to be taken for lost by the other.
        both = sorted(zip(silent, ends, strict=True), key=lambda end: end[1] is not _TERMINATED)
        for cancel, seen in both:
            _log.warning(
                "cancel.escalated",
                job_id=job_text(cancel.execution.job_id),
                attempt=cancel.execution.attempt,
                call_id=cancel.call_id,
                seen=seen.value,
                terminations=cancel.terminations,
            )
            last = cancel.terminations >= self.patience.most_terminations
            if seen is not Termination.UNKNOWN or last:
                done += await self._end(cancel, seen)
        return done

    async def _end(self, cancel: SilentCancel, seen: Termination) -> Sequence[Rescue]:
        # A slot that somebody has locked at the moment is passed over. Another look gets it, and
        # the next tick would no longer see that it was ended from here.
        ended: list[Rescue] = []
        for _ in range(_LOOKS):
            ended += await self.supervision.end_silent(cancel, seen, now=self.clock.now())
            if any(rescue.job_id == cancel.execution.job_id for rescue in ended):
                break
            await asyncio.sleep(_PAUSE)
        return ended

    async def _terminate(self, cancel: SilentCancel) -> Termination:
        if cancel.call_id is None:
            return Termination.UNKNOWN
        try:
            return await self.workers.terminate(cancel.call_id)
        except Unavailable as exc:
            _log.warning("cancel.worker_out_of_reach", reason=exc.message)
            return Termination.UNKNOWN
