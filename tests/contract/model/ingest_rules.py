"""Media of jobs: claimed, and settled in every way, once and again."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from genjobs.domain.artifacts import InputFile
from genjobs.domain.attempts import (
    Recorded,
)
from genjobs.domain.errors import InputRefused
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import IngestExecution
from genjobs.testing.factories import an_input
from tests.contract.model.base import MachineBase, Pick, picks

_SETTLED = ("finished", "refused", "retry", "released")


class IngestSteps(MachineBase):
    """Part of the machine."""

    @precondition(lambda self: self.model.jobs)
    @rule(count=st.sampled_from((1, 2, 4)))
    def claim(self, count: int) -> None:
        self._claim(count)

    def _claim(self, count: int) -> None:
        executions = [ExecutionId(self.ids.uuid4()) for _ in range(count)]
        claims = self.run(self.backend.ingests.claim(executions, now=self.model.now))
        self.model.claimed(claims, executions)
        self.claims += claims

    @precondition(lambda self: self.claims)
    @rule(which=picks, kind=st.sampled_from((*_SETTLED, "beat")), twice=st.booleans())
    def settle(self, which: Pick, kind: str, twice: bool) -> None:
        named = which.of(self.claims).execution
        if kind == "beat":
            self._beat_of_an_ingest(named)
            return
        job = self.model.jobs[named.job_id]
        files: list[InputFile] = [an_input(named.owner, named.job_id, name="late.png")]
        for _ in range(1 + twice):
            eligible = job["eligible"]
            expected = self.model.settle(job, named.execution_id, kind)
            assert self.run(self._settle(named, kind, files)) in expected
            if job["eligible"] and not eligible:
                self.model.limits.count_bytes(named.owner, files[0].bytes, self.model.now)

    async def _settle(self, named: IngestExecution, kind: str, files: list[InputFile]) -> Recorded:
        ingests, now = self.backend.ingests, self.model.now
        if kind == "finished":
            return await ingests.finish(named, files, now=now)
        if kind == "refused":
            return await ingests.refuse(named, InputRefused(), now=now)
        return await (ingests.retry if kind == "retry" else ingests.release)(named, now=now)

    def _beat_of_an_ingest(self, named: IngestExecution) -> None:
        state = self.model.jobs[named.job_id]["ingest"]
        held = state is not None and state["execution"] == named.execution_id
        if held:
            self.model.renew_claim(state)
        answer = self.run(self.backend.ingests.heartbeat([named], now=self.model.now))
        assert answer == ({named.execution_id} if held else set())
