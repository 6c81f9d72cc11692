"""
Ingesting: claims jobs whose media are to be fetched, several at once, until told to stop.

What a claim does is in ``ingest``. Any number of processes share the ledger.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.application.ingest import IngestMedia
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import Ingest
from genjobs.domain.ports import Clock, IdSource, IngestLedger, Signals

#: How often an idle process asks for work; a submit in the same process wakes it at once.
POLL: Final = timedelta(seconds=0.5)
_PAUSE_AFTER_FAILURE: Final = timedelta(seconds=1)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingester:
    """The loop."""

    ingests: IngestLedger
    ingest: IngestMedia
    clock: Clock
    ids: IdSource
    signals: Signals
    #: Jobs at once in this process.
    places: int = 8

    async def run(self, shutdown: asyncio.Event, *, finish: timedelta = timedelta(0)) -> None:
        """
        Fetch until ``shutdown`` is set.

        What is being fetched then may take ``finish`` to end, and is given back after it,
        uncounted.
        """
        running: set[asyncio.Task[None]] = set()
        stopping = asyncio.create_task(shutdown.wait())
        try:
            while not shutdown.is_set():
                pause = POLL
                try:
                    running |= await self._take(self.places - len(running))
                except Unavailable:
                    _log.warning("ingester.waiting")
                    pause = _PAUSE_AFTER_FAILURE
                waking = asyncio.create_task(self.signals.wait(pause.total_seconds()))
                await asyncio.wait(
                    {stopping, waking, *running}, return_when=asyncio.FIRST_COMPLETED
                )
                waking.cancel()
                await asyncio.gather(waking, return_exceptions=True)
                running = {task for task in running if not task.done()}
            if running and finish:
                await asyncio.wait(running, timeout=finish.total_seconds())
        finally:
            for task in (stopping, *running):
                task.cancel()
            await asyncio.gather(stopping, *running, return_exceptions=True)

    async def run_due(self) -> int:
        """Take what is due now to its end and return how many claims that were."""
        tasks = await self._take(self.places)
        await asyncio.gather(*tasks)
        return len(tasks)

    async def _take(self, places: int) -> set[asyncio.Task[None]]:
        if places <= 0:
            return set()
        executions = [ExecutionId(self.ids.uuid4()) for _ in range(places)]
        claimed = await self.ingests.claim(executions, now=self.clock.now())
        return {asyncio.create_task(self._one(ingest)) for ingest in claimed}

    async def _one(self, ingest: Ingest) -> None:
        try:
            await self.ingest(ingest)
        except Exception:
            # The edge of the process: one job's unforeseen error must not end the others. Its
            # lease runs out, and that counts as a try.
            _log.exception("ingester.crashed")
