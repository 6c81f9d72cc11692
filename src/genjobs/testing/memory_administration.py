"""The administrators' side in memory, over the same data as the other fakes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from genjobs.domain.administration import ListedIssuerKey, ListedKey, TenantRecord
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey, KeyRecord
from genjobs.domain.errors import ConfigurationError, NotFound
from genjobs.domain.ids import TenantId
from genjobs.domain.plans import changed
from genjobs.domain.tenancy import Owner
from genjobs.testing.memory_rows import MemoryJobs
from genjobs.testing.memory_tenants import MemoryTenants


class MemoryTenantAdministration:
    """The ``TenantAdministration`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    @property
    def _tenants(self) -> MemoryTenants:
        self._jobs.reach()
        return self._jobs.tenants

    async def create_tenant(self, tenant_id: TenantId, name: str, now: datetime) -> None:
        """See the port."""
        notes = self._tenants.tenant_notes
        if any(taken == name for taken, _ in notes.values()):
            raise ConfigurationError(f"there is a tenant {name!r} already")
        notes[tenant_id] = name, now

    async def list_tenants(self) -> Sequence[TenantRecord]:
        """See the port."""
        tenants = self._tenants
        return [
            TenantRecord(
                id=tenant_id,
                name=name,
                created_at=created_at,
                limits=tenants.rules(tenant_id).limits,
                narrowing=tenants.rules(tenant_id).narrowing,
            )
            for tenant_id, (name, created_at) in sorted(
                tenants.tenant_notes.items(), key=lambda item: item[1][0]
            )
        ]

    async def tenant_named(self, name: str) -> TenantRecord:
        """See the port."""
        for record in await self.list_tenants():
            if record.name == name:
                return record
        raise NotFound(f"There is no tenant {name!r}.")

    async def set_tenant_limits(
        self, tenant_id: TenantId, changes: Mapping[str, Any], unset: Collection[str] = ()
    ) -> Mapping[str, Any]:
        """See the port."""
        tenants = self._tenants
        rules = tenants.rules(tenant_id)
        rules.limits = changed(rules.limits, changes, unset, tenants.defaults.tenant)
        return rules.limits

    async def narrow(self, tenant_id: TenantId, narrowing: Narrowing) -> None:
        """See the port."""
        self._tenants.rules(tenant_id).narrowing = narrowing

    async def set_plan(
        self,
        tenant_id: TenantId,
        name: str,
        changes: Mapping[str, Any],
        unset: Collection[str] = (),
    ) -> Mapping[str, Any]:
        """See the port."""
        tenants = self._tenants
        plans = tenants.rules(tenant_id).plans
        plans[name] = changed(plans.get(name, {}), changes, unset, tenants.defaults.user)
        return plans[name]

    async def list_plans(self, tenant_id: TenantId) -> Mapping[str, Mapping[str, Any]]:
        """See the port."""
        return dict(sorted(self._tenants.rules(tenant_id).plans.items()))

    async def remove_plan(self, tenant_id: TenantId, name: str) -> None:
        """See the port."""
        tenants = self._tenants
        if tenants.rules(tenant_id).plans.pop(name, None) is None:
            raise NotFound(f"There is no plan {name!r}.")
        for owner, plan in list(tenants.plans_of_users.items()):
            if owner.tenant_id == tenant_id and plan == name:
                del tenants.plans_of_users[owner]

    async def assign_plan(self, owner: Owner, name: str | None) -> None:
        """See the port."""
        tenants = self._tenants
        if name is not None and name not in tenants.rules(owner.tenant_id).plans:
            raise NotFound(f"There is no plan {name!r}.")
        tenants.plans_of_users.pop(owner, None)
        if name is not None:
            tenants.plans_of_users[owner] = name


class MemoryCredentialAdministration:
    """The ``CredentialAdministration`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    @property
    def _tenants(self) -> MemoryTenants:
        self._jobs.reach()
        return self._jobs.tenants

    async def add_key(self, key: KeyRecord, name: str, now: datetime) -> None:
        """See the port."""
        self._tenants.keys[key.id] = key
        self._tenants.key_notes[key.id] = name, now

    async def list_keys(self, tenant_id: TenantId | None) -> Sequence[ListedKey]:
        """See the port."""
        tenants = self._tenants
        found = [
            ListedKey(
                id=key_id,
                tenant=self._name(tenants.keys[key_id].tenant_id),
                name=name,
                live=tenants.keys[key_id].live,
                scopes=tenants.keys[key_id].scopes,
                created_at=created_at,
                expires_at=tenants.keys[key_id].expires_at,
                revoked_at=tenants.keys[key_id].revoked_at,
                last_used_at=tenants.touched.get(key_id),
            )
            for key_id, (name, created_at) in tenants.key_notes.items()
            if tenant_id in (None, tenants.keys[key_id].tenant_id)
        ]
        return sorted(found, key=lambda item: (item.tenant, item.created_at))

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        """See the port."""
        key = self._tenants.keys.get(key_id)
        if key is None:
            raise NotFound(f"There is no key {key_id!r}.")
        self._tenants.keys[key_id] = dataclasses.replace(key, revoked_at=key.revoked_at or now)

    async def add_issuer_key(self, key: IssuerKey, now: datetime) -> None:
        """See the port."""
        named = key.issuer, key.kid
        if named in self._tenants.issuer_keys:
            raise ConfigurationError("there is a key of this issuer and kid already")
        self._tenants.issuer_keys[named] = key
        self._tenants.issuer_notes[named] = now

    async def list_issuer_keys(self, tenant_id: TenantId | None) -> Sequence[ListedIssuerKey]:
        """See the port."""
        tenants = self._tenants
        found = [
            ListedIssuerKey(
                issuer=key.issuer,
                kid=key.kid,
                tenant=self._name(key.tenant_id),
                algorithm=key.algorithm,
                public_key=key.public_key,
                scopes=key.scopes,
                created_at=tenants.issuer_notes[named],
                revoked_at=key.revoked_at,
            )
            for named, key in tenants.issuer_keys.items()
            if tenant_id in (None, key.tenant_id)
        ]
        return sorted(found, key=lambda item: (item.tenant, item.issuer, item.kid))

    async def revoke_issuer_key(self, issuer: str, kid: str, now: datetime) -> None:
        """See the port."""
        key = self._tenants.issuer_keys.get((issuer, kid))
        if key is None:
            raise NotFound("There is no such key.")
        revoked = dataclasses.replace(key, revoked_at=key.revoked_at or now)
        self._tenants.issuer_keys[issuer, kid] = revoked

    async def revoke_tokens(self, owner: Owner, now: datetime) -> None:
        """See the port."""
        cutoffs = self._tenants.token_cutoffs
        cutoffs[owner] = max(now, cutoffs.get(owner, now))

    def _name(self, tenant_id: TenantId) -> str:
        return self._tenants.tenant_notes[tenant_id][0]
