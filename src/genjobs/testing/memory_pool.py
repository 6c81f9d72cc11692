"""A pool that only remembers its settings, and what is known of the work, in memory."""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta

from genjobs.domain.capacity import Observed, PoolBounds, PoolMemory, PoolSettings, PoolTurn
from genjobs.domain.errors import Unavailable
from genjobs.domain.lifecycle import Phase
from genjobs.testing.memory_rows import MemoryJobs, Times

_LATELY, _BEFORE, _SETTLED = (timedelta(minutes=minutes) for minutes in (2, 10, 5))
_COUNTED, _MEASURED, _COLD = 2000, 500, 5.0


class MemoryPoolControl:
    """The ``PoolControl`` port; ``available`` switches an outage, ``told`` is what it was told."""

    def __init__(self, settings: PoolSettings | None = None) -> None:
        self.current = settings or PoolBounds().floor()
        self.told: list[PoolSettings] = []
        self.available = True

    async def settings(self) -> PoolSettings:
        """See the port."""
        if not self.available:
            raise Unavailable
        return self.current

    async def adjust(self, settings: PoolSettings) -> None:
        """See the port."""
        if not self.available:
            raise Unavailable
        self.current = settings
        self.told.append(settings)


class MemoryPoolLedger:
    """The ``PoolLedger`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def observe(self, *, now: datetime) -> Observed:
        """See the port."""
        rows = list(self._jobs.rows.values())
        phases = [row.job.phase for row in rows if row.slot is not None]
        ready = [row.not_before for row in self._jobs.waiting() if row.not_before <= now]
        full = len(phases) >= self._jobs.window and self._jobs.shared.paused_at is None
        times = sorted(self._jobs.times, key=lambda one: one.dispatched_at, reverse=True)
        newest = [one for one in times if one.dispatched_at > now - _BEFORE][:_COUNTED]
        settled = [one for one in times if one.dispatched_at <= now - _SETTLED][:_MEASURED]
        return Observed(
            waiting=sum(phase in (None, Phase.PREPARING, Phase.WAITING) for phase in phases)
            + (len(ready) if full else 0),
            oldest_seconds=(now - min(ready)).total_seconds() if ready else 0.0,
            rendering=phases.count(Phase.RENDERING),
            arrivals_lately=_rate(newest, now, _LATELY),
            arrivals_before=_rate(newest, now, _BEFORE),
            render_seconds=_mean([one.gpu_seconds for one in settled]),
            prepare_seconds=_mean([one.prepare_seconds for one in settled]),
            cold_start_seconds=_median(
                [one.waited for one in settled if one.waited is not None and one.waited > _COLD]
            ),
            slots=max(self._jobs.window, len(phases)),
        )

    async def memory(self) -> PoolMemory:
        """See the port."""
        return self._jobs.shared.pool

    async def take(self, *, now: datetime, every: timedelta) -> PoolTurn | None:
        """See the port."""
        shared = self._jobs.shared
        if shared.pool_due is not None and now < shared.pool_due <= now + every:
            return None
        shared.pool_due = now + every
        return PoolTurn(memory=shared.pool, until=shared.pool_due)

    async def keep(self, turn: PoolTurn, memory: PoolMemory) -> bool:
        """See the port."""
        shared = self._jobs.shared
        if shared.pool_due != turn.until:
            return False
        shared.pool = memory
        return True


def _rate(newest: list[Times], now: datetime, time: timedelta) -> float:
    count = sum(one.dispatched_at > now - time for one in newest)
    span = now - newest[-1].dispatched_at if len(newest) == _COUNTED else time
    return count / max(min(span, time).total_seconds(), 1e-3)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
