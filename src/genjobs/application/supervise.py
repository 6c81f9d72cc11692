"""
Supervise: what time does to jobs. Expire queued ones, rescue those whose worker or ingest is lost.

Reads never do this. Any number of supervisors may run at once: every step is a compare-and-set
in the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.domain.attempts import Rescue
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import job_text
from genjobs.domain.ports import Clock, IngestLedger, JobLedger, Overview, Signals

TICK: Final = timedelta(seconds=5)
_BATCH: Final = 100
_MAX_BATCHES: Final = 50  # one tick stays bounded; the next one goes on

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one look around did and found."""

    expired: int
    rescued: int
    reclaimed: int
    ingests_rescued: int
    ingest_backlog: int
    overview: Overview


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervise:
    """The use case."""

    ledger: JobLedger
    ingests: IngestLedger
    clock: Clock
    signals: Signals

    async def tick(self) -> Tick:
        """Do everything that is due now, log one line, and return what was done."""
        now = self.clock.now()
        expired = await self._drain(
            "expired", lambda: self.ledger.expire_queued(now=now, limit=_BATCH)
        )
        reclaimed = await self._drain(
            "reclaimed", lambda: self.ledger.reclaim_unstarted(now=now, limit=_BATCH)
        )
        rescued = await self._drain(
            "rescued", lambda: self.ledger.rescue_lost(now=now, limit=_BATCH)
        )
        ingests_rescued = await self._drain(
            "ingest_rescued", lambda: self.ingests.rescue(now=now, limit=_BATCH)
        )
        pruned = await self.ledger.prune(now=now, limit=_BATCH)
        if expired or reclaimed or rescued or ingests_rescued:
            self.signals.wake()
        overview = await self.ledger.overview(now=now)
        backlog = await self.ingests.backlog()
        _log.info(
            "supervisor.tick",
            expired=expired,
            reclaimed=reclaimed,
            rescued=rescued,
            ingests_rescued=ingests_rescued,
            ingest_backlog=backlog,
            pruned_keys=pruned.keys,
            pruned_loads=pruned.loads,
            queued=overview.queued,
            running=overview.running,
            slots_free=overview.slots_free,
            oldest_eligible_seconds=overview.oldest_eligible_seconds,
            open_cancels=overview.open_cancels,
        )
        return Tick(
            expired=expired,
            rescued=rescued,
            reclaimed=reclaimed,
            ingests_rescued=ingests_rescued,
            ingest_backlog=backlog,
            overview=overview,
        )

    async def run(self, *, every: timedelta = TICK) -> None:
        """Tick until cancelled; a database outage is waited out."""
        while True:
            try:
                await self.tick()
            except Unavailable:
                _log.warning("supervisor.unavailable")
            except Exception:
                # The edge of the process: the next tick starts afresh.
                _log.exception("supervisor.crashed")
            await asyncio.sleep(every.total_seconds())

    async def _drain(self, action: str, step: Callable[[], Awaitable[Sequence[Rescue]]]) -> int:
        done = 0
        for _ in range(_MAX_BATCHES):
            batch = await step()
            for rescue in batch:
                _log.info(
                    f"job.{action}",
                    job_id=job_text(rescue.job_id),
                    attempt=rescue.attempt,
                    status=rescue.status.value,
                )
            done += len(batch)
            if len(batch) < _BATCH:
                break
        return done
