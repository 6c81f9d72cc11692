"""
Reconcile: find files that jobs name and the artifact store has not.

The other direction, files that no job names, is ``sweep``. A page of jobs at a time, seldom, from
where the last page ended, whoever looked; of each job one listing of its files. What is missing is
noted, and looked for again after a grace: a store that is being restored gets its time. Then it is
lost, and its job names it no more, so that nobody is handed a link to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.application.bounded import Budget, each_within
from genjobs.domain.artifacts import ArtifactKey, job_prefix
from genjobs.domain.ids import job_text
from genjobs.domain.ports import ArtifactStore, Clock, Reconciliation
from genjobs.domain.reconciliation import JobPlace, MissingFile, NamedFiles, Reconciled

#: Between two pages while there are more, and between two walks through all jobs.
PAGE_EVERY: Final = timedelta(minutes=1)
WALK_EVERY: Final = timedelta(hours=6)
#: How long a file may be missing before it is given up.
GRACE: Final = timedelta(days=1)
#: With more files missing none is given up: it is rather the store that is not the right one.
MOST_MISSING: Final = 1000
BUDGET: Final = timedelta(seconds=1.5)
_PAGE: Final = 100  # jobs: so many listings a minute
_LISTED: Final = 1000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileFiles:
    """The use case."""

    artifacts: ArtifactStore
    reconciliation: Reconciliation
    clock: Clock
    page: int = _PAGE
    most_missing: int = MOST_MISSING
    budget: timedelta = BUDGET

    async def __call__(self) -> Reconciled:
        """Look at a page if one is due; return what was found."""
        now = self.clock.now()
        after = await self.reconciliation.take_walk(now=now, every=PAGE_EVERY)
        if after is None:
            return Reconciled()
        lost = await self._give_up()
        looked, found, last = await self.look(after)
        if last is None:
            await self.reconciliation.keep_walk(JobPlace(), due=now + WALK_EVERY)
        else:
            await self.reconciliation.keep_walk(last, due=now + PAGE_EVERY)
        return Reconciled(jobs=looked, missing=found, lost=lost)

    async def look(self, after: JobPlace) -> tuple[int, int, JobPlace | None]:
        """
        Look at the jobs behind ``after``.

        Return how many, how many files were found missing for the first time, and where to go on;
        None after the last job. A store that is away is no news: the page is looked at again.
        """
        jobs = await self.reconciliation.named(after, limit=self.page)
        missing: list[MissingFile] = []

        async def look_at(job: NamedFiles) -> None:
            gone = job.keys - await self._stored(job)
            tenant_id = job.owner.tenant_id
            missing.extend(
                MissingFile(tenant_id=tenant_id, job_id=job.job_id, key=key) for key in gone
            )

        done = await each_within(Budget(self.budget), jobs, look_at)
        looked_at = _leading(jobs, done)
        named = {job.job_id for job in looked_at}
        found = await self.reconciliation.note(
            looked_at, [file for file in missing if file.job_id in named], now=self.clock.now()
        )
        if found:
            _log.warning("reconcile.missing", files=found)
        if len(looked_at) < len(jobs):
            return len(looked_at), found, looked_at[-1].place if looked_at else after
        return len(jobs), found, jobs[-1].place if len(jobs) == self.page else None

    async def _stored(self, job: NamedFiles) -> set[ArtifactKey]:
        """Return those of the files that a job names which the store has."""
        if not job.keys:
            return set()
        prefix = job_prefix(job.owner, job.job_id)
        seen = {key for key in job.keys if not key.startswith(prefix)}
        for key in list(seen):
            if await self.artifacts.stat(key) is None:
                seen.remove(key)
        after = ""
        while len(seen) < len(job.keys):
            files = await self.artifacts.list_files(prefix, after=after, limit=_LISTED)
            seen |= job.keys & {file.key for file in files}
            if len(files) < _LISTED:
                break
            after = files[-1].key
        return seen

    async def _give_up(self) -> int:
        """Let jobs name files no more that have been missing for too long."""
        now = self.clock.now()
        lost: list[MissingFile] = []
        back: list[MissingFile] = []
        noted = await self.reconciliation.missing_since(now, limit=self.most_missing + 1)
        if len(noted) > self.most_missing:
            _log.error("reconcile.too_much_missing")  # another bucket, rather than lost files
            return 0
        due = await self.reconciliation.missing_since(now - GRACE, limit=self.page)

        async def look_again(file: MissingFile) -> None:
            (lost if await self.artifacts.stat(file.key) is None else back).append(file)

        await each_within(Budget(self.budget), due, look_again)
        if not lost and not back:
            return 0
        given_up = await self.reconciliation.give_up(lost, back, now=now)
        for file in lost:
            _log.error("reconcile.lost", job_id=job_text(file.job_id))
        return given_up


def _leading(jobs: Sequence[NamedFiles], done: Sequence[NamedFiles]) -> Sequence[NamedFiles]:
    """Return the jobs up to the first that was not looked at."""
    looked_at = {job.job_id for job in done}
    for count, job in enumerate(jobs):
        if job.job_id not in looked_at:
            return jobs[:count]
    return jobs
