"""
Inventory: hold the whole artifact store and all jobs against each other once, for an operator.

Supervisors do the same a page at a time. This goes through everything, from the beginning to the
end, and leaves their places as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from genjobs.application.reconcile import ReconcileFiles
from genjobs.application.sweep import SweepFiles
from genjobs.domain.errors import Unavailable
from genjobs.domain.reconciliation import JobPlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What was found."""

    files: int
    #: Of no job and no upload, and older than the sweep's grace.
    orphans: int
    #: Of no form that is made here.
    unknown: int
    #: Whether the orphans were removed.
    removed: bool
    jobs: int
    #: Files that jobs name and the store has not, seen for the first time.
    newly_missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeInventory:
    """The use case."""

    sweep: SweepFiles
    reconcile: ReconcileFiles

    async def __call__(self, *, remove: bool = False) -> Inventory:
        """
        Look at everything, and remove orphans if ``remove``; missing files are noted.

        Raises:
            Unavailable: the store or the database cannot be reached, or is too slow.
        """
        files = orphans = unknown = jobs = missing = 0
        after: str | None = ""
        while after is not None:
            page = await self.sweep.look(after, remove=remove)
            files, orphans = files + page.files, orphans + page.orphans
            unknown, after = unknown + page.unknown, page.last
        place: JobPlace | None = JobPlace()
        while place is not None:
            looked, found, further = await self.reconcile.look(place)
            if further == place:
                raise Unavailable("The artifact store does not answer in time.")
            jobs, missing, place = jobs + looked, missing + found, further
        return Inventory(
            files=files,
            orphans=orphans,
            unknown=unknown,
            removed=remove,
            jobs=jobs,
            newly_missing=missing,
        )
