"""The system's side of the jobs on Postgres. Each method is one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from genjobs.adapters.postgres.overview import OVERVIEW
from genjobs.adapters.postgres.pool import Pool, Record
from genjobs.adapters.postgres.rows import dump, inputs_of, owner_of, rescue_of
from genjobs.domain.attempts import (
    Assignment,
    Beat,
    BeatReply,
    Completed,
    Execution,
    Failed,
    Outcome,
    Recorded,
    Rescue,
    StartedJob,
    Stopped,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import QueueTimeout, StaleAttempt, WorkerLost
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import JobError, Timings
from genjobs.domain.limits import IDEMPOTENCY_LIFE
from genjobs.domain.ports import Overview, Pruned

_DISPATCH: Final = "SELECT tenant_id, user_id, job_id, attempt FROM genjobs.dispatch($1, $2, $3)"
_START: Final = """
SELECT document, inputs, run_timeout, cancel_requested
FROM genjobs.start_attempt($1, $2, $3, $4, $5, $6, $7)
"""
_HEARTBEAT: Final = """
UPDATE genjobs.slots s SET
    lease_expires_at = $7::timestamptz + $8::interval,
    phase = b.phase,
    progress = b.progress::jsonb,
    beat = s.beat + ((s.phase, s.progress) IS DISTINCT FROM (b.phase, b.progress::jsonb))::integer
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::text[], $6::text[])
    AS b (tenant_id, job_id, attempt, execution_id, phase, progress)
JOIN genjobs.jobs j ON j.tenant_id = b.tenant_id AND j.id = b.job_id
WHERE s.slot_no = j.slot_no AND s.tenant_id = b.tenant_id AND s.job_id = b.job_id
  AND s.attempt = b.attempt AND s.execution_id = b.execution_id
RETURNING s.execution_id, s.cancel_requested
"""
_END: Final = """
SELECT genjobs.end_execution(
    $1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9, $10, $11, $12::jsonb) AS yours
"""
_CRASH: Final = """
SELECT genjobs.crash_execution($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb) AS yours
"""
_EXPIRE: Final = "SELECT * FROM genjobs.expire_queued($1, $2, $3::jsonb)"
_RECLAIM: Final = "SELECT * FROM genjobs.reclaim_unstarted($1, $2)"
_RESCUE: Final = "SELECT * FROM genjobs.rescue_lost($1, $2, $3, $4, $5, $6::jsonb)"
_PRUNE: Final = "SELECT keys, loads FROM genjobs.prune($1, $2, $3)"


class PostgresJobLedger:
    """The ``JobLedger`` port; connects as the worker role."""

    def __init__(self, pool: Pool, deadlines: Deadlines, call_id: str | None = None) -> None:
        """Take ``call_id`` for starts that name none."""
        self._pool = pool
        self._deadlines = deadlines
        self._call_id = call_id

    async def dispatch(self, *, now: datetime, limit: int) -> Sequence[Assignment]:
        """See the port."""
        rows = await self._pool.rows(_DISPATCH, now, limit, self._deadlines.start)
        return [
            Assignment(owner=owner_of(row), job_id=JobId(row["job_id"]), attempt=row["attempt"])
            for row in rows
        ]

    async def start(
        self,
        assignment: Assignment,
        execution_id: ExecutionId,
        *,
        now: datetime,
        call_id: str | None = None,
    ) -> StartedJob:
        """See the port."""
        row = await self._pool.row(
            _START,
            assignment.owner.tenant_id,
            assignment.job_id,
            assignment.attempt,
            execution_id,
            now,
            self._deadlines.lease,
            call_id or self._call_id,
        )
        if row is None:
            raise StaleAttempt
        return StartedJob(
            execution=Execution(
                owner=assignment.owner,
                job_id=assignment.job_id,
                attempt=assignment.attempt,
                execution_id=execution_id,
            ),
            workflow=row["document"],
            inputs=inputs_of(row["inputs"]),
            run_timeout=row["run_timeout"],
            cancel_requested=row["cancel_requested"],
        )

    async def heartbeat(
        self, beats: Sequence[Beat], *, now: datetime
    ) -> Mapping[ExecutionId, BeatReply]:
        """See the port."""
        executions = [beat.execution for beat in beats]
        rows = await self._pool.rows(
            _HEARTBEAT,
            [execution.owner.tenant_id for execution in executions],
            [execution.job_id for execution in executions],
            [execution.attempt for execution in executions],
            [execution.execution_id for execution in executions],
            [beat.phase.value for beat in beats],
            [dump(beat.progress) if beat.progress else None for beat in beats],
            now,
            self._deadlines.lease,
            seconds=self._deadlines.beat().total_seconds(),
        )
        renewed = {
            row["execution_id"]: BeatReply.CANCEL if row["cancel_requested"] else BeatReply.GO_ON
            for row in rows
        }
        return {
            execution.execution_id: renewed.get(execution.execution_id, BeatReply.LEASE_LOST)
            for execution in executions
        }

    async def finish(self, execution: Execution, outcome: Outcome, *, now: datetime) -> Recorded:
        """See the port."""
        match outcome:
            case Completed():
                return await self._end(
                    execution, now, "completed", outcome.timings, outputs=dump(outcome.outputs)
                )
            case Failed():
                return await self._end(
                    execution, now, "failed", outcome.timings, error=dump(outcome.error)
                )
            case Stopped():
                return await self._end(
                    execution,
                    now,
                    "stopped",
                    outcome.timings,
                    method=outcome.method.value,
                    stopped_at=outcome.stopped_at,
                    gpu_after=outcome.gpu_seconds_after_request,
                )

    async def release(self, execution: Execution, *, now: datetime) -> Recorded:
        """See the port."""
        return await self._end(execution, now, "released", Timings())

    async def crash(self, execution: Execution, error: JobError, *, now: datetime) -> Recorded:
        """See the port."""
        row = await self._pool.row(
            _CRASH,
            execution.owner.tenant_id,
            execution.job_id,
            execution.attempt,
            execution.execution_id,
            now,
            self._deadlines.max_attempts,
            self._deadlines.backoff,
            self._deadlines.max_backoff,
            dump(error),
        )
        return _recorded(row)

    async def _end(
        self,
        execution: Execution,
        now: datetime,
        kind: str,
        timings: Timings,
        *,
        outputs: str | None = None,
        error: str | None = None,
        method: str | None = None,
        stopped_at: datetime | None = None,
        gpu_after: float | None = None,
    ) -> Recorded:
        row = await self._pool.row(
            _END,
            execution.owner.tenant_id,
            execution.job_id,
            execution.attempt,
            execution.execution_id,
            now,
            kind,
            outputs,
            error,
            method,
            stopped_at,
            gpu_after,
            dump(timings),
        )
        return _recorded(row)

    async def expire_queued(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        error = dump(JobError.of(QueueTimeout()))
        return [rescue_of(row) for row in await self._pool.rows(_EXPIRE, now, limit, error)]

    async def rescue_lost(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        rows = await self._pool.rows(
            _RESCUE,
            now,
            limit,
            self._deadlines.max_attempts,
            self._deadlines.backoff,
            self._deadlines.max_backoff,
            dump(JobError.of(WorkerLost())),
        )
        return [rescue_of(row) for row in rows]

    async def reclaim_unstarted(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        return [rescue_of(row) for row in await self._pool.rows(_RECLAIM, now, limit)]

    async def prune(self, *, now: datetime, limit: int) -> Pruned:
        """See the port."""
        row = await self._pool.row(_PRUNE, now, IDEMPOTENCY_LIFE, limit)
        assert row is not None  # noqa: S101  (the function returns one row)
        return Pruned(keys=row["keys"], loads=row["loads"])

    async def overview(self, *, now: datetime) -> Overview:
        """See the port; at most 10,000 queued jobs are counted."""
        row = await self._pool.row(OVERVIEW, now)
        assert row is not None  # noqa: S101  (an aggregate always has a row)
        return Overview(**dict(row))


def _recorded(row: Record | None) -> Recorded:
    return Recorded.YOURS if row is not None and row["yours"] else Recorded.STALE
