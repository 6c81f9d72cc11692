"""
Supervise: what time does to jobs, looked after in ticks.

Expire queued jobs, rescue those whose worker or ingest is lost, escalate cancels, recount, prune,
sweep. Reads never do this. Any number of supervisors may run at once: every step is a
compare-and-set in the ledger. Each tick wakes whoever dispatches: pull workers of this process,
which else ask for themselves, or whatever calls an engine, for which this is the safety net.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.application.erasing import EraseWhatIsAsked
from genjobs.application.escalate import EscalateCancels
from genjobs.application.purge import PurgeFiles
from genjobs.application.purge_uploads import PurgeUploads
from genjobs.application.reconcile import ReconcileFiles
from genjobs.application.sweep import SweepFiles
from genjobs.domain.attempts import Assignment, Rescue
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import job_text
from genjobs.domain.ports import (
    Clock,
    IngestLedger,
    JobLedger,
    Overview,
    Pruned,
    Signals,
    Supervision,
)
from genjobs.domain.reconciliation import Reconciled
from genjobs.domain.retention import Purged
from genjobs.domain.supervision import Deeds

TICK: Final = timedelta(seconds=5)
_BATCH: Final = 100
_MAX_BATCHES: Final = 50  # one tick stays bounded; the next one goes on
_RECOUNTS: Final = 5  # tenants

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one look around did and found."""

    #: Whether it came after a gap, so that leases were given more time.
    grace: bool
    expired: int
    rescued: int
    reclaimed: int
    #: Jobs cancelled because their worker did not answer, and their neighbours.
    escalated: int
    ingests_rescued: int
    ingest_backlog: int
    #: Wrong counts, mended.
    drift: int
    #: Files without a job, removed.
    swept: int
    #: Jobs removed for erasures.
    erased: int
    purged: Purged
    reconciled: Reconciled
    #: Uploads that nobody needed, removed.
    uploads_purged: int
    pruned: Pruned
    overview: Overview


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervise:
    """The use case."""

    ledger: JobLedger
    ingests: IngestLedger
    supervision: Supervision
    escalate: EscalateCancels
    erase: EraseWhatIsAsked
    purge: PurgeFiles
    reconcile: ReconcileFiles
    sweep: SweepFiles
    purge_uploads: PurgeUploads
    clock: Clock
    signals: Signals
    #: For the sweep, and for the purge of uploads, of one tick.
    store_seconds: float = 5.0

    async def tick(self) -> Tick:
        """Do everything that is due now, log one line, and return what was done."""
        # All steps go by the time before the first: one that is late, after an outage that began
        # in between, takes nothing that had not run out then.
        now = self.clock.now()
        grace = await self.supervision.begin_tick(now=now)
        expired = await self._drain(
            "expired", lambda: self.ledger.expire_queued(now=now, limit=_BATCH)
        )
        reclaimed = await self._drain(
            "reclaimed", lambda: self.ledger.reclaim_unstarted(now=now, limit=_BATCH)
        )
        # Before the rescue: it would take the job without seeing what becomes of its worker.
        taken = await self.escalate()
        escalated = self._told("escalated", taken)
        self._recall(taken)
        await self._add_up(Deeds(escalations=escalated))
        rescued = await self._drain(
            "rescued", lambda: self.ledger.rescue_lost(now=now, limit=_BATCH)
        )
        await self._add_up(Deeds(rescues=rescued))
        ingests_rescued = await self._drain(
            "ingest_rescued", lambda: self.ingests.rescue(now=now, limit=_BATCH)
        )
        await self._add_up(Deeds(ingest_rescues=ingests_rescued))
        # Whatever was lost on the way from other processes is dispatched now.
        self.signals.wake()
        drift = await self._recount()
        await self._add_up(Deeds(drift=drift))
        pruned = await self.ledger.prune(now=now, limit=_BATCH)
        erased = await self.erase()
        await self._add_up(Deeds(erased_jobs=erased))
        purged = await self.purge()
        await self._add_up(
            Deeds(purged_inputs=purged.inputs, purged_jobs=purged.jobs, purged_rows=purged.rows)
        )
        reconciled = await self.reconcile()
        await self._add_up(Deeds(lost_files=reconciled.lost))
        swept = await self._with_store("sweep", self.sweep())
        await self._add_up(Deeds(swept_files=swept))
        uploads_purged = await self._with_store("uploads", self.purge_uploads(now=now))
        tick = Tick(
            grace=grace,
            expired=expired,
            rescued=rescued,
            reclaimed=reclaimed,
            escalated=escalated,
            ingests_rescued=ingests_rescued,
            ingest_backlog=await self.ingests.backlog(),
            drift=drift,
            swept=swept,
            erased=erased,
            purged=purged,
            reconciled=reconciled,
            uploads_purged=uploads_purged,
            pruned=pruned,
            overview=await self.ledger.overview(now=now),
        )
        _log.info("supervisor.tick", **_line(tick))
        return tick

    async def run(self, *, every: timedelta = TICK, length: timedelta | None = None) -> None:
        """
        Tick until cancelled, or for ``length``; a database outage is waited out.

        With a length no tick begins after it: a scheduler starts the next run then.
        """
        until = None if length is None else self.clock.monotonic() + length.total_seconds()
        while until is None or self.clock.monotonic() < until:
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
            done += self._told(action, batch)
            self._recall(batch)
            if len(batch) < _BATCH:
                break
        return done

    def _told(self, action: str, batch: Sequence[Rescue]) -> int:
        for rescue in batch:
            _log.info(
                f"job.{action}",
                job_id=job_text(rescue.job_id),
                attempt=rescue.attempt,
                status=rescue.status.value,
            )
        return len(batch)

    def _recall(self, batch: Sequence[Rescue]) -> None:
        """Have calls cancelled that would only find that another attempt has their job."""
        self.signals.recall(
            [
                Assignment(owner=rescue.owner, job_id=rescue.job_id, attempt=rescue.attempt)
                for rescue in batch
            ]
        )

    async def _recount(self) -> int:
        drift = 0
        for _ in range(_RECOUNTS):
            wrong = await self.supervision.recount_next()
            if wrong is None:
                break
            drift += wrong
        if drift:
            _log.error("supervisor.drift", wrong_counts=drift)  # mended, and yet a defect
        return drift

    async def _with_store(self, action: str, work: Awaitable[int]) -> int:
        try:
            async with asyncio.timeout(self.store_seconds):
                return await work
        except Unavailable as exc:
            # The store's outage is no reason to leave jobs alone.
            _log.warning(f"{action}.unavailable", reason=exc.message)
        except TimeoutError:
            # Nor is its slowness: leases of workers wait for the next tick.
            _log.warning(f"{action}.unavailable", reason="The store is too slow just now.")
        return 0

    async def _add_up(self, deeds: Deeds) -> None:
        """Note what a step did at once: the next one may fail, and the tick with it."""
        if deeds != Deeds():
            await self.supervision.end_tick(deeds)


def _line(tick: Tick) -> dict[str, object]:
    """Return what a tick's log line says."""
    said = dataclasses.asdict(tick)
    for part in ("pruned", "purged", "reconciled"):
        said |= {f"{part}_{name}": count for name, count in said.pop(part).items()}
    overview = said.pop("overview")
    for name in (
        "oldest_eligible_seconds",
        "queued",
        "running",
        "slots_free",
        "open_cancels",
        "oldest_cancel_seconds",
        "paused",
        "purge_overdue_seconds",
    ):
        said[name] = overview[name]
    return said
