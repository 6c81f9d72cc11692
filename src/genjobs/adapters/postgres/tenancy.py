"""
What an administrator does to tenants: making them, their keys, plans and signing keys.

Runs as the owner, over SQLAlchemy; none of it is on a hot path. A secret passes through here as a
digest only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from genjobs.adapters.postgres.limits import dump_limits
from genjobs.adapters.postgres.tables import (
    api_keys,
    issuer_keys,
    plans,
    tenant_load,
    tenants,
    token_cutoffs,
)
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey, KeyRecord
from genjobs.domain.errors import ConfigurationError, NotFound, Unavailable
from genjobs.domain.ids import TenantId
from genjobs.domain.plans import DefaultLimits, Limits, check_changes
from genjobs.domain.tenancy import Owner

_CONNECT_SECONDS: Final = 5.0
_COMMAND_SECONDS: Final = 30.0
_Row = Mapping[str, Any]


class PostgresTenancy:
    """Administration of tenants; each method is a transaction of its own."""

    def __init__(self, owner_url: str, defaults: DefaultLimits) -> None:
        self._url = owner_url
        self._defaults = defaults

    # -- tenants ------------------------------------------------------------------------------

    async def create_tenant(self, tenant_id: TenantId, name: str, now: datetime) -> None:
        """Make a tenant; ``ConfigurationError`` when the name is taken."""
        async with self._transaction() as connection:
            try:
                await connection.execute(
                    insert(tenants).values(id=tenant_id, name=name, created_at=now)
                )
            except IntegrityError:
                raise ConfigurationError(f"there is a tenant {name!r} already") from None
            await connection.execute(insert(tenant_load).values(_load_row(tenant_id)))

    async def ensure_tenant(self, tenant_id: TenantId, name: str, now: datetime) -> None:
        """Make the tenant unless it is there."""
        async with self._transaction() as connection:
            row = {"id": tenant_id, "name": name, "created_at": now}
            await connection.execute(
                upsert(tenants).values(row).on_conflict_do_nothing(index_elements=["id"])
            )
            await connection.execute(
                upsert(tenant_load).values(_load_row(tenant_id)).on_conflict_do_nothing()
            )

    async def list_tenants(self) -> Sequence[_Row]:
        """Return all tenants with what was set for them."""
        return await self._rows(select(tenants).order_by(tenants.c.name))

    async def tenant_named(self, name: str) -> TenantId:
        """Return the tenant of a name; ``NotFound`` when there is none."""
        async with self._transaction() as connection:
            found = await connection.scalar(select(tenants.c.id).where(tenants.c.name == name))
        if found is None:
            raise NotFound(f"There is no tenant {name!r}.")
        return TenantId(found)

    async def set_tenant_limits(
        self, tenant_id: TenantId, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Change limits of a tenant as a whole, and return all that differ from the built-in."""
        async with self._transaction() as connection:
            await connection.run_sync(_lock_load, tenant_id)
            present = await connection.scalar(
                select(tenants.c.limits).where(tenants.c.id == tenant_id)
            )
            limits = check_changes({**(present or {}), **changes}, self._defaults.tenant)
            await connection.execute(
                update(tenants).where(tenants.c.id == tenant_id).values(limits=dict(limits))
            )
            effective = self._defaults.tenant.changed_by(limits)
            await connection.execute(
                update(tenant_load)
                .where(tenant_load.c.tenant_id == tenant_id)
                .values(weight=effective.weight, max_in_flight=effective.max_in_flight)
            )
        return limits

    async def narrow(self, tenant_id: TenantId, narrowing: Narrowing) -> None:
        """Say which node classes the tenant does without."""
        document: dict[str, Any] = {"denied": sorted(narrowing.denied)}
        if narrowing.allowed is not None:
            document["allowed"] = sorted(narrowing.allowed)
        async with self._transaction() as connection:
            await connection.execute(
                update(tenants).where(tenants.c.id == tenant_id).values(narrowing=document)
            )

    # -- keys ---------------------------------------------------------------------------------

    async def add_key(self, key: KeyRecord, name: str, now: datetime) -> None:
        """Store a new key, its secret as a digest."""
        async with self._transaction() as connection:
            await connection.execute(insert(api_keys).values(_key_row(key, name, now)))

    async def ensure_key(self, key: KeyRecord, name: str, now: datetime) -> None:
        """Store a key unless one of its id is there."""
        async with self._transaction() as connection:
            await connection.execute(
                upsert(api_keys).values(_key_row(key, name, now)).on_conflict_do_nothing()
            )

    async def list_keys(self, tenant_id: TenantId | None) -> Sequence[_Row]:
        """Return keys, of one tenant or of all, without their digests."""
        shown = [column for column in api_keys.c if column is not api_keys.c.secret_sha256]
        wanted = select(*shown, tenants.c.name.label("tenant")).join(tenants)
        if tenant_id is not None:
            wanted = wanted.where(api_keys.c.tenant_id == tenant_id)
        return await self._rows(wanted.order_by(tenants.c.name, api_keys.c.created_at))

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        """Revoke a key; once revoked it stays so. ``NotFound`` when there is no such key."""
        await self._revoke(api_keys, api_keys.c.id == key_id, now, f"There is no key {key_id!r}.")

    # -- plans --------------------------------------------------------------------------------

    async def set_plan(
        self, tenant_id: TenantId, name: str, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Make or change a plan, and return all that differs from the built-in limits."""
        async with self._transaction() as connection:
            await connection.run_sync(_lock_load, tenant_id)
            key = (plans.c.tenant_id == tenant_id) & (plans.c.name == name)
            present = await connection.scalar(select(plans.c.limits).where(key))
            limits = dict(check_changes({**(present or {}), **changes}, self._defaults.user))
            row = {"tenant_id": tenant_id, "name": name, "limits": limits}
            await connection.execute(
                upsert(plans)
                .values(row)
                .on_conflict_do_update(
                    index_elements=["tenant_id", "name"], set_={"limits": limits}
                )
            )
            await connection.execute(
                text(
                    "SELECT genjobs.weigh_user(tenant_id, user_id, plan, cast(:limits AS jsonb)) "
                    "FROM genjobs.user_load WHERE tenant_id = :tenant AND plan = :plan"
                ),
                {
                    "tenant": tenant_id,
                    "plan": name,
                    "limits": dump_limits(self._defaults.user.changed_by(limits)),
                },
            )
        return limits

    async def list_plans(self, tenant_id: TenantId) -> Sequence[_Row]:
        """Return the plans of a tenant."""
        return await self._rows(
            select(plans.c.name, plans.c.limits)
            .where(plans.c.tenant_id == tenant_id)
            .order_by(plans.c.name)
        )

    async def remove_plan(self, tenant_id: TenantId, name: str) -> None:
        """Remove a plan: its users fall back to the built-in limits. ``NotFound`` if absent."""
        async with self._transaction() as connection:
            gone = await connection.execute(
                delete(plans).where(plans.c.tenant_id == tenant_id, plans.c.name == name)
            )
        if gone.rowcount == 0:
            raise NotFound(f"There is no plan {name!r}.")

    async def assign_plan(self, owner: Owner, name: str | None) -> None:
        """Give a user a plan, or with None the built-in limits."""
        async with self._transaction() as connection:
            await connection.run_sync(_lock_load, owner.tenant_id)
            limits: Limits = self._defaults.user
            if name is not None:
                changes = await connection.scalar(
                    select(plans.c.limits).where(
                        plans.c.tenant_id == owner.tenant_id, plans.c.name == name
                    )
                )
                if changes is None:
                    raise NotFound(f"There is no plan {name!r}.")
                limits = limits.changed_by(changes)
            values = {
                "tenant": owner.tenant_id,
                "user": owner.user_id,
                "plan": name,
                "limits": dump_limits(limits),
            }
            await connection.execute(
                text(
                    "INSERT INTO genjobs.user_load (tenant_id, user_id, served) "
                    "VALUES (:tenant, :user, genjobs.first_turn()) ON CONFLICT DO NOTHING"
                ),
                values,
            )
            await connection.execute(
                text("SELECT genjobs.weigh_user(:tenant, :user, :plan, cast(:limits AS jsonb))"),
                values,
            )

    # -- tokens -------------------------------------------------------------------------------

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
        async with self._transaction() as connection:
            try:
                await connection.execute(insert(issuer_keys).values(row))
            except IntegrityError:
                raise ConfigurationError("there is a key of this issuer and kid already") from None

    async def list_issuer_keys(self, tenant_id: TenantId) -> Sequence[_Row]:
        """Return the public keys of a tenant."""
        return await self._rows(
            select(issuer_keys)
            .where(issuer_keys.c.tenant_id == tenant_id)
            .order_by(issuer_keys.c.issuer, issuer_keys.c.kid)
        )

    async def revoke_issuer_key(self, issuer: str, kid: str, now: datetime) -> None:
        """Revoke a public key: tokens signed by it are dead. ``NotFound`` when absent."""
        named = (issuer_keys.c.issuer == issuer) & (issuer_keys.c.kid == kid)
        await self._revoke(issuer_keys, named, now, "There is no such key.")

    async def revoke_tokens(self, owner: Owner, now: datetime) -> None:
        """Let all tokens of a user be dead that were made until now."""
        row = {"tenant_id": owner.tenant_id, "user_id": owner.user_id, "not_before": now}
        async with self._transaction() as connection:
            await connection.execute(
                upsert(token_cutoffs)
                .values(row)
                .on_conflict_do_update(
                    index_elements=["tenant_id", "user_id"], set_={"not_before": now}
                )
            )

    async def _revoke(
        self, table: Table, named: ColumnElement[bool], now: datetime, missing: str
    ) -> None:
        async with self._transaction() as connection:
            found = await connection.execute(
                update(table).where(named).values(revoked_at=func.coalesce(table.c.revoked_at, now))
            )
        if found.rowcount == 0:
            raise NotFound(missing)

    async def _rows(self, wanted: Any) -> Sequence[_Row]:
        async with self._transaction() as connection:
            return [dict(row) for row in (await connection.execute(wanted)).mappings()]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        engine = create_async_engine(
            self._url,
            poolclass=NullPool,
            connect_args={"timeout": _CONNECT_SECONDS, "command_timeout": _COMMAND_SECONDS},
        )
        try:
            async with engine.begin() as connection:
                yield connection
        except (OSError, SQLAlchemyError) as exc:
            raise Unavailable("The database cannot be reached, or refuses this role.") from exc
        finally:
            await engine.dispose()


def _lock_load(connection: Connection, tenant_id: TenantId) -> None:
    connection.execute(text("SELECT genjobs.lock_load(:tenant)"), {"tenant": tenant_id})


def _load_row(tenant_id: TenantId) -> dict[str, Any]:
    return {"tenant_id": tenant_id, "served": func.genjobs.first_turn()}


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
