"""What an administrator does, done to the fakes and to Postgres."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from genjobs.adapters.postgres.credentials import PostgresCredentials
from genjobs.adapters.postgres.tenancy import PostgresTenancy
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey, KeyRecord
from genjobs.domain.ids import TenantId
from genjobs.domain.plans import DefaultLimits
from genjobs.domain.tenancy import Owner
from genjobs.testing import MemoryJobs
from genjobs.testing.clock import BEGINNING
from tests.postgres import Database


class MemoryArrangement:
    def __init__(self, jobs: MemoryJobs) -> None:
        self._tenants = jobs.tenants

    async def set_limits(self, tenant_id: TenantId, **changes: Any) -> None:
        self._tenants.set_limits(tenant_id, **changes)

    async def set_plan(self, tenant_id: TenantId, name: str, **changes: Any) -> None:
        self._tenants.set_plan(tenant_id, name, **changes)

    async def assign(self, owner: Owner, plan: str | None) -> None:
        self._tenants.plans_of_users.pop(owner, None)
        if plan is not None:
            self._tenants.plans_of_users[owner] = plan

    async def narrow(self, tenant_id: TenantId, narrowing: Narrowing) -> None:
        self._tenants.rules(tenant_id).narrowing = narrowing

    async def add_key(self, key: KeyRecord) -> None:
        self._tenants.keys[key.id] = key

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        key = self._tenants.keys[key_id]
        self._tenants.keys[key_id] = dataclasses.replace(key, revoked_at=key.revoked_at or now)

    async def last_used(self, key_id: str) -> datetime | None:
        return self._tenants.touched.get(key_id)

    async def add_issuer_key(self, key: IssuerKey) -> None:
        self._tenants.issuer_keys[key.issuer, key.kid] = key

    async def revoke_tokens(self, owner: Owner, now: datetime) -> None:
        self._tenants.token_cutoffs[owner] = now


class PostgresArrangement:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._tenancy = PostgresTenancy(database.owner, DefaultLimits())
        self._credentials = PostgresCredentials(database.owner)

    async def set_limits(self, tenant_id: TenantId, **changes: Any) -> None:
        await self._tenancy.set_tenant_limits(tenant_id, changes)

    async def set_plan(self, tenant_id: TenantId, name: str, **changes: Any) -> None:
        await self._tenancy.set_plan(tenant_id, name, changes)

    async def assign(self, owner: Owner, plan: str | None) -> None:
        await self._tenancy.assign_plan(owner, plan)

    async def narrow(self, tenant_id: TenantId, narrowing: Narrowing) -> None:
        await self._tenancy.narrow(tenant_id, narrowing)

    async def add_key(self, key: KeyRecord) -> None:
        await self._credentials.add_key(key, "test", BEGINNING)

    async def revoke_key(self, key_id: str, now: datetime) -> None:
        await self._credentials.revoke_key(key_id, now)

    async def last_used(self, key_id: str) -> datetime | None:
        [row] = await self._database.execute(
            "SELECT last_used_at FROM genjobs.api_keys WHERE id = $1", key_id
        )
        at: datetime | None = row["last_used_at"]
        return at

    async def add_issuer_key(self, key: IssuerKey) -> None:
        await self._credentials.add_issuer_key(key, BEGINNING)

    async def revoke_tokens(self, owner: Owner, now: datetime) -> None:
        await self._credentials.revoke_tokens(owner, now)
