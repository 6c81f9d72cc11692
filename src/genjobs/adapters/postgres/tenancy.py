"""
What an administrator does to tenants and plans.

Runs as the owner, over SQLAlchemy; none of it is on a hot path. Keys are in ``credentials``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from genjobs.adapters.postgres.limits import dump_limits, narrowing_of
from genjobs.adapters.postgres.owner_database import OwnerDatabase, Row
from genjobs.adapters.postgres.tables import tenants
from genjobs.adapters.postgres.tenancy_tables import plans, tenant_load
from genjobs.domain.administration import TenantRecord
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.errors import ConfigurationError, NotFound
from genjobs.domain.ids import TenantId, tenant_text
from genjobs.domain.plans import DefaultLimits, Limits, changed
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
        """Make the tenant unless it is there; under a longer name when another has this one."""
        async with self._database.transaction() as connection:
            for called in (name, f"{name} {tenant_text(tenant_id)}"):
                row = {"id": tenant_id, "name": called, "created_at": now}
                await connection.execute(upsert(tenants).values(row).on_conflict_do_nothing())
            await connection.execute(
                upsert(tenant_load).values(_load_row(tenant_id)).on_conflict_do_nothing()
            )

    async def list_tenants(self) -> Sequence[TenantRecord]:
        """Return all tenants with what was set for them."""
        rows = await self._database.rows(select(tenants).order_by(tenants.c.name))
        return [_tenant(row) for row in rows]

    async def tenant_named(self, name: str) -> TenantRecord:
        """Return the tenant of a name; ``NotFound`` when there is none."""
        rows = await self._database.rows(select(tenants).where(tenants.c.name == name))
        if not rows:
            raise NotFound(f"There is no tenant {name!r}.")
        return _tenant(rows[0])

    async def set_tenant_limits(
        self, tenant_id: TenantId, changes: Mapping[str, Any], unset: Collection[str] = ()
    ) -> Mapping[str, Any]:
        """Change limits of a tenant as a whole, and return all that differ from the built-in."""
        async with self._database.transaction() as connection:
            await connection.run_sync(_lock_load, tenant_id)
            present = await connection.scalar(
                select(tenants.c.limits).where(tenants.c.id == tenant_id)
            )
            limits = changed(present or {}, changes, unset, self._defaults.tenant)
            await connection.execute(
                update(tenants).where(tenants.c.id == tenant_id).values(limits=limits)
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
        self,
        tenant_id: TenantId,
        name: str,
        changes: Mapping[str, Any],
        unset: Collection[str] = (),
    ) -> Mapping[str, Any]:
        """Make or change a plan, and return all that differs from the built-in limits."""
        async with self._database.transaction() as connection:
            await connection.run_sync(_lock_load, tenant_id)
            key = (plans.c.tenant_id == tenant_id) & (plans.c.name == name)
            present = await connection.scalar(select(plans.c.limits).where(key))
            limits = changed(present or {}, changes, unset, self._defaults.user)
            row = {"tenant_id": tenant_id, "name": name, "limits": limits}
            await connection.execute(
                upsert(plans)
                .values(row)
                .on_conflict_do_update(
                    index_elements=["tenant_id", "name"], set_={"limits": limits}
                )
            )
            effective = self._defaults.user.changed_by(limits)
            await connection.run_sync(_weigh_users, tenant_id, name, name, effective)
        return limits

    async def list_plans(self, tenant_id: TenantId) -> Mapping[str, Mapping[str, Any]]:
        """Return what each plan of a tenant changes, by name."""
        rows = await self._database.rows(
            select(plans.c.name, plans.c.limits)
            .where(plans.c.tenant_id == tenant_id)
            .order_by(plans.c.name)
        )
        return {row["name"]: row["limits"] for row in rows}

    async def remove_plan(self, tenant_id: TenantId, name: str) -> None:
        """Remove a plan: its users have the built-in limits at once. ``NotFound`` if absent."""
        async with self._database.transaction() as connection:
            await connection.run_sync(_lock_load, tenant_id)
            gone = await connection.execute(
                delete(plans).where(plans.c.tenant_id == tenant_id, plans.c.name == name)
            )
            if gone.rowcount == 0:
                raise NotFound(f"There is no plan {name!r}.")
            await connection.run_sync(_weigh_users, tenant_id, name, None, self._defaults.user)

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


def _weigh_users(
    connection: Connection, tenant_id: TenantId, plan: str, after: str | None, limits: Limits
) -> None:
    """Let limits take effect for the users of a plan, whose plan is ``after`` from then on."""
    connection.execute(
        text(
            "SELECT genjobs.weigh_user(tenant_id, user_id, :after, cast(:limits AS jsonb)) "
            "FROM genjobs.user_load WHERE tenant_id = :tenant AND plan = :plan"
        ),
        {"tenant": tenant_id, "plan": plan, "after": after, "limits": dump_limits(limits)},
    )


def _tenant(row: Row) -> TenantRecord:
    return TenantRecord(
        id=TenantId(row["id"]),
        name=row["name"],
        created_at=row["created_at"],
        limits=row["limits"],
        narrowing=narrowing_of(row["narrowing"]),
    )


def _load_row(tenant_id: TenantId) -> dict[str, Any]:
    return {"tenant_id": tenant_id, "served": func.genjobs.first_turn()}
