"""Calls in memory: what is kept of them, and an engine that can be called."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from genjobs.domain.attempts import Assignment
from genjobs.domain.calls import call_of
from genjobs.domain.errors import Unavailable
from genjobs.domain.lifecycle import JobEvent
from genjobs.domain.tenancy import Reach
from genjobs.testing.memory_rows import MemoryJobs, Row


class MemoryCallLedger:
    """The ``CallLedger`` port over jobs in memory."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def note(self, assignment: Assignment, call_id: str) -> bool:
        """See the port."""
        row = self._named(assignment)
        if row is None:
            return False
        slot = row.slot
        if slot is None or slot.attempt != assignment.attempt:
            row.call_ids.setdefault(assignment.attempt, call_id)
            return False
        if slot.execution_id is None:
            slot.call_id = row.call_ids[assignment.attempt] = call_id
        return not slot.cancel_requested

    async def withdraw(self, assignment: Assignment, *, now: datetime) -> bool:
        """See the port."""
        row = self._named(assignment)
        slot = row.slot if row else None
        if row is None or slot is None or slot.attempt != assignment.attempt:
            return False
        if slot.execution_id is not None:
            return False
        row.slot = None
        row.step(JobEvent.START_MISSED)
        return True

    async def calls_of(self, attempts: Sequence[Assignment]) -> Sequence[str]:
        """See the port."""
        named = [(self._named(attempt), attempt.attempt) for attempt in attempts]
        return [row.call_ids[number] for row, number in named if row and number in row.call_ids]

    def _named(self, assignment: Assignment) -> Row | None:
        reach = Reach(tenant_id=assignment.owner.tenant_id, user_id=None)
        return self._jobs.within(reach, assignment.job_id)


class MemoryCaller:
    """The ``Caller`` port: calls are kept until a test runs them; ``available`` switches it."""

    def __init__(self) -> None:
        #: Calls that were made and have not ended.
        self.open: dict[str, Assignment] = {}
        self.cancelled: list[str] = []
        self.made = 0
        self.available = True

    async def call(self, assignment: Assignment) -> str:
        """See the port."""
        if not self.available:
            raise Unavailable
        self.made += 1
        call_id = f"call-{self.made}"
        self.open[call_id] = assignment
        return call_id

    async def cancel(self, call_id: str) -> None:
        """See the port."""
        if not self.available:
            raise Unavailable
        if self.open.pop(call_of(call_id), None) is not None:
            self.cancelled.append(call_of(call_id))
