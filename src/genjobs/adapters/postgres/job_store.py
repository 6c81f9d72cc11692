"""The tenant's side of the jobs on Postgres. Each method is one round trip, a replay two."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from genjobs.adapters.postgres.limits import allowance_of, dump_limits, refusal_of
from genjobs.adapters.postgres.pool import Pool
from genjobs.adapters.postgres.revision import HEAD
from genjobs.adapters.postgres.rows import JOB_COLUMNS, created_job, dump, dump_pending, job_of
from genjobs.domain.errors import ConfigurationError, IdempotencyMismatch, Unavailable
from genjobs.domain.ids import JobId, unix_milliseconds
from genjobs.domain.job import Created, Idempotency, Job, JobQuery, NewJob
from genjobs.domain.limits import IDEMPOTENCY_LIFE
from genjobs.domain.plans import DefaultLimits
from genjobs.domain.tenancy import Owner, Reach

_GET: Final = f"SELECT {JOB_COLUMNS}, queue_position FROM genjobs.get_job($1, $2, $3)"
#: Arrays as texts: of all other types asyncpg asks the server first, on each connection.
_CREATE: Final = """
SELECT * FROM genjobs.create_job(
    $1, $2, $3, $4, $5::jsonb, $6, $7::jsonb, $8, $9, $10, $11, $12, $13, $14, $15, $16,
    $17::jsonb, $18, $19, $20, $21::jsonb, $22::jsonb, $23::text[]::uuid[])
"""
_CANCEL: Final = f"""
SELECT {JOB_COLUMNS}, queue_position FROM genjobs.request_cancel($1, $2, $3, $4)
"""
_FIND_KEY: Final = "SELECT fingerprint, job_id FROM genjobs.find_submitted($1, $2, $3, $4)"
_LIST: Final = f"""
SELECT {JOB_COLUMNS} FROM genjobs.list_jobs($1, $2, $3, $4, $5, $6, $7::text[], $8)
"""
_TOO_POWERFUL: Final = """
SELECT EXISTS (
    -- Itself, or what SET ROLE makes of it.
    SELECT 1 FROM pg_roles p
    WHERE (p.rolsuper OR p.rolbypassrls) AND pg_has_role(r.oid, p.oid, 'MEMBER')
) OR EXISTS (
    SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'genjobs' AND pg_has_role(r.oid, c.relowner, 'MEMBER')
) AS too_powerful
FROM pg_roles r WHERE r.rolname = current_user
"""
_REVISION: Final = "SELECT version_num FROM genjobs.alembic_version"
_FIRST_ID: Final = UUID(int=0)
_LAST_ID: Final = UUID(int=2**128 - 1)
#: The first and the last moment that Python can tell.
_ALWAYS: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class PostgresJobStore:
    """The ``JobStore`` port; connects as the API role."""

    def __init__(self, pool: Pool, defaults: DefaultLimits | None = None) -> None:
        self._pool = pool
        defaults = defaults or DefaultLimits()
        self._tenant_limits = dump_limits(defaults.tenant)
        self._user_limits = dump_limits(defaults.user)

    async def find_submitted(
        self, owner: Owner, idempotency: Idempotency, *, now: datetime
    ) -> Job | None:
        """See the port."""
        row = await self._pool.row(
            _FIND_KEY, owner.tenant_id, owner.user_id, idempotency.key, now - IDEMPOTENCY_LIFE
        )
        if row is None:
            return None
        if row["fingerprint"] != idempotency.fingerprint:
            raise IdempotencyMismatch
        return await self._get(owner.tenant_id, owner.user_id, row["job_id"])

    async def create(self, job: NewJob) -> Created:
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
            job.run_timeout_asked,
            job.retention,
            job.retention_asked,
            job.idempotency.key if job.idempotency else None,
            job.idempotency.fingerprint if job.idempotency else None,
            IDEMPOTENCY_LIFE,
            dump_pending(job.pending) if job.pending else None,
            job.ingest_deadline,
            job.plan,
            sum(entry.bytes for entry in job.inputs),
            self._tenant_limits,
            self._user_limits,
            sorted(map(str, job.uploads)) or None,
        )
        assert row is not None  # noqa: S101  (the function returns one row)
        if row["outcome"] == "created":
            return Created(job=created_job(job, row), replayed=False, allowance=allowance_of(row))
        if row["outcome"] != "replayed":
            raise refusal_of(row)
        earlier = await self._get(job.owner.tenant_id, job.owner.user_id, row["job_id"])
        if earlier is None:
            raise Unavailable("The job submitted under this key is being removed.")
        return Created(job=earlier, replayed=True)

    async def get(self, reach: Reach, job_id: JobId) -> Job | None:
        """See the port."""
        return await self._get(reach.tenant_id, reach.user_id, job_id)

    async def list_jobs(self, reach: Reach, query: JobQuery) -> Sequence[Job]:
        """See the port."""
        rows = await self._pool.rows(_LIST, *listing_values(reach, query))
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

        That is a superuser, one that bypasses row-level security, a member of such a role, or an
        owner of our tables.
        """
        row = await self._pool.row(_TOO_POWERFUL)
        if row is None or row["too_powerful"]:
            raise ConfigurationError(
                "the API's database role is a superuser, bypasses row-level security, is a member "
                "of a role that does, or owns the tables; connect as a member of genjobs_api that "
                "does not"
            )

    async def _get(self, tenant_id: UUID, user_id: str | None, job_id: UUID) -> Job | None:
        row = await self._pool.row(_GET, tenant_id, job_id, user_id)
        return None if row is None else job_of(row, queue_position=row["queue_position"])


def listing_values(reach: Reach, query: JobQuery) -> list[Any]:
    """Return the values of the listing's statement."""
    after, until = query.created_after, query.created_before
    first = _FIRST_ID if after is None else _bound(after, 0)
    last = _LAST_ID if until is None else _bound(until, 1)
    return [
        reach.tenant_id,
        reach.user_id,
        first,
        last if query.before is None else min(last, query.before),
        after or _ALWAYS[0],
        until or _ALWAYS[1],
        sorted(query.statuses) or None,
        query.limit,
    ]


def _bound(at: datetime, extra: int) -> UUID:
    """Return the smallest id of the millisecond of ``at``, plus ``extra`` milliseconds."""
    milliseconds = min(max(unix_milliseconds(at) + extra, 0), (1 << 48) - 1)
    return UUID(int=milliseconds << 80)
