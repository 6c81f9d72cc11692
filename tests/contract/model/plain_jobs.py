"""Jobs as dictionaries: what all parts of the model stand on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ids import JobId
from genjobs.domain.ingests import IngestRules
from genjobs.domain.lifecycle import FINAL, JobEvent, JobStatus, after
from genjobs.domain.tenancy import Owner
from tests.contract.model.plain_limits import PlainLimits

WINDOW = 5
DEADLINES = Deadlines()
INGEST = IngestRules(per_tenant=3, per_user=2)
JobRow = dict[str, Any]


class PlainJobs:
    """All jobs of all tenants, and what time it is."""

    def __init__(self, now: datetime, limits: PlainLimits) -> None:
        self.now = now
        self.limits = limits
        self.jobs: dict[JobId, JobRow] = {}
        self.keys: dict[tuple[Owner, str], tuple[bytes, JobId, datetime]] = {}
        #: When each was last served, by a count of all turns; None when that may be forgotten.
        self.served: dict[Any, int | None] = {}
        self.fetched: dict[Owner, int] = {}
        self.joined: dict[Owner, int] = {}
        self.turn = 0
        self.forgotten: set[Owner] = set()

    def waiting(self, owner: Owner) -> list[JobRow]:
        return [
            job
            for job in self.of(owner)
            if job["status"] is JobStatus.QUEUED and job["eligible"] and not job["slot"]
        ]

    def in_flight(self, of: object) -> int:
        return sum(bool(job["slot"]) for job in self.of(of))

    def of(self, whose: object) -> list[JobRow]:
        return [
            job for job in self.jobs.values() if whose in (job["owner"], job["owner"].tenant_id)
        ]

    def _step(self, job: JobRow, event: JobEvent) -> None:
        job["status"] = after(job["status"], event)

    def _end(
        self, job: JobRow, event: JobEvent, *, method: str | None = None, code: str | None = None
    ) -> None:
        self._step(job, event)
        assert job["status"] in FINAL
        job.update(slot=None, ingest=None, finished=self.now, method=method, code=code)

    def _requeue(self, job: JobRow, event: JobEvent, at: datetime) -> None:
        self._step(job, event)
        job.update(slot=None, not_before=at, deadline=at + job["timeout"], paused=at > self.now)
