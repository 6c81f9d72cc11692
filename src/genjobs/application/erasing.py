"""
Erasing: what supervisors do of the erasures that were asked for, a bounded part at a time.

No step is remembered. Each time everything is looked at from the beginning, so whatever stopped an
erasure, and wherever, the next supervisor goes on: cancel what has not ended and wait for it; then
files before the rows that name them; then, when a worker that was cut off can have nothing more to
store, what is left under the user's prefixes; then the receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from genjobs.application.bounded import Budget, each_within
from genjobs.domain.artifacts import job_prefix, upload_prefix, user_prefix
from genjobs.domain.erasure import Erasing
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import JobId, erasure_text
from genjobs.domain.ports import ArtifactStore, Clock, ErasureLedger

#: For all erasures together; a store that does not answer must not hold up the tick.
BUDGET: Final = timedelta(seconds=2)
_AT_ONCE: Final = 20  # erasures; one of a huge user leaves time for the others by its batches
_BATCH: Final = 50
_PAGE: Final = 1000
#: Until an erasure is looked at again that waits for an attempt, or for a store.
_PAUSE: Final = timedelta(seconds=5)
_TIDY: Final = 100
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseWhatIsAsked:
    """The use case."""

    artifacts: ArtifactStore
    erasures: ErasureLedger
    clock: Clock
    #: How long a worker that has lost its job may take to notice: a lease.
    settle: timedelta
    budget: timedelta = BUDGET
    batch: int = _BATCH

    async def __call__(self) -> int:
        """
        Go on with what is due, as far as there is time; return how many jobs were removed.

        A store that is away leaves things as they are: they are due again soon.

        Raises:
            Unavailable: the database cannot be reached.
        """
        left, done = Budget(self.budget), 0
        for erasing in await self.erasures.take(now=self.clock.now(), limit=_AT_ONCE):
            if not left:
                await self._again(erasing)
                continue
            done += await self._go_on(erasing, left)
        await self.erasures.tidy(now=self.clock.now(), limit=_TIDY)
        return done

    async def _go_on(self, erasing: Erasing, left: Budget) -> int:
        open_jobs = await self.erasures.open_jobs(erasing, limit=self.batch)
        if open_jobs:
            await self._cancel(erasing, open_jobs)
            return 0
        done = 0
        while batch := await self.erasures.jobs(erasing, limit=self.batch):
            gone = await self._remove_jobs(erasing, batch, left)
            done += gone
            if gone < len(batch) or not left:
                await self._again(erasing, pause=gone < len(batch))
                return done
        if await self._remove_rest(erasing, left):
            await self._finish(erasing)
        return done

    async def _cancel(self, erasing: Erasing, jobs: Sequence[JobId]) -> None:
        """Cancel what has not ended; files stay until every attempt has ended, or is fenced."""
        for job_id in jobs:
            await self.erasures.cancel(erasing, job_id, now=self.clock.now())
        running = await self.erasures.open_jobs(erasing, limit=1)
        now = self.clock.now()
        await self.erasures.put_off(
            erasing, until=now + (_PAUSE if running else timedelta()), busy_at=now
        )

    async def _remove_jobs(self, erasing: Erasing, jobs: Sequence[JobId], left: Budget) -> int:
        files: dict[JobId, int] = {}

        async def remove(job_id: JobId) -> None:
            files[job_id] = await self.artifacts.delete_prefix(job_prefix(erasing.owner, job_id))

        gone = await each_within(left, jobs, remove)
        if not gone:
            return 0
        removed = {job_id: files[job_id] for job_id in gone}
        return await self.erasures.jobs_gone(erasing, removed, now=self.clock.now())

    async def _remove_rest(self, erasing: Erasing, left: Budget) -> bool:
        """Remove what is not of a job any more; return whether nothing is left."""
        now = self.clock.now()
        # Before the last look under the prefixes: who was cut off stores until it notices.
        quiet = max(erasing.requested_at, erasing.busy_at or erasing.requested_at) + self.settle
        if quiet > now:
            await self.erasures.put_off(erasing, until=quiet)
            return False
        try:
            async with left.limit():
                if erasing.job_id is None:
                    await self._remove_uploads(erasing)
                    while await self.erasures.keys_gone(erasing, limit=_PAGE) == _PAGE:
                        pass
                for prefix in _prefixes(erasing):
                    await self._sweep(erasing, prefix)
        except TimeoutError:
            await self._again(erasing)
            return False
        except Unavailable as exc:
            # Of the store; if it is the database's, this is not written down either.
            _log.warning("erasure.put_off", erasure_id=erasure_text(erasing.id), reason=exc.message)
            await self._again(erasing, pause=True)
            return False
        return True

    async def _remove_uploads(self, erasing: Erasing) -> None:
        while uploads := await self.erasures.uploads(
            erasing, now=self.clock.now(), limit=self.batch
        ):
            await self.artifacts.delete(list(uploads.values()))  # some were never put
            await self.erasures.uploads_gone(erasing, list(uploads))

    async def _sweep(self, erasing: Erasing, prefix: str) -> None:
        """Remove what is under a prefix once no row names any of it."""
        while files := await self.artifacts.list_files(prefix, after="", limit=_PAGE):
            await self.artifacts.delete([file.key for file in files])
            await self.erasures.strays_gone(erasing, len(files))

    async def _finish(self, erasing: Erasing) -> None:
        if await self.erasures.finish(erasing, now=self.clock.now()):
            _log.info("erasure.finished", erasure_id=erasure_text(erasing.id))
        else:
            await self._again(erasing)

    async def _again(self, erasing: Erasing, *, pause: bool = False) -> None:
        now: datetime = self.clock.now()
        await self.erasures.put_off(erasing, until=now + (_PAUSE if pause else timedelta()))


def _prefixes(erasing: Erasing) -> Sequence[str]:
    if erasing.job_id is not None:
        return [job_prefix(erasing.owner, erasing.job_id)]
    return [user_prefix(erasing.owner), upload_prefix(erasing.owner)]
