"""The ingest, as dictionaries: who may fetch next, and how a claim ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genjobs.domain.attempts import Recorded
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import Ingest
from genjobs.domain.lifecycle import JobEvent
from genjobs.domain.tenancy import Owner
from tests.contract.model.plain_jobs import INGEST, JobRow, PlainJobs


class PlainIngest(PlainJobs):
    """Part of the model."""

    def claimed(self, claims: Sequence[Ingest], executions: Sequence[ExecutionId]) -> None:
        """Check who may fetch now."""
        for claim, execution in zip(claims, executions, strict=False):
            lines = self._to_fetch()
            owner = claim.execution.owner
            assert owner in lines, "nothing to fetch for this user now"
            turn = self.fetched.get(owner, 0)
            for other in lines:  # nobody who came and was served before has to wait
                since = max(self.joined[other], self.fetched.get(other, 0))
                assert since >= turn, "another user's turn"
            job = min(lines[owner], key=lambda job: (job["ingest"]["due"], job["id"]))
            self.turn += 1
            self.fetched[owner] = self.turn
            state = job["ingest"]
            state["claim"] += 1
            state.update(execution=execution, lease=self.now + INGEST.lease)
            named = claim.execution.job_id, claim.execution.claim, claim.execution.execution_id
            assert named == (job["id"], state["claim"], execution)
        assert len(claims) == len(executions) or not self._to_fetch(), "passed over"

    def settle(self, job: JobRow, execution: ExecutionId, kind: str) -> set[Recorded]:
        """Return what may be answered; a give-back that others have overtaken may be forgotten."""
        state = job["ingest"]
        if state is None or state["execution"] != execution:
            given_back = {"retry", "released"}
            earlier = job["settled"].get(execution)
            if earlier is None or (kind == "finished") != (earlier == "finished"):
                return {Recorded.STALE}
            if job["last_settled"] == execution and (earlier in given_back) == (kind in given_back):
                return {Recorded.YOURS}
            return set(Recorded)
        job["settled"][execution], job["last_settled"] = kind, execution
        if kind == "finished":
            self._step(job, JobEvent.INPUTS_READY)
            job.update(eligible=True, ingest=None, not_before=self.now)
            job["deadline"] = self.now + job["timeout"]
        elif kind == "refused":
            self._end(job, JobEvent.INPUTS_FAILED, code="input_refused")
        elif kind == "retry":
            self.fail_try(job)
        else:
            state.update(execution=None, lease=None, due=self.now)
        return {Recorded.YOURS}

    def renew_claim(self, state: dict[str, Any]) -> None:
        state["lease"] = self.now + INGEST.lease

    def unfetched(self) -> list[JobRow]:
        states = [job for job in self.jobs.values() if job["ingest"]]
        return [
            job
            for job in states
            if job["ingest"]["deadline"] <= self.now
            or (job["ingest"]["lease"] and job["ingest"]["lease"] <= self.now)
        ]

    def fail_try(self, job: JobRow, *, for_good: bool = False) -> None:
        state = job["ingest"]
        state["tries"] += 1
        if for_good or state["tries"] >= INGEST.tries:
            self._end(job, JobEvent.INPUTS_FAILED, code="input_unavailable")
        else:
            pause = INGEST.backoff * 2 ** (state["tries"] - 1)
            state.update(execution=None, lease=None, due=self.now + pause)

    def _to_fetch(self) -> dict[Owner, list[JobRow]]:
        jobs = [job for job in self.jobs.values() if job["ingest"]]
        busy = [job["owner"] for job in jobs if job["ingest"]["execution"]]
        tenants = [owner.tenant_id for owner in busy]
        lines: dict[Owner, list[JobRow]] = {}
        for job in jobs:
            state, owner = job["ingest"], job["owner"]
            if (
                state["execution"] is None
                and state["due"] <= self.now < state["deadline"]
                and busy.count(owner) < INGEST.per_user
                and tenants.count(owner.tenant_id) < INGEST.per_tenant
            ):
                lines.setdefault(owner, []).append(job)
        return lines
