"""What supervisors share, on Postgres. Each method is one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from genjobs.adapters.postgres.pool import Pool
from genjobs.adapters.postgres.rows import dump, owner_of, rescue_of
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.attempts import Execution, Rescue
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import WorkerLost
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import JobError
from genjobs.domain.supervision import Deeds, JobFile, Patience, SilentCancel, Termination

_BEGIN: Final = "SELECT genjobs.begin_tick($1, $2, $3, $4) AS grace"
_END: Final = "SELECT genjobs.end_tick($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_RECOUNT: Final = "SELECT drift FROM genjobs.recount_next()"
_SILENT: Final = "SELECT * FROM genjobs.take_silent($1, $2, $3, $4, $5, $6)"
_END_SILENT: Final = """
SELECT * FROM genjobs.end_silent($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb)
"""
_PAUSE: Final = "SELECT genjobs.pause_dispatch($1)"
_RESUME: Final = "SELECT genjobs.resume_dispatch()"
_TAKE_SWEEP: Final = "SELECT take_sweep AS swept FROM genjobs.take_sweep($1, $2)"
_KEEP_SWEEP: Final = "SELECT genjobs.keep_sweep($1, $2)"
#: Each file looks its own job up: a plan that reads all jobs would not be cheaper at any size.
ORPHANS: Final = """
SELECT f.key
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[], $5::integer[])
    AS f (tenant_id, job_id, key, attempt, claim)
WHERE EXISTS (
    SELECT 1 FROM genjobs.tenant_load t WHERE t.tenant_id = f.tenant_id
    OFFSET 0
) AND NOT EXISTS (
    SELECT 1 FROM genjobs.jobs j
    WHERE j.tenant_id = f.tenant_id AND j.id = f.job_id AND (
        j.inputs @> jsonb_build_array(jsonb_build_object('key', f.key))
        OR j.outputs @> jsonb_build_array(jsonb_build_object('key', f.key))
        OR j.slot_no IS NOT NULL AND j.attempt = f.attempt)
    OFFSET 0
) AND NOT EXISTS (
    SELECT 1 FROM genjobs.ingests g
    WHERE g.tenant_id = f.tenant_id AND g.job_id = f.job_id AND g.claim = f.claim
      AND g.execution_id IS NOT NULL
    OFFSET 0
)
"""


class PostgresSupervision:
    """The ``Supervision`` port; connects as the worker role."""

    def __init__(self, pool: Pool, deadlines: Deadlines) -> None:
        self._pool = pool
        self._deadlines = deadlines
        self._patience = Patience.of(deadlines)

    async def begin_tick(self, *, now: datetime) -> bool:
        """See the port."""
        patience = self._patience
        row = await self._pool.row(
            _BEGIN, now, patience.longest_gap, patience.lease, patience.most_gaps
        )
        return bool(row and row["grace"])

    async def end_tick(self, deeds: Deeds) -> None:
        """See the port."""
        await self._pool.rows(
            _END,
            deeds.rescues,
            deeds.ingest_rescues,
            deeds.escalations,
            deeds.drift,
            deeds.swept_files,
            deeds.purged_inputs,
            deeds.purged_jobs,
            deeds.purged_rows,
            deeds.erased_jobs,
            deeds.lost_files,
        )

    async def recount_next(self) -> int | None:
        """See the port."""
        row = await self._pool.row(_RECOUNT)
        return None if row is None else int(row["drift"])

    async def silent_cancels(self, *, now: datetime, limit: int) -> Sequence[SilentCancel]:
        """See the port."""
        patience = self._patience
        rows = await self._pool.rows(
            _SILENT,
            now,
            limit,
            patience.lease,
            patience.silence,
            patience.deafness,
            patience.pause,
        )
        return [
            SilentCancel(
                execution=Execution(
                    owner=owner_of(row),
                    job_id=JobId(row["job_id"]),
                    attempt=row["attempt"],
                    execution_id=ExecutionId(row["execution_id"]),
                ),
                call_id=row["call_id"],
                terminations=row["terminations"],
            )
            for row in rows
        ]

    async def end_silent(
        self, silent: SilentCancel, seen: Termination, *, now: datetime
    ) -> Sequence[Rescue]:
        """See the port."""
        execution = silent.execution
        rows = await self._pool.rows(
            _END_SILENT,
            execution.owner.tenant_id,
            execution.job_id,
            execution.attempt,
            execution.execution_id,
            silent.call_id,
            now,
            seen.value,
            self._deadlines.max_attempts,
            self._deadlines.backoff,
            self._deadlines.max_backoff,
            dump(JobError.of(WorkerLost())),
        )
        return [rescue_of(row) for row in rows]

    async def pause(self, *, now: datetime) -> None:
        """See the port."""
        await self._pool.rows(_PAUSE, now)

    async def resume(self) -> None:
        """See the port."""
        await self._pool.rows(_RESUME)

    async def take_sweep(self, *, now: datetime, every: timedelta) -> str | None:
        """See the port."""
        row = await self._pool.row(_TAKE_SWEEP, now, every)
        return None if row is None else str(row["swept"])

    async def keep_sweep(self, after: str, *, due: datetime) -> None:
        """See the port."""
        await self._pool.rows(_KEEP_SWEEP, after, due)

    async def orphans(self, files: Sequence[JobFile]) -> frozenset[ArtifactKey]:
        """See the port."""
        rows = await self._pool.rows(
            ORPHANS,
            [file.tenant_id for file in files],
            [file.job_id for file in files],
            [file.key for file in files],
            [file.attempt for file in files],
            [file.claim for file in files],
        )
        return frozenset(ArtifactKey(row["key"]) for row in rows)
