"""What the suites of the ingest ledger run on; their tests are in the suites."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from genjobs.domain.ids import ExecutionId, TenantId
from genjobs.domain.ingests import Ingest, IngestRules
from genjobs.domain.job import Job
from genjobs.domain.ports import IngestLedger, JobLedger, JobStore
from genjobs.domain.tenancy import Owner
from genjobs.testing.clock import BEGINNING as NOW
from genjobs.testing.contracts.jobs_backend import reach_of
from genjobs.testing.factories import a_new_job

#: What a backend under test must be opened with.
INGEST_RULES: Final = IngestRules(per_tenant=3, per_user=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestBackend:
    """An ingest ledger with :data:`INGEST_RULES`, and the jobs it works on, for two tenants."""

    store: JobStore
    ledger: JobLedger
    ingests: IngestLedger
    tenants: tuple[TenantId, TenantId]

    async def submitted(self, user_id: str = "u_1", tenant: int = 0, **parts: object) -> Job:
        """Create a job that waits for one picture and has another one already."""
        owner = Owner(tenant_id=self.tenants[tenant], user_id=user_id)
        new = a_new_job(owner, pending=["late.png"], inputs=["early.png"], **parts)  # type: ignore[arg-type]
        return (await self.store.create(new)).job

    async def claim(self, count: int = 1, *, later: timedelta = timedelta()) -> list[Ingest]:
        """Claim with ``count`` new executions."""
        executions = [ExecutionId(uuid4()) for _ in range(count)]
        return list(await self.ingests.claim(executions, now=NOW + later))

    async def read(self, job: Job) -> Job:
        """Return the job as it is now."""
        found = await self.store.get(reach_of(job.owner), job.id)
        assert found is not None
        return found
