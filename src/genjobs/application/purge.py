"""
Purge: remove what jobs are no longer kept for; inputs soon after the end, outputs at their own.

Files go first, then the row says so, so whatever stops a purge is made up for by the next one.
A look around takes so long and no longer: leases of workers wait for the next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from genjobs.application.bounded import Budget, each_within
from genjobs.domain.artifacts import job_prefix
from genjobs.domain.ports import ArtifactStore, Clock, RetentionLedger
from genjobs.domain.retention import DueJob, Purged

_BATCH: Final = 100
#: For each kind of what is due; a store that does not answer must not hold up the tick.
BUDGET: Final = timedelta(seconds=1.5)
_log = structlog.get_logger(__name__)

_Take = Callable[..., Awaitable[Sequence[DueJob]]]
_Tell = Callable[..., Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeFiles:
    """The use case."""

    artifacts: ArtifactStore
    retention: RetentionLedger
    clock: Clock
    budget: timedelta = BUDGET
    batch: int = _BATCH

    async def __call__(self) -> Purged:
        """
        Remove what is due, as much of it as there is time for, and return how much that was.

        A store that is away leaves things as they are: they are due again soon.
        """
        now, keeper = self.clock.now(), self.retention
        jobs = await self._drain(now, keeper.take_ended, self._all_files, keeper.ended_gone)
        inputs = await self._drain(now, keeper.take_inputs, self._inputs, keeper.inputs_gone)
        rows = await keeper.drop_tombstones(now=now, limit=self.batch)
        return Purged(inputs=inputs, jobs=jobs, rows=rows)

    async def _drain(
        self,
        now: datetime,
        take: _Take,
        remove: Callable[[DueJob], Awaitable[object]],
        tell: _Tell,
    ) -> int:
        done, left = 0, Budget(self.budget)
        while left.seconds() > self.budget.total_seconds() / 2:  # a batch needs some
            due = await take(now=now, limit=self.batch)
            gone = await each_within(left, due, remove)
            if gone:
                done += await tell(gone, now=now)
            if len(gone) < len(due):
                _log.warning("purge.put_off", jobs=len(due) - len(gone))
                break
            if len(due) < self.batch:
                break
        return done

    async def _all_files(self, job: DueJob) -> None:
        # By prefix: what an attempt left behind that came too late goes too.
        await self.artifacts.delete_prefix(job_prefix(job.owner, job.job_id))

    async def _inputs(self, job: DueJob) -> None:
        # What lies elsewhere is not the job's alone.
        prefix = job_prefix(job.owner, job.job_id)
        mine = [key for key in job.inputs if key.startswith(prefix)]
        if mine:
            await self.artifacts.delete(mine)
