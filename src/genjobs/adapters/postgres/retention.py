"""What is due for removal, on Postgres. Each method is one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from genjobs.adapters.postgres.pool import Pool
from genjobs.adapters.postgres.rows import inputs_of, owner_of
from genjobs.domain.ids import JobId
from genjobs.domain.retention import ERROR_GONE, DueJob, RetentionRules

_TAKE_INPUTS: Final = "SELECT * FROM genjobs.take_inputs($1, $2, $3, $4)"
_INPUTS_GONE: Final = "SELECT genjobs.inputs_gone($1::uuid[], $2::uuid[], $3) AS jobs"
_TAKE_ENDED: Final = "SELECT * FROM genjobs.take_ended($1, $2, $3)"
_ENDED_GONE: Final = "SELECT genjobs.ended_gone($1::uuid[], $2::uuid[], $3, $4) AS jobs"
_DROP: Final = "SELECT genjobs.drop_tombstones($1, $2) AS jobs"


class PostgresRetention:
    """The ``RetentionLedger`` port; connects as the worker role."""

    def __init__(self, pool: Pool, rules: RetentionRules) -> None:
        self._pool = pool
        self._rules = rules

    async def take_inputs(self, *, now: datetime, limit: int) -> Sequence[DueJob]:
        """See the port."""
        rules = self._rules
        rows = await self._pool.rows(
            _TAKE_INPUTS, now, now - rules.inputs, now + rules.taken, limit
        )
        return [_due_of(row) for row in rows]

    async def inputs_gone(self, jobs: Sequence[DueJob], *, now: datetime) -> int:
        """See the port."""
        row = await self._pool.row(_INPUTS_GONE, *_named(jobs), now)
        return row["jobs"] if row else 0

    async def take_ended(self, *, now: datetime, limit: int) -> Sequence[DueJob]:
        """See the port."""
        rows = await self._pool.rows(_TAKE_ENDED, now, now + self._rules.taken, limit)
        return [_due_of(row) for row in rows]

    async def ended_gone(self, jobs: Sequence[DueJob], *, now: datetime) -> int:
        """See the port."""
        row = await self._pool.row(_ENDED_GONE, *_named(jobs), now, ERROR_GONE)
        return row["jobs"] if row else 0

    async def drop_tombstones(self, *, now: datetime, limit: int) -> int:
        """See the port."""
        row = await self._pool.row(_DROP, now - self._rules.tombstone, limit)
        return row["jobs"] if row else 0


def _due_of(row: Record) -> DueJob:
    return DueJob(
        owner=owner_of(row),
        job_id=JobId(row["job_id"]),
        inputs=tuple(entry.key for entry in inputs_of(row["inputs"])),
    )


def _named(jobs: Sequence[DueJob]) -> tuple[list[object], list[object]]:
    # In one order, so that two who tell of the same jobs do not wait for each other.
    ordered = sorted(jobs, key=lambda job: (job.owner.tenant_id, job.job_id))
    return [job.owner.tenant_id for job in ordered], [job.job_id for job in ordered]
