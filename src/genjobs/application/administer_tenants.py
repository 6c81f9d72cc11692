"""
What administrators do to tenants, their limits, their node classes and the plans of their users.

Checked here is what an administrator may have mistyped; kept is it by ``TenantAdministration``.
Nothing here is reached by a request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from genjobs.domain.administration import TenantRecord
from genjobs.domain.catalogue import Narrowing, NodeCatalogue
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.ids import TenantId
from genjobs.domain.plans import DefaultLimits, Limits, is_plan_name
from genjobs.domain.ports import Clock, IdSource, TenantAdministration
from genjobs.domain.tenancy import Owner

_MOST_NAME: Final = 100  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsInForce:
    """Limits as they are after a change, and which of them were set."""

    set: Mapping[str, Any]
    effective: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministerTenants:
    """The use cases."""

    tenants: TenantAdministration
    catalogue: NodeCatalogue
    defaults: DefaultLimits
    clock: Clock
    ids: IdSource

    async def create(self, name: str) -> TenantRecord:
        """Make a tenant; ``ConfigurationError`` when the name is taken or no name."""
        check_name(name, "a tenant's name")
        now = self.clock.now()
        record = TenantRecord(id=TenantId(self.ids.uuid7(now)), name=name, created_at=now)
        await self.tenants.create_tenant(record.id, name, now)
        return record

    async def list(self) -> Sequence[TenantRecord]:
        """Return all tenants."""
        return await self.tenants.list_tenants()

    async def limits(
        self, name: str, changes: Mapping[str, Any], unset: Collection[str]
    ) -> LimitsInForce:
        """Change limits of a tenant as a whole, if any are named, and return what is in force."""
        tenant = await self.tenants.tenant_named(name)
        found = tenant.limits
        if changes or unset:
            found = await self.tenants.set_tenant_limits(tenant.id, changes, unset)
        return LimitsInForce(set=found, effective=self.defaults.tenant.changed_by(found))

    async def narrow(
        self,
        name: str,
        *,
        deny: Collection[str] = (),
        only: Collection[str] = (),
        reset: bool = False,
    ) -> Narrowing:
        """
        Take node classes from a tenant, and return all that it does without.

        ``deny`` adds to what is denied already, ``only`` takes the place of an earlier one, and
        ``reset`` gives everything back first.

        Raises:
            ConfigurationError: the deployment's catalogue has no such class, so that one mistyped
                would stay allowed.
        """
        tenant = await self.tenants.tenant_named(name)
        for class_type in (*deny, *only):
            if self.catalogue.get(class_type) is None:
                raise ConfigurationError(f"no node class {class_type!r} is allowed here anyway")
        before = Narrowing() if reset else tenant.narrowing
        after = Narrowing(
            allowed=frozenset(only) if only else before.allowed,
            denied=before.denied | frozenset(deny),
        )
        if after != tenant.narrowing:
            await self.tenants.narrow(tenant.id, after)
        return after

    # -- plans --------------------------------------------------------------------------------

    async def set_plan(
        self, name: str, plan: str, changes: Mapping[str, Any], unset: Collection[str]
    ) -> LimitsInForce:
        """
        Make or change a plan of a tenant's users, and return what is in force.

        Raises:
            ConfigurationError: the plan's name, or a limit or a value cannot be; nothing changed.
            NotFound: there is no such tenant.
        """
        if not is_plan_name(plan):
            raise ConfigurationError(
                "a plan's name is 1 to 40 characters of a-z 0-9 _ -, a letter or digit first"
            )
        tenant = await self.tenants.tenant_named(name)
        found = await self.tenants.set_plan(tenant.id, plan, changes, unset)
        return LimitsInForce(set=found, effective=self.defaults.user.changed_by(found))

    async def list_plans(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        """Return what each plan of a tenant changes."""
        tenant = await self.tenants.tenant_named(name)
        return await self.tenants.list_plans(tenant.id)

    async def remove_plan(self, name: str, plan: str) -> None:
        """Remove a plan; its users have the built-in limits then."""
        tenant = await self.tenants.tenant_named(name)
        await self.tenants.remove_plan(tenant.id, plan)

    async def assign_plan(self, name: str, user_id: str, plan: str | None) -> None:
        """Give a user a plan, or with None the built-in limits."""
        tenant = await self.tenants.tenant_named(name)
        owner = Owner(tenant_id=tenant.id, user_id=user_id)
        await self.tenants.assign_plan(owner, plan)


def check_name(text: str, what: str) -> None:
    """Raise ``ConfigurationError`` unless ``text`` is a name that a person can read and repeat."""
    if not 0 < len(text) <= _MOST_NAME or not text.isprintable() or text != text.strip():
        raise ConfigurationError(
            f"{what} is 1 to {_MOST_NAME} printable characters, no space at either end"
        )
