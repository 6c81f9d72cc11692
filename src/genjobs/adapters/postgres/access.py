"""Keys, and the rules and counts of a tenant, on Postgres. Each method is one round trip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from genjobs.adapters.postgres.limits import dump_limits, narrowing_of, used_of
from genjobs.adapters.postgres.pool import Pool
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey, KeyRecord, TokenHead, UserStanding
from genjobs.domain.ids import TenantId
from genjobs.domain.plans import DefaultLimits, Usage
from genjobs.domain.tenancy import Owner, Reach, known_scopes

_FIND_KEY: Final = "SELECT * FROM genjobs.find_key($1)"
_FIND_ISSUER_KEY: Final = "SELECT * FROM genjobs.find_issuer_key($1, $2, $3)"
_TOUCH: Final = "SELECT genjobs.touch_keys($1::uuid[], $2::text[], $3::timestamptz[])"
_NARROWING: Final = "SELECT genjobs.tenant_narrowing($1) AS narrowing"
_STANDING: Final = "SELECT * FROM genjobs.user_standing($1, $2, $3::jsonb)"
_USAGE: Final = "SELECT * FROM genjobs.usage($1, $2, $3, $4::jsonb, $5::jsonb)"


class PostgresKeyDirectory:
    """The ``KeyDirectory`` port; connects as the API role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """See the port."""
        row = await self._pool.row(_FIND_KEY, key_id)
        if row is None:
            return None
        return KeyRecord(
            id=key_id,
            tenant_id=TenantId(row["tenant_id"]),
            live=row["live"],
            secret_sha256=row["secret_sha256"],
            scopes=known_scopes(row["scopes"]),
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
        )

    async def find_issuer_key(self, head: TokenHead) -> IssuerKey | None:
        """See the port."""
        row = await self._pool.row(_FIND_ISSUER_KEY, head.tenant_id, head.issuer, head.kid)
        if row is None:
            return None
        return IssuerKey(
            tenant_id=head.tenant_id,
            issuer=head.issuer,
            kid=head.kid,
            algorithm=row["algorithm"],
            public_key=row["public_key"],
            scopes=known_scopes(row["scopes"]),
            revoked_at=row["revoked_at"],
        )

    async def touch(self, used: Mapping[str, tuple[TenantId, datetime]]) -> None:
        """See the port."""
        if used:
            ids = sorted(used)  # one order for all, so that no two wait for each other
            await self._pool.rows(
                _TOUCH, [used[key][0] for key in ids], ids, [used[key][1] for key in ids]
            )


class PostgresTenantDirectory:
    """The ``TenantDirectory`` port; connects as the API role."""

    def __init__(self, pool: Pool, defaults: DefaultLimits) -> None:
        self._pool = pool
        self._tenant_limits = dump_limits(defaults.tenant)
        self._user_limits = dump_limits(defaults.user)

    async def narrowing(self, tenant_id: TenantId) -> Narrowing:
        """See the port."""
        row = await self._pool.row(_NARROWING, tenant_id)
        return narrowing_of(json.loads((row and row["narrowing"]) or "{}"))

    async def standing(self, owner: Owner) -> UserStanding:
        """See the port."""
        row = await self._pool.row(_STANDING, owner.tenant_id, owner.user_id, self._user_limits)
        assert row is not None  # noqa: S101  (the function returns one row)
        return UserStanding(tokens_since=row["tokens_since"], browser_writes=row["browser_writes"])

    async def usage(self, reach: Reach, *, now: datetime) -> Usage:
        """See the port."""
        rows = await self._pool.rows(
            _USAGE, reach.tenant_id, reach.user_id, now, self._tenant_limits, self._user_limits
        )
        found = {row["whose"]: used_of(row) for row in rows}
        return Usage(tenant=found.get("tenant"), user=found.get("user"))
