"""
What an administrator does to keys: API keys, a site's own signing keys, the tokens of a user.

Runs as the owner, over SQLAlchemy. A secret passes through here as a digest only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from genjobs.adapters.postgres.owner_database import OwnerDatabase
from genjobs.adapters.postgres.tables import tenants
from genjobs.adapters.postgres.tenancy_tables import api_keys, issuer_keys, token_cutoffs
from genjobs.domain.administration import ListedIssuerKey, ListedKey
from genjobs.domain.credentials import IssuerKey, KeyRecord
from genjobs.domain.errors import ConfigurationError, NotFound
from genjobs.domain.ids import TenantId
from genjobs.domain.tenancy import Owner, known_scopes

#: What is shown of a key: not its digest.
_LISTED: Final = frozenset(item.name for item in dataclasses.fields(ListedKey))


class PostgresCredentials:
    """Each method is a transaction of its own."""

    def __init__(self, owner_url: str) -> None:
        self._database = OwnerDatabase(owner_url)

    async def add_key(self, key: KeyRecord, name: str, now: datetime) -> None:
        """Store a new key, its secret as a digest."""
        async with self._database.transaction() as connection:
            await connection.execute(insert(api_keys).values(_key_row(key, name, now)))

    async def ensure_key(self, key: KeyRecord, name: str, now: datetime) -> None:
        """Store a key unless one of its id is there."""
        async with self._database.transaction() as connection:
            await connection.execute(
                upsert(api_keys).values(_key_row(key, name, now)).on_conflict_do_nothing()
            )

    async def list_keys(self, tenant_id: TenantId | None) -> Sequence[ListedKey]:
        """Return keys, of one tenant or of all, without their digests."""
        shown = [column for column in api_keys.c if column.name in _LISTED]
        wanted = select(*shown, tenants.c.name.label("tenant")).join(tenants)
        if tenant_id is not None:
            wanted = wanted.where(api_keys.c.tenant_id == tenant_id)
        rows = await self._database.rows(wanted.order_by(tenants.c.name, api_keys.c.created_at))
        return [ListedKey(**{**row, "scopes": known_scopes(row["scopes"])}) for row in rows]

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        """Revoke a key; once revoked it stays so. ``NotFound`` when there is no such key."""
        await self._revoke(api_keys, api_keys.c.id == key_id, now, f"There is no key {key_id!r}.")

    async def add_issuer_key(self, key: IssuerKey, now: datetime) -> None:
        """Register a public key; ``ConfigurationError`` when issuer and kid are taken."""
        row = {
            "issuer": key.issuer,
            "kid": key.kid,
            "tenant_id": key.tenant_id,
            "algorithm": key.algorithm,
            "public_key": key.public_key,
            "scopes": sorted(key.scopes),
            "created_at": now,
        }
        async with self._database.transaction() as connection:
            try:
                await connection.execute(insert(issuer_keys).values(row))
            except IntegrityError:
                raise ConfigurationError("there is a key of this issuer and kid already") from None

    async def list_issuer_keys(self, tenant_id: TenantId | None) -> Sequence[ListedIssuerKey]:
        """Return public keys, of one tenant or of all."""
        shown = [column for column in issuer_keys.c if column.name != "tenant_id"]
        wanted = select(*shown, tenants.c.name.label("tenant")).join(tenants)
        if tenant_id is not None:
            wanted = wanted.where(issuer_keys.c.tenant_id == tenant_id)
        rows = await self._database.rows(
            wanted.order_by(tenants.c.name, issuer_keys.c.issuer, issuer_keys.c.kid)
        )
        return [ListedIssuerKey(**{**row, "scopes": known_scopes(row["scopes"])}) for row in rows]

    async def revoke_issuer_key(self, issuer: str, kid: str, now: datetime) -> None:
        """Revoke a public key: tokens signed by it are dead. ``NotFound`` when absent."""
        named = (issuer_keys.c.issuer == issuer) & (issuer_keys.c.kid == kid)
        await self._revoke(issuer_keys, named, now, "There is no such key.")

    async def revoke_tokens(self, owner: Owner, now: datetime) -> None:
        """Let all tokens of a user be dead that were made until now."""
        row = {"tenant_id": owner.tenant_id, "user_id": owner.user_id, "not_before": now}
        async with self._database.transaction() as connection:
            await connection.execute(
                upsert(token_cutoffs)
                .values(row)
                .on_conflict_do_update(
                    index_elements=["tenant_id", "user_id"],
                    set_={"not_before": func.greatest(token_cutoffs.c.not_before, now)},
                )
            )

    async def _revoke(
        self, table: Table, named: ColumnElement[bool], now: datetime, missing: str
    ) -> None:
        async with self._database.transaction() as connection:
            found = await connection.execute(
                update(table).where(named).values(revoked_at=func.coalesce(table.c.revoked_at, now))
            )
        if found.rowcount == 0:
            raise NotFound(missing)


def _key_row(key: KeyRecord, name: str, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "name": name,
        "live": key.live,
        "secret_sha256": key.secret_sha256,
        "scopes": sorted(key.scopes),
        "created_at": now,
        "expires_at": key.expires_at,
    }
