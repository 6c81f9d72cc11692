"""
Sweep: find and remove stored files that belong to no job and no upload.

They are left by submits, ingests and attempts whose process died, or whose outcome was another's;
and by whoever put a file late, by the URL of an upload that is gone.
A page of the store at a time, seldom, from where the last page ended, whoever swept it. A file is
left alone until it is older than any submit can take; then the ledger says whether a job needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.domain.job_files import job_file
from genjobs.domain.ports import ArtifactStore, Clock, Supervision, UploadLedger
from genjobs.domain.uploads import upload_file

#: Between two pages while there are more, and between two sweeps.
PAGE_EVERY: Final = timedelta(minutes=1)
SWEEP_EVERY: Final = timedelta(hours=1)
#: Younger files may be of a submit whose job is not created yet.
GRACE: Final = timedelta(hours=1)
_PAGE: Final = 1000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptPage:
    """What one page of the store held."""

    files: int
    #: Old enough, and of no job and no upload.
    orphans: int
    #: Of no form that is made here: they are left alone.
    unknown: int
    #: The last file; None when there are no more behind it.
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFiles:
    """The use case."""

    artifacts: ArtifactStore
    supervision: Supervision
    uploads: UploadLedger
    clock: Clock
    grace: timedelta = GRACE
    page: int = _PAGE

    async def __call__(self) -> int:
        """
        Sweep a page if one is due; return how many files were removed.

        Raises:
            Unavailable: the page is swept again when the next one is due.
        """
        now = self.clock.now()
        after = await self.supervision.take_sweep(now=now, every=PAGE_EVERY)
        if after is None:
            return 0
        page = await self.look(after)
        if page.unknown:
            _log.warning("sweep.unknown", files=page.unknown)
        if page.last is None:
            await self.supervision.keep_sweep("", due=now + SWEEP_EVERY)
        else:
            await self.supervision.keep_sweep(page.last, due=now + PAGE_EVERY)
        return page.orphans

    async def look(self, after: str, *, remove: bool = True) -> SweptPage:
        """
        Look at the files behind ``after``, and remove those that nobody needs.

        Raises:
            Unavailable: of the store or the database; looking again is safe.
        """
        now = self.clock.now()
        files = await self.artifacts.list_files("", after=after, limit=self.page)
        old = [file.key for file in files if file.stored_at <= now - self.grace]
        known = [found for found in map(job_file, old) if found is not None]
        orphans = await self.supervision.orphans(known) if known else frozenset()
        uploaded = [found for found in map(upload_file, old) if found is not None]
        if uploaded:
            orphans |= await self.uploads.orphans(uploaded)
        if orphans and remove:
            await self.artifacts.delete(sorted(orphans))
            _log.info("sweep.removed", files=len(orphans))
        return SweptPage(
            files=len(files),
            orphans=len(orphans),
            unknown=len(old) - len(known) - len(uploaded),
            last=files[-1].key if len(files) == self.page else None,
        )
