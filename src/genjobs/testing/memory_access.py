"""Keys, and the rules and counts of tenants, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey, KeyRecord, KeyText, TokenHead, UserStanding
from genjobs.domain.ids import TenantId
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.plans import Usage, Used
from genjobs.domain.tenancy import Owner, Reach, Scope
from genjobs.testing.memory_rows import MemoryJobs


class MemoryKeyDirectory:
    """The ``KeyDirectory`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """See the port."""
        self._jobs.reach()
        return self._jobs.tenants.keys.get(key_id)

    async def find_issuer_key(self, head: TokenHead) -> IssuerKey | None:
        """See the port."""
        self._jobs.reach()
        key = self._jobs.tenants.issuer_keys.get((head.issuer, head.kid))
        return key if key is not None and key.tenant_id == head.tenant_id else None

    async def touch(self, used: Mapping[str, tuple[TenantId, datetime]]) -> None:
        """See the port."""
        self._jobs.reach()
        touched = self._jobs.tenants.touched
        for key_id, (_, at) in used.items():
            touched[key_id] = max(at, touched.get(key_id, at))


class MemoryTenantDirectory:
    """The ``TenantDirectory`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def narrowing(self, tenant_id: TenantId) -> Narrowing:
        """See the port."""
        self._jobs.reach()
        return self._jobs.tenants.rules(tenant_id).narrowing

    async def standing(self, owner: Owner) -> UserStanding:
        """See the port."""
        self._jobs.reach()
        tenants = self._jobs.tenants
        return UserStanding(
            tokens_since=tenants.token_cutoffs.get(owner),
            browser_writes=tenants.user_limits(owner).browser_writes,
        )

    async def usage(self, reach: Reach, *, now: datetime) -> Usage:
        """See the port."""
        tenants = self._jobs.tenants
        tenant = self._used(reach.tenant_id, now)
        if reach.user_id is None:
            return Usage(tenant=tenant, user=None)
        owner = Owner(tenant_id=reach.tenant_id, user_id=reach.user_id)
        return Usage(tenant=tenant, user=self._used(owner, now, tenants.plans_of_users.get(owner)))

    def _used(self, of: TenantId | Owner, now: datetime, plan: str | None = None) -> Used:
        tenants = self._jobs.tenants
        mine = [
            row
            for row in self._jobs.rows.values()
            if of in (row.job.owner, row.job.owner.tenant_id)
            and row.job.status in (JobStatus.QUEUED, JobStatus.RUNNING)
        ]
        counts = tenants.counts(of)
        today = counts.day >= now.astimezone(UTC).date()
        limits = tenants.user_limits(of) if isinstance(of, Owner) else tenants.tenant_limits(of)
        return Used(
            limits=limits,
            plan=plan,
            queued=sum(row.slot is None for row in mine),
            in_flight=sum(row.slot is not None for row in mine),
            jobs_today=counts.jobs if today else 0,
            bytes_today=counts.bytes if today else 0,
            uploads=self._jobs.unused_uploads(of),
        )


def a_key_text(name: str = "key", *, live: bool = False) -> KeyText:
    """Return the key of this name: always the same, and known to everybody."""
    return KeyText.make(live=live, random=hashlib.sha512(name.encode()).digest()[:42])


def a_key_record(
    key: KeyText,
    tenant_id: TenantId,
    *scopes: Scope,
    expires_at: datetime | None = None,
    revoked_at: datetime | None = None,
) -> KeyRecord:
    """Return what is stored of a key, with every scope unless some are given."""
    return KeyRecord(
        id=key.id,
        tenant_id=tenant_id,
        live=key.live,
        secret_sha256=key.digest(),
        scopes=frozenset(scopes or Scope),
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
