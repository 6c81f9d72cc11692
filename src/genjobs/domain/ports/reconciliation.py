"""Port to what rows name, to hold it against what the artifact store has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from genjobs.domain.reconciliation import JobPlace, MissingFile, NamedFiles


class Reconciliation(Protocol):
    """
    The files that jobs name, over all tenants, and those of them that are missing.

    Any number of supervisors may look. Every method raises ``Unavailable`` when the database cannot
    be reached; each may be repeated.
    """

    async def take_walk(self, *, now: datetime, every: timedelta) -> JobPlace | None:
        """
        Return after which job the look goes on; None if it is not due.

        Only one of those who ask at once is told; the next page is due after ``every``.
        """

    async def keep_walk(self, after: JobPlace, *, due: datetime) -> None:
        """Note after which job the look goes on, and when."""

    async def named(self, after: JobPlace, *, limit: int) -> Sequence[NamedFiles]:
        """
        Return the ``limit`` jobs behind ``after``, in the order of their places.

        Also those that name no file, so that a page costs the same whatever is in it; fewer than
        ``limit`` mean that there are no more.
        """

    async def note(
        self, looked_at: Sequence[NamedFiles], missing: Sequence[MissingFile], *, now: datetime
    ) -> int:
        """
        Note what is missing of jobs that were looked at, and return how much of it is news.

        What was noted before of these jobs and is there again is forgotten. A file that its job
        does not name any more, or of a job that is being purged, must not be noted.
        """

    async def missing_since(self, before: datetime, *, limit: int) -> Sequence[MissingFile]:
        """Return at most ``limit`` files that were noted before ``before``, oldest first."""

    async def give_up(
        self, lost: Sequence[MissingFile], back: Sequence[MissingFile], *, now: datetime
    ) -> int:
        """
        Let jobs name files no more that are ``lost``, and return how many that were.

        Those of a job that has not ended are left, and noted anew; those that are ``back`` are
        forgotten. A reader sees that the job has changed.
        """
