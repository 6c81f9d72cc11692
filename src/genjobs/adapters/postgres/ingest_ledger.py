"""The ingests of all tenants on Postgres. Each method is one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from genjobs.adapters.postgres.pool import Pool
from genjobs.adapters.postgres.rows import dump, owner_of, pending_of, rescue_of
from genjobs.domain.artifacts import InputFile
from genjobs.domain.attempts import Recorded, Rescue
from genjobs.domain.errors import InputUnavailable, JobFailure
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.ingests import Ingest, IngestExecution, IngestRules
from genjobs.domain.job import JobError

#: More than this are not counted: the figure must not cost more with more jobs.
_COUNTED: Final = 10_000

_CLAIM: Final = "SELECT * FROM genjobs.claim_ingests($1, $2::uuid[], $3, $4, $5)"
#: Never waits: one that holds some of its rows while it waits for another can meet a rescue, which
#: holds some and waits for loads. A row that is locked just now is renewed by the next heartbeat.
_HEARTBEAT: Final = """
WITH b AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])
        AS b (tenant_id, job_id, execution_id)
), free AS (
    SELECT g.tenant_id, g.job_id FROM b JOIN genjobs.ingests g
        ON g.tenant_id = b.tenant_id AND g.job_id = b.job_id AND g.execution_id = b.execution_id
    FOR NO KEY UPDATE OF g SKIP LOCKED
), renewed AS (
    UPDATE genjobs.ingests g SET lease_expires_at = $4::timestamptz + $5::interval
    FROM free WHERE g.tenant_id = free.tenant_id AND g.job_id = free.job_id
)
SELECT g.execution_id FROM b JOIN genjobs.ingests g
    ON g.tenant_id = b.tenant_id AND g.job_id = b.job_id AND g.execution_id = b.execution_id
"""
_FINISH: Final = "SELECT genjobs.finish_ingest($1, $2, $3, $4, $5::jsonb) AS yours"
_SETTLE: Final = "SELECT genjobs.settle_ingest($1, $2, $3, $4, $5, $6::jsonb, $7, $8) AS yours"
_RESCUE: Final = "SELECT * FROM genjobs.rescue_ingests($1, $2, $3::jsonb, $4, $5)"
_BACKLOG: Final = f"""
SELECT count(*) AS backlog FROM (SELECT 1 FROM genjobs.ingests LIMIT {_COUNTED}) g
"""


class PostgresIngestLedger:
    """The ``IngestLedger`` port; connects as the worker role."""

    def __init__(self, pool: Pool, rules: IngestRules) -> None:
        self._pool = pool
        self._rules = rules

    async def claim(self, executions: Sequence[ExecutionId], *, now: datetime) -> Sequence[Ingest]:
        """See the port."""
        rules = self._rules
        rows = await self._pool.rows(
            _CLAIM, now, list(executions), rules.lease, rules.per_tenant, rules.per_user
        )
        return [
            Ingest(
                execution=IngestExecution(
                    owner=owner_of(row),
                    job_id=JobId(row["job_id"]),
                    claim=row["claim"],
                    execution_id=ExecutionId(row["execution_id"]),
                ),
                media=pending_of(row["sources"]),
                deadline=row["deadline"],
            )
            for row in rows
        ]

    async def heartbeat(
        self, executions: Sequence[IngestExecution], *, now: datetime
    ) -> frozenset[ExecutionId]:
        """See the port."""
        rows = await self._pool.rows(
            _HEARTBEAT,
            [execution.owner.tenant_id for execution in executions],
            [execution.job_id for execution in executions],
            [execution.execution_id for execution in executions],
            now,
            self._rules.lease,
        )
        return frozenset(ExecutionId(row["execution_id"]) for row in rows)

    async def finish(
        self, execution: IngestExecution, inputs: Sequence[InputFile], *, now: datetime
    ) -> Recorded:
        """See the port."""
        row = await self._pool.row(_FINISH, *_named(execution), now, dump(inputs))
        return Recorded.YOURS if row is not None and row["yours"] else Recorded.STALE

    async def refuse(
        self, execution: IngestExecution, failure: JobFailure, *, now: datetime
    ) -> Recorded:
        """See the port."""
        return await self._settle(execution, "refused", failure, now)

    async def retry(self, execution: IngestExecution, *, now: datetime) -> Recorded:
        """See the port."""
        return await self._settle(execution, "retry", InputUnavailable(), now)

    async def release(self, execution: IngestExecution, *, now: datetime) -> Recorded:
        """See the port."""
        return await self._settle(execution, "released", InputUnavailable(), now)

    async def _settle(
        self, execution: IngestExecution, kind: str, failure: JobFailure, now: datetime
    ) -> Recorded:
        row = await self._pool.row(
            _SETTLE,
            *_named(execution),
            now,
            kind,
            dump(JobError.of(failure)),
            self._rules.tries,
            self._rules.backoff,
        )
        return Recorded.YOURS if row is not None and row["yours"] else Recorded.STALE

    async def rescue(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        error = dump(JobError.of(InputUnavailable()))
        rows = await self._pool.rows(
            _RESCUE, now, limit, error, self._rules.tries, self._rules.backoff
        )
        return [rescue_of(row) for row in rows]

    async def backlog(self) -> int:
        """See the port."""
        row = await self._pool.row(_BACKLOG)
        assert row is not None  # noqa: S101  (an aggregate always has a row)
        count: int = row["backlog"]
        return count


def _named(execution: IngestExecution) -> tuple[object, ...]:
    return (execution.owner.tenant_id, execution.job_id, execution.execution_id)
