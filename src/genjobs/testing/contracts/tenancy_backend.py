"""What the suites of keys, plans and limits run on; their tests are in the suites."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey, KeyRecord
from genjobs.domain.ids import TenantId
from genjobs.domain.ports import KeyDirectory, TenantDirectory
from genjobs.domain.tenancy import Owner
from genjobs.testing.contracts.jobs_backend import JobsBackend


class Arrangement(Protocol):
    """What an administrator does, done to the backend under test."""

    async def set_limits(self, tenant_id: TenantId, **changes: Any) -> None:
        """Change limits of a tenant as a whole."""

    async def set_plan(self, tenant_id: TenantId, name: str, **changes: Any) -> None:
        """Make or change a plan."""

    async def assign(self, owner: Owner, plan: str | None) -> None:
        """Give a user a plan."""

    async def narrow(self, tenant_id: TenantId, narrowing: Narrowing) -> None:
        """Take node classes from a tenant."""

    async def add_key(self, key: KeyRecord) -> None:
        """Store a key."""

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        """Revoke a key."""

    async def last_used(self, key_id: str) -> datetime | None:
        """Return when a key was used last, as far as it was noted."""

    async def add_issuer_key(self, key: IssuerKey) -> None:
        """Register a public key."""

    async def revoke_tokens(self, owner: Owner, now: datetime) -> None:
        """Let a user's tokens be dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenancyBackend:
    """Two tenants that exist, without limits unless a test sets some."""

    jobs: JobsBackend
    keys: KeyDirectory
    directory: TenantDirectory
    arrange: Arrangement

    @property
    def tenant(self) -> TenantId:
        """The first tenant."""
        return self.jobs.tenants[0]
