"""Erasures on Postgres, the tenant's side and the supervisors'. Each method is one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from asyncpg import Record

from genjobs.adapters.postgres.pool import Pool
from genjobs.adapters.postgres.rows import owner_of
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.credentials import TOKEN_LIFE
from genjobs.domain.erasure import Erased, Erasing, Erasure, ErasureKind
from genjobs.domain.ids import ErasureId, JobId, TenantId, UploadId
from genjobs.domain.retention import RetentionRules
from genjobs.domain.tenancy import Owner, Reach

_BEGIN: Final = "SELECT * FROM genjobs.begin_erasure($1, $2, $3, $4, $5)"
_GET: Final = "SELECT * FROM genjobs.get_erasure($1, $2)"
_TAKE: Final = "SELECT * FROM genjobs.take_erasures($1, $2, $3)"
_PUT_OFF: Final = "SELECT genjobs.put_off_erasure($1, $2, $3, $4)"
_OPEN: Final = "SELECT job_id FROM genjobs.open_jobs($1, $2, $3)"
#: Of a single job: whether it is there, and still goes on.
_ONE: Final = """
SELECT id AS job_id, finished_at IS NULL AS open FROM genjobs.jobs
WHERE tenant_id = $1 AND id = $2 AND user_id = $3
"""
_CANCEL: Final = "SELECT genjobs.cancel_erased($1, $2, $3, $4)"
_JOBS: Final = "SELECT job_id FROM genjobs.jobs_of($1, $2, $3)"
_JOBS_GONE: Final = """
SELECT genjobs.remove_erased($1, $2, $3::uuid[], $4::integer[], $5) AS gone
"""
_KEYS_GONE: Final = "SELECT genjobs.remove_keys($1, $2, $3, $4) AS gone"
_UPLOADS: Final = "SELECT id, key FROM genjobs.leave_uploads($1, $2, $3, $4)"
_UPLOADS_GONE: Final = "SELECT genjobs.remove_uploads($1, $2, $3, $4::uuid[]) AS gone"
_STRAYS: Final = "SELECT genjobs.count_strays($1, $2, $3)"
_FINISH: Final = "SELECT genjobs.finish_erasure($1, $2, $3) AS finished"
_TIDY: Final = "SELECT genjobs.tidy_erasures($1, $2, $3)"


class PostgresErasures:
    """The ``ErasureStore`` port; connects as the API role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin_user(
        self, owner: Owner, erasure_id: ErasureId, *, now: datetime
    ) -> Erasure | None:
        """See the port."""
        row = await self._pool.row(_BEGIN, owner.tenant_id, owner.user_id, None, erasure_id, now)
        return None if row is None else _erasure_of(row)

    async def begin_job(
        self, reach: Reach, job_id: JobId, erasure_id: ErasureId, *, now: datetime
    ) -> Erasure | None:
        """See the port."""
        row = await self._pool.row(_BEGIN, reach.tenant_id, reach.user_id, job_id, erasure_id, now)
        return None if row is None else _erasure_of(row)

    async def get(self, tenant_id: TenantId, erasure_id: ErasureId) -> Erasure | None:
        """See the port."""
        row = await self._pool.row(_GET, tenant_id, erasure_id)
        return None if row is None else _erasure_of(row)


class PostgresErasureLedger:
    """The ``ErasureLedger`` port; connects as the worker role."""

    def __init__(self, pool: Pool, rules: RetentionRules) -> None:
        self._pool = pool
        self._rules = rules

    async def take(self, *, now: datetime, limit: int) -> Sequence[Erasing]:
        """See the port."""
        rows = await self._pool.rows(_TAKE, now, now + self._rules.taken, limit)
        return [
            Erasing(
                id=ErasureId(row["id"]),
                owner=owner_of(row),
                job_id=None if row["whole_user"] else JobId(row["job_id"]),
                requested_at=row["requested_at"],
                busy_at=row["busy_at"],
            )
            for row in rows
        ]

    async def put_off(
        self, erasing: Erasing, *, until: datetime, busy_at: datetime | None = None
    ) -> None:
        """See the port."""
        await self._pool.rows(_PUT_OFF, erasing.owner.tenant_id, erasing.id, until, busy_at)

    async def open_jobs(self, erasing: Erasing, *, limit: int) -> Sequence[JobId]:
        """See the port."""
        if erasing.job_id is not None:
            row = await self._one(erasing)
            return [erasing.job_id] if row is not None and row["open"] else []
        owner = erasing.owner
        rows = await self._pool.rows(_OPEN, owner.tenant_id, owner.user_id, limit)
        return [JobId(row["job_id"]) for row in rows]

    async def cancel(self, erasing: Erasing, job_id: JobId, *, now: datetime) -> None:
        """See the port."""
        await self._pool.rows(_CANCEL, erasing.owner.tenant_id, erasing.id, job_id, now)

    async def jobs(self, erasing: Erasing, *, limit: int) -> Sequence[JobId]:
        """See the port."""
        if erasing.job_id is not None:
            return [] if await self._one(erasing) is None else [erasing.job_id]
        owner = erasing.owner
        rows = await self._pool.rows(_JOBS, owner.tenant_id, owner.user_id, limit)
        return [JobId(row["job_id"]) for row in rows]

    async def jobs_gone(
        self, erasing: Erasing, files: Mapping[JobId, int], *, now: datetime
    ) -> int:
        """See the port."""
        ids = sorted(files)
        return await self._gone(
            _JOBS_GONE, *_named(erasing), ids, [files[job_id] for job_id in ids], now
        )

    async def keys_gone(self, erasing: Erasing, *, limit: int) -> int:
        """See the port."""
        return await self._gone(_KEYS_GONE, *_named(erasing), erasing.owner.user_id, limit)

    async def uploads(
        self, erasing: Erasing, *, now: datetime, limit: int
    ) -> Mapping[UploadId, ArtifactKey]:
        """See the port."""
        owner, again = erasing.owner, now + self._rules.taken
        rows = await self._pool.rows(_UPLOADS, owner.tenant_id, owner.user_id, limit, again)
        return {UploadId(row["id"]): ArtifactKey(row["key"]) for row in rows}

    async def uploads_gone(self, erasing: Erasing, uploads: Sequence[UploadId]) -> int:
        """See the port."""
        user = erasing.owner.user_id
        return await self._gone(_UPLOADS_GONE, *_named(erasing), user, sorted(uploads))

    async def strays_gone(self, erasing: Erasing, files: int) -> None:
        """See the port."""
        await self._pool.rows(_STRAYS, *_named(erasing), files)

    async def finish(self, erasing: Erasing, *, now: datetime) -> bool:
        """See the port."""
        row = await self._pool.row(_FINISH, *_named(erasing), now)
        return bool(row and row["finished"])

    async def tidy(self, *, now: datetime, limit: int) -> None:
        """See the port."""
        await self._pool.rows(_TIDY, now - self._rules.receipts, now - TOKEN_LIFE, limit)

    async def _one(self, erasing: Erasing) -> Record | None:
        owner = erasing.owner
        return await self._pool.row(_ONE, owner.tenant_id, erasing.job_id, owner.user_id)

    async def _gone(self, statement: str, *values: object) -> int:
        row = await self._pool.row(statement, *values)
        return row["gone"] if row else 0


def _named(erasing: Erasing) -> tuple[TenantId, ErasureId]:
    return erasing.owner.tenant_id, erasing.id


def _erasure_of(row: Record) -> Erasure:
    return Erasure(
        id=ErasureId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        kind=ErasureKind.USER if row["whole_user"] else ErasureKind.JOB,
        requested_at=row["requested_at"],
        finished_at=row["finished_at"],
        erased=Erased(
            jobs=row["jobs"],
            files=row["files"],
            uploads=row["uploads"],
            idempotency_keys=row["keys"],
        ),
    )
