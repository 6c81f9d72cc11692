"""Attempts: dispatched, started, kept alive and ended, by their own execution and by strangers."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from genjobs.domain.attempts import (
    Assignment,
    Beat,
    BeatReply,
    Execution,
    Recorded,
    Stopped,
)
from genjobs.domain.errors import StaleAttempt
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import CancelMethod
from genjobs.domain.lifecycle import Phase
from genjobs.testing.contracts.ledger_steps import BROKEN, TIMINGS, completed, failed
from tests.contract.model.base import MachineBase, Pick, picks
from tests.contract.model.plain_jobs import JobRow

_OUTCOMES = ("completed", "failed", "stopped", "released", "crashed")


class WorkRules(MachineBase):
    """Part of the machine."""

    @precondition(lambda self: self.model.jobs)
    @rule(limit=st.sampled_from((1, 2, 9)))
    def dispatch(self, limit: int) -> None:
        self._dispatch(limit)

    def _dispatch(self, limit: int) -> None:
        given = self.run(self.backend.ledger.dispatch(now=self.model.now, limit=limit))
        self.model.dispatched(given, limit)
        self.assignments += given

    @precondition(lambda self: self.assignments)
    @rule(which=picks, again=st.booleans(), shift=st.sampled_from((0, 0, 0, 1, -1)))
    def start(self, which: Pick, again: bool, shift: int) -> None:
        given = which.of(self.assignments)
        given = dataclasses.replace(given, attempt=given.attempt + shift)
        execution = ExecutionId(self.ids.uuid4())
        if again and self.executions:
            execution = which.of(self.executions).execution_id
        self._start(given, execution)

    @precondition(lambda self: self.assignments)
    @rule(which=picks, shift=st.sampled_from((0, 0, 0, 1, -1)), foreign=st.booleans())
    def withdraw(self, which: Pick, shift: int, foreign: bool) -> None:
        given = which.of(self.assignments)
        given = dataclasses.replace(given, attempt=given.attempt + shift)
        job: JobRow | None = self.model.jobs[given.job_id]
        if foreign:
            other = self.tenants[given.owner.tenant_id == self.tenants[0]]
            owner = dataclasses.replace(given.owner, tenant_id=other)
            given, job = dataclasses.replace(given, owner=owner), None
        expected = self.model.withdraw(job, given.attempt)
        assert self.run(self.backend.calls.withdraw(given, now=self.model.now)) is expected

    def _start(self, given: Assignment, execution: ExecutionId) -> None:
        job = self.model.jobs[given.job_id]
        expected = self.model.start(job, given.attempt, execution)
        try:
            started = self.run(self.backend.ledger.start(given, execution, now=self.model.now))
        except StaleAttempt:
            assert not expected
            return
        assert expected
        assert started.cancel_requested == job["cancelled"]
        if started.execution not in self.executions:
            self.executions.append(started.execution)

    @precondition(lambda self: self.executions)
    @rule(which=st.lists(picks, min_size=1, max_size=3), shift=st.sampled_from((0, 0, 0, 1)))
    def heartbeat(self, which: list[Pick], shift: int) -> None:
        named = {pick.of(self.executions).execution_id: pick for pick in which}
        beats, expected = [], {}
        for execution_id, pick in named.items():
            execution = pick.of(self.executions)
            execution = dataclasses.replace(execution, attempt=execution.attempt + shift)
            beats.append(Beat(execution=execution, phase=Phase.RENDERING, progress=None))
            job = self.model.jobs[execution.job_id]
            expected[execution_id] = BeatReply.LEASE_LOST
            if self.model.holds(job, execution.attempt, execution_id):
                self.model.renew(job)
                expected[execution_id] = BeatReply.CANCEL if job["cancelled"] else BeatReply.GO_ON
        assert self.run(self.backend.ledger.heartbeat(beats, now=self.model.now)) == expected

    @precondition(lambda self: self.executions)
    @rule(which=st.integers(-4, -1).map(Pick), kind=st.sampled_from(_OUTCOMES))
    def end_a_late_one(self, which: Pick, kind: str) -> None:
        self.end_one(which.of(self.executions), kind, None, twice=False)

    @precondition(lambda self: self.executions)
    @rule(
        which=picks,
        kind=st.sampled_from(_OUTCOMES),
        stranger=st.sampled_from((None, None, None, "attempt", "execution", "tenant")),
        twice=st.booleans(),
    )
    def end(self, which: Pick, kind: str, stranger: str | None, twice: bool) -> None:
        self.end_one(which.of(self.executions), kind, stranger, twice=twice)

    def end_one(
        self, execution: Execution, kind: str, stranger: str | None, *, twice: bool
    ) -> None:
        job: JobRow | None = self.model.jobs[execution.job_id]
        if stranger == "attempt":
            execution = dataclasses.replace(execution, attempt=execution.attempt + 1)
        elif stranger == "execution":
            execution = dataclasses.replace(execution, execution_id=ExecutionId(self.ids.uuid4()))
        elif stranger == "tenant":
            other = self.tenants[execution.owner.tenant_id == self.tenants[0]]
            execution = dataclasses.replace(
                execution, owner=dataclasses.replace(execution.owner, tenant_id=other)
            )
            job = None
        for _ in range(1 + twice):
            was = job["finished"] if job else None
            expected = self.model.end(job, execution.attempt, execution.execution_id, kind)
            assert self.run(self._end(execution, kind)) is expected
            if job and kind == "completed" and expected is Recorded.YOURS and was is None:
                self.model.limits.count_bytes(execution.owner, 123, self.model.now)

    async def _end(self, execution: Execution, kind: str) -> Recorded:
        ledger, now = self.backend.ledger, self.model.now
        if kind == "released":
            return await ledger.release(execution, now=now)
        if kind == "crashed":
            return await ledger.crash(execution, dataclasses.replace(BROKEN, code=kind), now=now)
        stopped = Stopped(
            method=CancelMethod.PROCESS_KILLED,
            stopped_at=now,
            gpu_seconds_after_request=0.0,
            timings=TIMINGS,
        )
        outcomes = {"completed": completed(execution), "failed": failed(), "stopped": stopped}
        return await ledger.finish(execution, outcomes[kind], now=now)
