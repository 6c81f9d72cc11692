"""Port to what is due for removal, over all tenants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from genjobs.domain.retention import DueJob


class RetentionLedger(Protocol):
    """
    Which jobs have outlived what they are kept for.

    Files are removed first and rows are told afterwards, so nothing is forgotten when a process
    dies in between: what was taken is given again once ``RetentionRules.taken`` has passed, and
    not before, whoever asks. Only final jobs are ever due, which nothing else changes. Every method
    raises ``Unavailable`` when the database cannot be reached; each may be repeated.
    """

    async def take_inputs(self, *, now: datetime, limit: int) -> Sequence[DueJob]:
        """Take at most ``limit`` jobs that ended long enough ago for their inputs to go."""

    async def inputs_gone(self, jobs: Sequence[DueJob], *, now: datetime) -> int:
        """
        Forget inputs and workflow documents of jobs whose files are gone.

        Return of how many; one whose were gone already is not counted again.
        """

    async def take_ended(self, *, now: datetime, limit: int) -> Sequence[DueJob]:
        """Take at most ``limit`` jobs whose retention has ended."""

    async def ended_gone(self, jobs: Sequence[DueJob], *, now: datetime) -> int:
        """
        Leave tombstones of jobs whose files are gone, and return of how many.

        ``purged_at`` is ``now``; outputs, inputs, workflow and metadata are gone, of an error the
        code is left, and its uploads are let go. Who reads the job sees that it has changed. One
        that was purged already must not be counted, or changed, again.
        """

    async def drop_tombstones(self, *, now: datetime, limit: int) -> int:
        """Remove at most ``limit`` jobs, oldest first, whose tombstone has stood long enough."""
