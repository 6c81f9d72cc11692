"""What rows name, and what of it is missing, on Postgres. Each method is one round trip or two."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from genjobs.adapters.postgres.pool import Pool
from genjobs.adapters.postgres.rows import owner_of
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.reconciliation import JobPlace, MissingFile, NamedFiles

_TAKE: Final = "SELECT * FROM genjobs.take_walk($1, $2)"
_KEEP: Final = "SELECT genjobs.keep_walk($1, $2, $3)"
_NAMED: Final = "SELECT * FROM genjobs.named_files($1, $2, $3)"
_NOTE: Final = """
SELECT genjobs.note_missing(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6) AS files
"""
_SINCE: Final = """
SELECT tenant_id, job_id, key FROM genjobs.missing_files
WHERE found_at <= $1 ORDER BY found_at LIMIT $2
"""
_GIVE_UP: Final = """
SELECT genjobs.give_up_missing($1::uuid[], $2::uuid[], $3::text[], $4) AS files
"""
_BACK: Final = "SELECT genjobs.found_again($1::uuid[], $2::uuid[], $3::text[])"


class PostgresReconciliation:
    """The ``Reconciliation`` port; connects as the worker role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take_walk(self, *, now: datetime, every: timedelta) -> JobPlace | None:
        """See the port."""
        row = await self._pool.row(_TAKE, now, every)
        if row is None:
            return None
        if row["tenant_id"] is None:
            return JobPlace()
        return JobPlace(tenant_id=TenantId(row["tenant_id"]), job_id=JobId(row["job_id"]))

    async def keep_walk(self, after: JobPlace, *, due: datetime) -> None:
        """See the port."""
        await self._pool.rows(_KEEP, after.tenant_id, after.job_id, due)

    async def named(self, after: JobPlace, *, limit: int) -> Sequence[NamedFiles]:
        """See the port."""
        rows = await self._pool.rows(_NAMED, after.tenant_id, after.job_id, limit)
        return [
            NamedFiles(
                owner=owner_of(row),
                job_id=JobId(row["job_id"]),
                keys=frozenset(map(ArtifactKey, row["keys"])),
            )
            for row in rows
        ]

    async def note(
        self, looked_at: Sequence[NamedFiles], missing: Sequence[MissingFile], *, now: datetime
    ) -> int:
        """See the port."""
        row = await self._pool.row(
            _NOTE,
            [job.owner.tenant_id for job in looked_at],
            [job.job_id for job in looked_at],
            *_columns(missing),
            now,
        )
        return row["files"] if row else 0

    async def missing_since(self, before: datetime, *, limit: int) -> Sequence[MissingFile]:
        """See the port."""
        rows = await self._pool.rows(_SINCE, before, limit)
        return [
            MissingFile(
                tenant_id=TenantId(row["tenant_id"]),
                job_id=JobId(row["job_id"]),
                key=ArtifactKey(row["key"]),
            )
            for row in rows
        ]

    async def give_up(
        self, lost: Sequence[MissingFile], back: Sequence[MissingFile], *, now: datetime
    ) -> int:
        """See the port."""
        if back:
            await self._pool.rows(_BACK, *_columns(back))
        row = await self._pool.row(_GIVE_UP, *_columns(lost), now)
        return row["files"] if row else 0


def _columns(files: Sequence[MissingFile]) -> tuple[list[Any], list[Any], list[Any]]:
    ordered = sorted(files, key=lambda file: (file.tenant_id, file.job_id, file.key))
    return (
        [file.tenant_id for file in ordered],
        [file.job_id for file in ordered],
        [file.key for file in ordered],
    )
