"""What the suites of ``Supervision`` run on; their tests are in the suites."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import IngestExecution
from genjobs.domain.job import Job
from genjobs.domain.ports import IngestLedger, Supervision
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts.jobs_backend import JobsBackend
from genjobs.testing.factories import a_new_job


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisionBackend(JobsBackend):
    """All that is kept of jobs, over the same, empty data."""

    ingests: IngestLedger
    supervision: Supervision

    async def claimed(self) -> tuple[Job, int]:
        """Create a job that waits for a picture, and claim it; return it and the claim's number."""
        job, claim, _ = await self.claimed_by()
        return job, claim

    async def claimed_by(self) -> tuple[Job, int, IngestExecution]:
        """As :meth:`claimed`, with who has claimed it."""
        new = a_new_job(self.owner("u_9"), pending=["late.png"], inputs=["early.png"])
        job = (await self.store.create(new)).job
        [ingest] = await self.ingests.claim([ExecutionId(uuid4())], now=BEGINNING)
        return job, ingest.execution.claim, ingest.execution
