"""The ingest ledger in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from genjobs.domain.artifacts import InputFile
from genjobs.domain.attempts import Recorded, Rescue
from genjobs.domain.errors import InputUnavailable, JobFailure
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import Ingest, IngestExecution, IngestRules
from genjobs.domain.job import JobError
from genjobs.domain.lifecycle import JobEvent
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing.memory_rows import IngestState, MemoryJobs, Row


class MemoryIngestLedger:
    """The ``IngestLedger`` port."""

    def __init__(self, jobs: MemoryJobs, rules: IngestRules | None = None) -> None:
        self._jobs = jobs
        self._rules = rules or IngestRules()
        #: Users in the order in which they were served, the latest last.
        self._served: dict[Owner, None] = {}

    async def claim(self, executions: Sequence[ExecutionId], *, now: datetime) -> Sequence[Ingest]:
        """See the port."""
        claimed = []
        for execution_id in executions:
            row = self._next(now)
            if row is None or row.ingest is None:
                break
            state, owner = row.ingest, row.job.owner
            self._served.pop(owner, None)
            self._served[owner] = None
            state.claim += 1
            state.execution_id = execution_id
            state.lease_expires_at = now + self._rules.lease
            execution = IngestExecution(
                owner=owner, job_id=row.job.id, claim=state.claim, execution_id=execution_id
            )
            claimed.append(Ingest(execution=execution, media=state.media, deadline=state.deadline))
        return claimed

    async def heartbeat(
        self, executions: Sequence[IngestExecution], *, now: datetime
    ) -> frozenset[ExecutionId]:
        """See the port."""
        held = set()
        for execution in executions:
            row = self._held(execution)
            if row is not None and row.ingest is not None:
                row.ingest.lease_expires_at = now + self._rules.lease
                held.add(execution.execution_id)
        return frozenset(held)

    async def finish(
        self, execution: IngestExecution, inputs: Sequence[InputFile], *, now: datetime
    ) -> Recorded:
        """See the port."""
        row = self._held(execution)
        if row is None:
            return self._repeated(execution, finished=True)
        row.ingested_by[execution.execution_id] = True
        copied = {media.name for media in row.ingest.media if media.upload} if row.ingest else set()
        fetched = sum(entry.bytes for entry in inputs if entry.name not in copied)
        self._jobs.tenants.add_bytes(row.job.owner, now, fetched)
        row.ingest = None
        row.eligible_at = row.not_before = now
        row.step(
            JobEvent.INPUTS_READY,
            eligible=True,
            inputs=(*row.job.inputs, *inputs),
            queue_deadline=now + row.queue_timeout,
        )
        return Recorded.YOURS

    async def refuse(
        self, execution: IngestExecution, failure: JobFailure, *, now: datetime
    ) -> Recorded:
        """See the port."""
        row = self._held(execution)
        if row is None:
            return self._repeated(execution, finished=False)
        row.ingested_by[execution.execution_id] = False
        _fail(row, failure, now)
        return Recorded.YOURS

    async def retry(self, execution: IngestExecution, *, now: datetime) -> Recorded:
        """See the port."""
        row = self._held(execution)
        if row is None or row.ingest is None:
            return self._repeated(execution, finished=False)
        row.ingested_by[execution.execution_id] = False
        self._count_try(row, row.ingest, now)
        return Recorded.YOURS

    async def release(self, execution: IngestExecution, *, now: datetime) -> Recorded:
        """See the port."""
        row = self._held(execution)
        if row is None or row.ingest is None:
            return self._repeated(execution, finished=False)
        row.ingested_by[execution.execution_id] = False
        _give_back(row.ingest, now)
        return Recorded.YOURS

    async def rescue(self, *, now: datetime, limit: int) -> Sequence[Rescue]:
        """See the port."""
        done: list[Rescue] = []
        for row in self._jobs.rows.values():
            state = row.ingest
            if state is None or len(done) == limit:
                continue
            if state.deadline <= now:
                _fail(row, InputUnavailable(), now)
            elif self._jobs.shared.lapsed(state.lease_expires_at, now):
                self._count_try(row, state, now)
            else:
                continue
            done.append(row.rescue())
        return done

    async def backlog(self) -> int:
        """See the port."""
        return sum(row.ingest is not None for row in self._jobs.rows.values())

    def _next(self, now: datetime) -> Row | None:
        open_rows = [row for row in self._jobs.rows.values() if row.ingest is not None]
        busy = [row.job.owner for row in open_rows if row.ingest and row.ingest.execution_id]
        tenants = [owner.tenant_id for owner in busy]
        order = {owner: place for place, owner in enumerate(self._served, start=1)}
        due = [
            row
            for row in open_rows
            if row.ingest
            and row.ingest.execution_id is None
            and row.ingest.not_before <= now < row.ingest.deadline
            and busy.count(row.job.owner) < self._rules.per_user
            and tenants.count(row.job.owner.tenant_id) < self._rules.per_tenant
        ]
        return min(
            due,
            key=lambda row: (
                order.get(row.job.owner, 0),
                row.ingest.not_before if row.ingest else now,
                row.job.id,
            ),
            default=None,
        )

    def _count_try(self, row: Row, state: IngestState, now: datetime) -> None:
        state.tries += 1
        if state.tries >= self._rules.tries:
            _fail(row, InputUnavailable(), now)
        else:
            _give_back(state, now + self._rules.backoff * 2 ** (state.tries - 1))

    def _held(self, execution: IngestExecution) -> Row | None:
        row = self._row(execution)
        state = row.ingest if row else None
        return row if state and state.execution_id == execution.execution_id else None

    def _row(self, execution: IngestExecution) -> Row | None:
        reach = Reach(tenant_id=execution.owner.tenant_id, user_id=None)
        return self._jobs.within(reach, execution.job_id)

    def _repeated(self, execution: IngestExecution, *, finished: bool) -> Recorded:
        row = self._row(execution)
        yours = row is not None and row.ingested_by.get(execution.execution_id) is finished
        return Recorded.YOURS if yours else Recorded.STALE


def _give_back(state: IngestState, not_before: datetime) -> None:
    state.execution_id = state.lease_expires_at = None
    state.not_before = not_before


def _fail(row: Row, failure: JobFailure, now: datetime) -> None:
    row.ingest = None
    row.step(JobEvent.INPUTS_FAILED, finished_at=now, error=JobError.of(failure))
