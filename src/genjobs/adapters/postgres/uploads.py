"""Uploads on Postgres: the tenant's side, and the system's. Each method is one round trip."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from asyncpg import Record

from genjobs.adapters.postgres.limits import dump_limits, refusal_of
from genjobs.adapters.postgres.pool import Pool
from genjobs.adapters.postgres.rows import owner_of
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.ids import TenantId, UploadId
from genjobs.domain.plans import DefaultLimits
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload, UploadFile

#: After which an upload that left and was not forgotten is returned again.
_PAUSE: Final = timedelta(minutes=10)
_CREATE: Final = """
SELECT * FROM genjobs.create_upload($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11::jsonb)
"""
_FIND: Final = "SELECT * FROM genjobs.find_uploads($1, $2, $3::text[]::uuid[], $4)"
_TAKE: Final = "SELECT * FROM genjobs.take_uploads($1, $2, $3)"
_FORGET: Final = "SELECT genjobs.forget_uploads($1::uuid[], $2::uuid[])"
#: Each file looks its own upload up, as the files of jobs do.
_ORPHANS: Final = """
SELECT f.key
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS f (tenant_id, id, key)
WHERE EXISTS (
    SELECT 1 FROM genjobs.tenant_load t WHERE t.tenant_id = f.tenant_id
    OFFSET 0
) AND NOT EXISTS (
    SELECT 1 FROM genjobs.uploads u
    WHERE u.tenant_id = f.tenant_id AND u.id = f.id AND u.key = f.key
    OFFSET 0
)
"""


class PostgresUploadStore:
    """The ``UploadStore`` port; connects as the API role."""

    def __init__(self, pool: Pool, defaults: DefaultLimits | None = None) -> None:
        self._pool = pool
        defaults = defaults or DefaultLimits()
        self._tenant_limits = dump_limits(defaults.tenant)
        self._user_limits = dump_limits(defaults.user)

    async def create(self, upload: Upload) -> None:
        """See the port."""
        row = await self._pool.row(
            _CREATE,
            upload.owner.tenant_id,
            upload.owner.user_id,
            upload.id,
            upload.key,
            upload.filename,
            upload.content_type,
            upload.bytes,
            upload.created_at,
            upload.expires_at,
            self._tenant_limits,
            self._user_limits,
        )
        assert row is not None  # noqa: S101  (the function returns one row)
        if row["outcome"] != "created":
            raise refusal_of(row)

    async def find(
        self, owner: Owner, ids: Collection[UploadId], *, now: datetime
    ) -> Mapping[UploadId, Upload]:
        """See the port."""
        rows = await self._pool.rows(
            _FIND, owner.tenant_id, owner.user_id, [str(item) for item in ids], now
        )
        return {UploadId(row["id"]): _upload_of(row) for row in rows}


class PostgresUploadLedger:
    """The ``UploadLedger`` port; connects as the worker role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, *, now: datetime, limit: int) -> Sequence[UploadFile]:
        """See the port."""
        rows = await self._pool.rows(_TAKE, now, limit, _PAUSE)
        return [
            UploadFile(
                key=ArtifactKey(row["key"]),
                tenant_id=TenantId(row["tenant_id"]),
                upload_id=UploadId(row["id"]),
            )
            for row in rows
        ]

    async def forget(self, files: Sequence[UploadFile]) -> None:
        """See the port."""
        await self._pool.rows(
            _FORGET, [file.tenant_id for file in files], [file.upload_id for file in files]
        )

    async def orphans(self, files: Sequence[UploadFile]) -> frozenset[ArtifactKey]:
        """See the port."""
        rows = await self._pool.rows(
            _ORPHANS,
            [file.tenant_id for file in files],
            [file.upload_id for file in files],
            [file.key for file in files],
        )
        return frozenset(ArtifactKey(row["key"]) for row in rows)


def _upload_of(row: Record) -> Upload:
    return Upload(
        id=UploadId(row["id"]),
        owner=owner_of(row),
        filename=row["filename"],
        content_type=row["content_type"],
        bytes=row["bytes"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
