"""
Ports to what administrators do. They reach all tenants, so no request is ever served by them.

All methods raise ``Unavailable`` when the database cannot be reached.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from genjobs.domain.administration import ListedIssuerKey, ListedKey, TenantRecord
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey, KeyRecord
from genjobs.domain.ids import TenantId
from genjobs.domain.tenancy import Owner


class TenantAdministration(Protocol):
    """Tenants and their plans."""

    async def create_tenant(self, tenant_id: TenantId, name: str, now: datetime) -> None:
        """Make a tenant; ``ConfigurationError`` when the name is taken."""

    async def list_tenants(self) -> Sequence[TenantRecord]:
        """Return all tenants, by name."""

    async def tenant_named(self, name: str) -> TenantRecord:
        """Return the tenant of a name; ``NotFound`` when there is none."""

    async def set_tenant_limits(
        self, tenant_id: TenantId, changes: Mapping[str, Any], unset: Collection[str] = ()
    ) -> Mapping[str, Any]:
        """
        Change limits of a tenant as a whole, and return all that differ from the built-in.

        What is ``unset`` is the built-in one again. What follows for the place in line must be
        effective at once, for jobs that wait too.

        Raises:
            ConfigurationError: the limits make no sense; nothing was changed.
        """

    async def narrow(self, tenant_id: TenantId, narrowing: Narrowing) -> None:
        """Say which node classes the tenant does without."""

    async def set_plan(
        self,
        tenant_id: TenantId,
        name: str,
        changes: Mapping[str, Any],
        unset: Collection[str] = (),
    ) -> Mapping[str, Any]:
        """Make or change a plan; as ``set_tenant_limits``, for each of the plan's users."""

    async def list_plans(self, tenant_id: TenantId) -> Mapping[str, Mapping[str, Any]]:
        """Return what each plan of a tenant changes, by name."""

    async def remove_plan(self, tenant_id: TenantId, name: str) -> None:
        """
        Remove a plan; ``NotFound`` if absent.

        Its users have the built-in limits at once, and no plan: a later one of the same name is
        not theirs.
        """

    async def assign_plan(self, owner: Owner, name: str | None) -> None:
        """Give a user a plan, or with None the built-in limits; ``NotFound`` if it is absent."""


class CredentialAdministration(Protocol):
    """API keys, a site's own signing keys, and the tokens of a user."""

    async def add_key(self, key: KeyRecord, name: str, now: datetime) -> None:
        """Store a new key."""

    async def list_keys(self, tenant_id: TenantId | None) -> Sequence[ListedKey]:
        """Return keys, of one tenant or of all."""

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        """Revoke a key; once revoked it stays so. ``NotFound`` when there is no such key."""

    async def add_issuer_key(self, key: IssuerKey, now: datetime) -> None:
        """Register a public key; ``ConfigurationError`` when issuer and kid are taken."""

    async def list_issuer_keys(self, tenant_id: TenantId | None) -> Sequence[ListedIssuerKey]:
        """Return public keys, of one tenant or of all."""

    async def revoke_issuer_key(self, issuer: str, kid: str, now: datetime) -> None:
        """Revoke a public key: tokens signed by it are dead. ``NotFound`` when absent."""

    async def revoke_tokens(self, owner: Owner, now: datetime) -> None:
        """Let all tokens of a user be dead that were made until now; it never goes back."""


class PublicKeyReader(Protocol):
    """Knows what a public key is."""

    def read(self, content: bytes, algorithm: str) -> str:
        """
        Return the public key as PEM, and nothing else that ``content`` holds.

        Raises:
            ConfigurationError: it is no public key in PEM, none of ``algorithm``, too weak, or a
                private one is beside it. The message shows nothing of it.
        """
