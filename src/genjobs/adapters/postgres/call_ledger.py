"""What is kept of calls, on Postgres. Each method is one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from genjobs.adapters.postgres.pool import Pool
from genjobs.domain.attempts import Assignment

_NOTE: Final = "SELECT genjobs.note_call($1, $2, $3, $4) AS wanted"
_WITHDRAW: Final = "SELECT genjobs.withdraw($1, $2, $3, $4) AS done"
_CALLS: Final = """
SELECT a.call_id
FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS n (tenant_id, job_id, attempt)
JOIN genjobs.attempts a
    ON a.tenant_id = n.tenant_id AND a.job_id = n.job_id AND a.attempt = n.attempt
WHERE a.call_id IS NOT NULL
"""


class PostgresCallLedger:
    """The ``CallLedger`` port; connects as the worker role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, assignment: Assignment, call_id: str) -> bool:
        """See the port."""
        row = await self._pool.row(_NOTE, *_named(assignment), call_id)
        return row is not None and bool(row["wanted"])

    async def withdraw(self, assignment: Assignment, *, now: datetime) -> bool:
        """See the port."""
        row = await self._pool.row(_WITHDRAW, *_named(assignment), now)
        return row is not None and bool(row["done"])

    async def calls_of(self, attempts: Sequence[Assignment]) -> Sequence[str]:
        """See the port."""
        rows = await self._pool.rows(
            _CALLS,
            [attempt.owner.tenant_id for attempt in attempts],
            [attempt.job_id for attempt in attempts],
            [attempt.attempt for attempt in attempts],
        )
        return [row["call_id"] for row in rows]


def _named(assignment: Assignment) -> tuple[object, ...]:
    return assignment.owner.tenant_id, assignment.job_id, assignment.attempt
