"""
What an administrator does to tenants and plans.

Runs as the owner, over SQLAlchemy; none of it is on a hot path. Keys are in ``credentials``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from genjobs.adapters.postgres.limits import dump_limits
from genjobs.adapters.postgres.owner_database import OwnerDatabase, Row
from genjobs.adapters.postgres.tables import tenants
from genjobs.adapters.postgres.tenancy_tables import plans, tenant_load
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.errors import ConfigurationError, NotFound
from genjobs.domain.ids import TenantId
from genjobs.domain.plans import DefaultLimits, Limits, check_changes
from genjobs.domain.tenancy import Owner


class PostgresTenancy:
    """Each method is a transaction of its own."""

    def __init__(self, owner_url: str, defaults: DefaultLimits) -> None:
        self._database = OwnerDatabase(owner_url)
        self._defaults = defaults

    # -- tenants ------------------------------------------------------------------------------

    async def create_tenant(self, tenant_id: TenantId, name: str, now: datetime) -> None:
        """Make a tenant; ``ConfigurationError`` when the name is taken."""
        async with self._database.transaction() as connection:
            try:
                await connection.execute(
                    insert(tenants).values(id=tenant_id, name=name, created_at=now)
                )
            except IntegrityError:
                raise ConfigurationError(f"there is a tenant {name!r} already") from None
            await connection.execute(insert(tenant_load).values(_load_row(tenant_id)))

    async def ensure_tenant(self, tenant_id: TenantId, name: str, now: datetime) -> None:
        """Make the tenant unless it is there."""
        async with self._database.transaction() as connection:
            row = {"id": tenant_id, "name": name, "created_at": now}
            await connection.execute(
                upsert(tenants).values(row).on_conflict_do_nothing(index_elements=["id"])
            )
            await connection.execute(
                upsert(tenant_load).values(_load_row(tenant_id)).on_conflict_do_nothing()
            )

    async def list_tenants(self) -> Sequence[Row]:
        """Return all tenants with what was set for them."""
        return await self._database.rows(select(tenants).order_by(tenants.c.name))

    async def tenant_named(self, name: str) -> TenantId:
        """Return the tenant of a name; ``NotFound`` when there is none."""
        async with self._database.transaction() as connection:
            found = await connection.scalar(select(tenants.c.id).where(tenants.c.name == name))
        if found is None:
            raise NotFound(f"There is no tenant {name!r}.")
        return TenantId(found)

    async def set_tenant_limits(
        self, tenant_id: TenantId, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Change limits of a tenant as a whole, and return all that differ from the built-in."""
        async with self._database.transaction() as connection:
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
                .values(
                    weight=effective.weight,
                    max_in_flight=effective.max_in_flight,
                    arrival=text("'-infinity'"),  # what was waited for is another rate
                )
            )
        return limits

    async def narrow(self, tenant_id: TenantId, narrowing: Narrowing) -> None:
        """Say which node classes the tenant does without."""
        document: dict[str, Any] = {"denied": sorted(narrowing.denied)}
        if narrowing.allowed is not None:
            document["allowed"] = sorted(narrowing.allowed)
        async with self._database.transaction() as connection:
            await connection.execute(
                update(tenants).where(tenants.c.id == tenant_id).values(narrowing=document)
            )

    # -- plans --------------------------------------------------------------------------------

    async def set_plan(
        self, tenant_id: TenantId, name: str, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Make or change a plan, and return all that differs from the built-in limits."""
        async with self._database.transaction() as connection:
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

    async def list_plans(self, tenant_id: TenantId) -> Sequence[Row]:
        """Return the plans of a tenant."""
        return await self._database.rows(
            select(plans.c.name, plans.c.limits)
            .where(plans.c.tenant_id == tenant_id)
            .order_by(plans.c.name)
        )

    async def remove_plan(self, tenant_id: TenantId, name: str) -> None:
        """Remove a plan: its users fall back to the built-in limits. ``NotFound`` if absent."""
        async with self._database.transaction() as connection:
            gone = await connection.execute(
                delete(plans).where(plans.c.tenant_id == tenant_id, plans.c.name == name)
            )
        if gone.rowcount == 0:
            raise NotFound(f"There is no plan {name!r}.")

    async def assign_plan(self, owner: Owner, name: str | None) -> None:
        """Give a user a plan, or with None the built-in limits."""
        async with self._database.transaction() as connection:
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


def _lock_load(connection: Connection, tenant_id: TenantId) -> None:
    connection.execute(text("SELECT genjobs.lock_load(:tenant)"), {"tenant": tenant_id})


def _load_row(tenant_id: TenantId) -> dict[str, Any]:
    return {"tenant_id": tenant_id, "served": func.genjobs.first_turn()}
