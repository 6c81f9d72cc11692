"""Administer users: erase one without an API key, and read the receipt."""

from __future__ import annotations

from dataclasses import dataclass

from genjobs.application.erase import EraseUser, GetErasure
from genjobs.domain.erasure import Erasure
from genjobs.domain.errors import NotFound
from genjobs.domain.ids import parse_erasure_id
from genjobs.domain.ports import TenantAdministration
from genjobs.domain.tenancy import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministerUsers:
    """What administrators do with a tenant's users."""

    tenants: TenantAdministration
    erase_user: EraseUser
    get_erasure: GetErasure

    async def erase(self, tenant: str, user_id: str) -> Erasure:
        """Begin to erase a user; ``NotFound`` when there is no such tenant."""
        found = await self.tenants.tenant_named(tenant)
        return await self.erase_user(Owner(tenant_id=found.id, user_id=user_id))

    async def erasure(self, tenant: str, erasure: str) -> Erasure:
        """Return the tenant's erasure; ``NotFound`` when there is none."""
        found = await self.tenants.tenant_named(tenant)
        try:
            named = parse_erasure_id(erasure)
        except ValueError:
            raise NotFound(f"There is no erasure {erasure!r}.") from None
        return await self.get_erasure(found.id, named)
