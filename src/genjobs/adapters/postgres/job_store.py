"""The tenant's side of the jobs on Postgres. Each method is one round trip, a replay two."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from genjobs.adapters.postgres.pool import Pool
from genjobs.adapters.postgres.revision import HEAD
from genjobs.adapters.postgres.rows import JOB_COLUMNS, created_job, dump, dump_pending, job_of
from genjobs.domain.errors import ConfigurationError, IdempotencyMismatch, Unavailable
from genjobs.domain.ids import JobId, unix_milliseconds
from genjobs.domain.job import Idempotency, Job, JobQuery, NewJob
from genjobs.domain.tenancy import Owner, Reach

_GET: Final = f"""
SELECT {JOB_COLUMNS}, queue_position FROM genjobs.job_views
WHERE tenant_id = $1 AND id = $2 AND ($3::text IS NULL OR user_id = $3)
"""
_CREATE: Final = """
SELECT outcome, job_id, queue_position FROM genjobs.create_job(
    $1, $2, $3, $4, $5::jsonb, $6, $7::jsonb, $8, $9, $10, $11, $12, $13, $14::jsonb, $15)
"""
_CANCEL: Final = f"""
SELECT {JOB_COLUMNS}, queue_position FROM genjobs.request_cancel($1, $2, $3, $4)
"""
_FIND_KEY: Final = """
SELECT fingerprint, job_id FROM genjobs.idempotency
WHERE tenant_id = $1 AND user_id = $2 AND key = $3
"""
_TOO_POWERFUL: Final = """
SELECT r.rolsuper OR r.rolbypassrls OR EXISTS (
    SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'genjobs' AND pg_has_role(r.oid, c.relowner, 'MEMBER')
) AS too_powerful
FROM pg_roles r WHERE r.rolname = current_user
"""
_REVISION: Final = "SELECT version_num FROM genjobs.alembic_version"


class PostgresJobStore:
    """The ``JobStore`` port; connects as the API role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find_submitted(self, owner: Owner, idempotency: Idempotency) -> Job | None:
        """See the port."""
        row = await self._pool.row(_FIND_KEY, owner.tenant_id, owner.user_id, idempotency.key)
        if row is None:
            return None
        if row["fingerprint"] != idempotency.fingerprint:
            raise IdempotencyMismatch
        return await self._get(owner.tenant_id, owner.user_id, row["job_id"])

    async def create(self, job: NewJob) -> tuple[Job, bool]:
        """See the port."""
        row = await self._pool.row(
            _CREATE,
            job.owner.tenant_id,
            job.owner.user_id,
            job.id,
            job.workflow,
            dump(job.inputs),
            job.priority,
            dump(job.metadata),
            job.created_at,
            job.queue_deadline - (job.ingest_deadline or job.created_at),
            job.run_timeout,
            job.retention,
            job.idempotency.key if job.idempotency else None,
            job.idempotency.fingerprint if job.idempotency else None,
            dump_pending(job.pending) if job.pending else None,
            job.ingest_deadline,
        )
        assert row is not None  # noqa: S101  (the function returns one row)
        if row["outcome"] == "created":
            return created_job(job, row["queue_position"]), False
        if row["outcome"] == "mismatch":
            raise IdempotencyMismatch
        earlier = await self._get(job.owner.tenant_id, job.owner.user_id, row["job_id"])
        if earlier is None:
            raise Unavailable("The job submitted under this key is being removed.")
        return earlier, True

    async def get(self, reach: Reach, job_id: JobId) -> Job | None:
        """See the port."""
        return await self._get(reach.tenant_id, reach.user_id, job_id)

    async def list_jobs(self, reach: Reach, query: JobQuery) -> Sequence[Job]:
        """See the port."""
        statement, values = _listing(reach, query)
        rows = await self._pool.rows(statement, *values)
        return [job_of(row, queue_position=None) for row in rows]

    async def request_cancel(self, reach: Reach, job_id: JobId, *, now: datetime) -> Job | None:
        """See the port."""
        row = await self._pool.row(_CANCEL, reach.tenant_id, reach.user_id, job_id, now)
        return None if row is None else job_of(row, queue_position=row["queue_position"])

    async def check(self) -> None:
        """See the port; a database that is ahead of this version is fine."""
        row = await self._pool.row(_REVISION)
        if row is None or row["version_num"] < HEAD:
            raise Unavailable("The database has not this version's schema.")

    async def refuse_powerful_role(self) -> None:
        """
        Raise ``ConfigurationError`` when the connected role could pass the walls made for it.

        That is a superuser, one that bypasses row-level security, or an owner of our tables.
        """
        row = await self._pool.row(_TOO_POWERFUL)
        if row is None or row["too_powerful"]:
            raise ConfigurationError(
                "the API's database role is a superuser, bypasses row-level security or owns the "
                "tables; connect as a member of genjobs_api that does not"
            )

    async def _get(self, tenant_id: UUID, user_id: str | None, job_id: UUID) -> Job | None:
        row = await self._pool.row(_GET, tenant_id, job_id, user_id)
        return None if row is None else job_of(row, queue_position=row["queue_position"])


def _listing(reach: Reach, query: JobQuery) -> tuple[str, list[Any]]:
    """Return the statement of a listing: one text for each set of filters, so few are prepared."""
    values: list[Any] = []

    def value(item: object) -> str:
        values.append(item)
        return f"${len(values)}"

    where = [f"tenant_id = {value(reach.tenant_id)}"]
    if reach.user_id is not None:
        where.append(f"user_id = {value(reach.user_id)}")
    if query.before is not None:
        where.append(f"id < {value(query.before)}")
    if query.statuses:
        where.append(f"status = ANY({value(sorted(query.statuses))}::text[])")
    # Ids begin with their millisecond, so times bound the walk of the index too.
    if query.created_after is not None:
        where.append(f"created_at >= {value(query.created_after)}")
        where.append(f"id >= {value(_bound(query.created_after, 0))}")
    if query.created_before is not None:
        where.append(f"created_at < {value(query.created_before)}")
        where.append(f"id < {value(_bound(query.created_before, 1))}")
    statement = (
        f"SELECT {JOB_COLUMNS} FROM genjobs.job_views WHERE {' AND '.join(where)} "
        f"ORDER BY id DESC LIMIT {value(query.limit)}"
    )
    return statement, values


def _bound(at: datetime, extra: int) -> UUID:
    """Return the smallest id of the millisecond of ``at``, plus ``extra`` milliseconds."""
    milliseconds = min(max(unix_milliseconds(at) + extra, 0), (1 << 48) - 1)
    return UUID(int=milliseconds << 80)
