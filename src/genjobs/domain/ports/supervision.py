"""Ports of supervisors: what they share, and ending a worker that does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.attempts import Rescue
from genjobs.domain.supervision import Deeds, JobFile, SilentCancel, Termination


class Supervision(Protocol):
    """
    What any number of supervisors share: ticks, graces, counts, the pause, the sweep.

    Every method raises ``Unavailable`` when the database cannot be reached; each may be repeated.
    """

    async def begin_tick(self, *, now: datetime) -> bool:
        """
        Note a tick; return whether it gives every lease at least one lease more from ``now``.

        It must when the last tick, of any supervisor, was longer ago than the longest gap, or when
        there was none. It must not when so many ticks in a row as ``Patience`` says came after
        gaps: then supervisors are started now and then, and lost workers must be found all the
        same. Slots that are free and beyond the window are removed.
        """

    async def end_tick(self, deeds: Deeds) -> None:
        """Add up what was done."""

    async def recount_next(self) -> int | None:
        """
        Count one tenant's loads anew, mend them, and return how many counts were wrong.

        Tenants take turns; None when there is no tenant.
        """

    async def silent_cancels(self, *, now: datetime, limit: int) -> Sequence[SilentCancel]:
        """
        Return running attempts whose requested cancel is not answered, and note that they are told.

        That is: no sign of life for the time of silence since the request; or signs of life, no
        stop within the time of deafness, and not uploading. The same one must not be returned
        again, to anybody, before the pause is over. During a grace there are none.
        """

    async def end_silent(
        self, silent: SilentCancel, seen: Termination, *, now: datetime
    ) -> Sequence[Rescue]:
        """
        Cancel the attempt's job unless it has ended; return what was done with which job.

        The receipt must have no ``stopped_at``, and the method ``container_terminated`` when the
        worker was seen to be ended, else ``worker_lost``. When the worker is no more, its other
        attempts must be taken as well: queued again at once and not charged when it was ended,
        as lost ones when it had gone by itself.
        """

    async def pause(self, *, now: datetime) -> None:
        """Give out no slot any more, once this has returned; harmless when it is so already."""

    async def resume(self) -> None:
        """Give out slots again; harmless when it is so already."""

    async def take_sweep(self, *, now: datetime, every: timedelta) -> str | None:
        """
        Return after which file the sweep goes on ("" is before the first); None if it is not due.

        Only one of those who ask at once is told; the next page is due after ``every``.
        """

    async def keep_sweep(self, after: str, *, due: datetime) -> None:
        """Note after which file the sweep goes on, and when."""

    async def orphans(self, files: Sequence[JobFile]) -> frozenset[ArtifactKey]:
        """
        Return which files belong to no job and never will, in one statement.

        A file is needed while its job names it among inputs or outputs, or runs the attempt, or has
        the claim, under which it lies. Files of tenants that are not known here must be left alone.
        """


class WorkerControl(Protocol):
    """Ends workers from outside."""

    async def terminate(self, call_id: str) -> Termination:
        """
        End the worker that gave ``call_id`` when it started an attempt, and see it end.

        Nobody else may be hit, however old ``call_id`` is. Must come back in bounded time. A
        worker that may not be ended (its process does other things too) is ``UNKNOWN``.

        Raises:
            Unavailable: the platform that runs it cannot be asked just now.
        """
