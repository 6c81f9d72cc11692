"""What the suites of the job ports run on; their tests are in the suites."""

from __future__ import annotations

from dataclasses import dataclass

from genjobs.domain.ids import TenantId
from genjobs.domain.job import Job
from genjobs.domain.ports import JobLedger, JobStore
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing.factories import a_new_job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsBackend:
    """A store and a ledger over the same, empty data, for two tenants that exist."""

    store: JobStore
    ledger: JobLedger
    tenants: tuple[TenantId, TenantId]

    def owner(self, user_id: str = "u_1", tenant: int = 0) -> Owner:
        """Return a user of the first or second tenant."""
        return Owner(tenant_id=self.tenants[tenant], user_id=user_id)

    async def submitted(self, owner: Owner | None = None, **parts: object) -> Job:
        """Create a job and return it."""
        new = a_new_job(owner or self.owner(), **parts)  # type: ignore[arg-type]
        return (await self.store.create(new)).job

    async def read(self, job: Job) -> Job:
        """Return the job as it is now."""
        found = await self.store.get(reach_of(job.owner), job.id)
        assert found is not None
        return found


def reach_of(owner: Owner) -> Reach:
    """Return the reach of one user."""
    return Reach(tenant_id=owner.tenant_id, user_id=owner.user_id)
