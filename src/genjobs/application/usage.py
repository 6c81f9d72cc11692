"""Tell what a tenant and a user may use, and what they have used. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass

from genjobs.domain.errors import NotFound
from genjobs.domain.plans import Usage
from genjobs.domain.ports import Clock, TenantDirectory
from genjobs.domain.tenancy import Principal, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class GetUsage:
    """The use case."""

    tenants: TenantDirectory
    clock: Clock

    async def __call__(self, principal: Principal, user_id: str | None) -> Usage:
        """
        Return the usage of the user that is named, and of the tenant if the caller may know.

        Raises:
            InvalidRequest: no user is named, and the caller may not know the tenant's.
            NotFound: the credential is of another user, or the tenant is gone.
        """
        reach = principal.reach(user_id)
        usage = await self.tenants.usage(reach, now=self.clock.now())
        if usage.tenant is None:
            raise NotFound
        if Scope.TENANT_READ not in principal.scopes:
            return Usage(tenant=None, user=usage.user)
        return usage
