"""What all rules of the state machine stand on: the backend, and what holds after every step."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid5

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from genjobs.domain.attempts import (
    Assignment,
    Execution,
)
from genjobs.domain.errors import GenjobsError, IdempotencyMismatch
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.ingests import Ingest
from genjobs.domain.job import Idempotency, Job, NewJob
from genjobs.domain.lifecycle import FINAL
from genjobs.domain.plans import Used
from genjobs.domain.ports import (
    CallLedger,
    IngestLedger,
    JobLedger,
    JobStore,
    RetentionLedger,
    TenantDirectory,
)
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing.clock import BEGINNING, SequentialIds
from tests.contract.model.plain_jobs import WINDOW, JobRow
from tests.contract.model.plain_limits import PlainLimits
from tests.contract.model.plain_model import PlainModel

_T = TypeVar("_T")
#: What is compared of every job after every step.
Facts = tuple[Any, ...]


class Backend(Protocol):
    """The ports under test, and a look at what they keep."""

    store: JobStore
    ledger: JobLedger
    calls: CallLedger
    ingests: IngestLedger
    retention: RetentionLedger
    directory: TenantDirectory
    #: Whether the counts of users who are gone are removed.
    forgets_users: bool

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return what the work returns."""

    async def begin(self, tenants: tuple[TenantId, TenantId]) -> None:
        """Forget everything, and make the two tenants with the model's limits."""

    async def facts(self) -> tuple[dict[JobId, Facts], list[str]]:
        """Return what is kept of each job, and which invariants of the rows do not hold."""


@dataclass(frozen=True, slots=True)
class Pick:
    """Any of those there are."""

    number: int

    def of(self, things: list[_T]) -> _T:
        return things[self.number % len(things)]


# The later ones are the more interesting; 0, to which examples shrink, is the latest.
picks = st.integers(0, 40).map(lambda number: Pick(-1 - number))
limits = st.sampled_from((100, 1, 2))
_SPACE = UUID(int=1)


class MachineBase(RuleBasedStateMachine):
    """Each example begins with two tenants of its own and no job."""

    examples = 0

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.backend = backend
        type(self).examples += 1
        ids = [uuid5(_SPACE, f"{type(self).examples} {n}") for n in range(2)]
        self.tenants = TenantId(ids[0]), TenantId(ids[1])
        self.owners = [
            Owner(tenant_id=tenant, user_id=user)
            for user in ("u_1", "u_2")
            for tenant in self.tenants
        ]
        self.run = backend.run
        self.run(backend.begin(self.tenants))
        self.model = PlainModel(BEGINNING, PlainLimits(self.tenants[0]))
        self.ids = SequentialIds()
        self.assignments: list[Assignment] = []
        self.executions: list[Execution] = []
        self.claims: list[Ingest] = []
        self.last: dict[JobId, Job] = {}

    def _submit(self, new: NewJob) -> None:
        model, owner, asked = self.model, new.owner, new.idempotency
        before = model.submitted_before(owner, asked.key) if asked else None
        queued = {
            of: sum(not job["slot"] and job["finished"] is None for job in model.of(of))
            for of in (owner, owner.tenant_id)
        }
        refusal = model.limits.refusal(new, queued)
        expected = refusal.__name__ if refusal else "created"
        if asked and before is not None:
            same = before[0] == asked.fingerprint
            expected = "replayed" if same else IdempotencyMismatch.__name__
        if asked:
            self._look_up(owner, asked, before)
        try:
            created = self.run(self.backend.store.create(new))
        except GenjobsError as exc:
            outcome = type(exc).__name__
        else:
            outcome = "replayed" if created.replayed else "created"
        assert outcome == expected
        if outcome not in {"created", "replayed"}:
            return
        if before is not None:
            assert created.job.id == before[1]
        else:
            model.submit(new)
        self._check_job(created.job)

    def _look_up(
        self, owner: Owner, idempotency: Idempotency, before: tuple[bytes, JobId] | None
    ) -> None:
        try:
            found = self.run(
                self.backend.store.find_submitted(owner, idempotency, now=self.model.now)
            )
        except IdempotencyMismatch:
            assert before
            assert before[0] != idempotency.fingerprint
        else:
            assert (found and found.id) == (before and before[1])

    def _usage(self, owner: Owner) -> None:
        model = self.model
        reach = Reach(tenant_id=owner.tenant_id, user_id=owner.user_id)
        usage = self.run(self.backend.directory.usage(reach, now=model.now))
        for used, of in ((usage.tenant, owner.tenant_id), (usage.user, owner)):
            jobs, size = model.limits.today(of, model.now)
            waiting = sum(not job["slot"] and job["finished"] is None for job in model.of(of))
            plan = model.limits.plan_of.get(of) if isinstance(of, Owner) else None
            assert used == Used(
                limits=model.limits.of(of),
                plan=plan,
                **{"queued": waiting, "in_flight": model.in_flight(of)},
                **{"jobs_today": jobs, "bytes_today": size},
            )

    # -- what holds after every step ----------------------------------------------------------

    @invariant()
    def rows_are_as_promised(self) -> None:
        facts, broken = self.run(self.backend.facts())
        assert broken == []
        expected = {job_id: _facts(job) for job_id, job in self.model.jobs.items()}
        for job_id, job in expected.items():
            if facts.get(job_id) != job:
                note(f"{job_id}: expected {job}, found {facts.get(job_id)}")
        assert facts == expected

    @invariant()
    def overview_counts(self) -> None:
        seen = self.run(self.backend.ledger.overview(now=self.model.now))
        jobs = list(self.model.jobs.values())
        held = [job for job in jobs if job["slot"]]
        running = [job for job in held if job["slot"]["execution"]]
        assert (seen.slots_total, seen.slots_free) == (WINDOW, WINDOW - len(held))
        assert seen.running == len(running)
        assert seen.queued == sum(job["finished"] is None for job in jobs) - len(running)
        assert seen.open_cancels == sum(job["cancelled"] for job in running)

    @precondition(lambda self: self.model.jobs)
    @rule(which=picks)
    def read(self, which: Pick) -> None:
        job = self._job(which)
        self._check_job(self._read(job))
        self._usage(job["owner"])

    def teardown(self) -> None:
        """Read every job once more: no final one has changed since it was read first."""
        for job in self.model.jobs.values():
            self._check_job(self._read(job))

    def _job(self, which: Pick) -> JobRow:
        return which.of(list(self.model.jobs.values()))

    def _read(self, job: JobRow) -> Job:
        reach = Reach(tenant_id=job["owner"].tenant_id, user_id=job["owner"].user_id)
        found = self.run(self.backend.store.get(reach, job["id"]))
        assert found is not None
        return found

    def _check_job(self, found: Job) -> None:
        job = self.model.jobs[found.id]
        assert (found.owner, found.status, found.attempt) == (
            *(job["owner"], job["status"]),
            job["attempt"],
        )
        least, most = self.model.positions(job)
        place = found.queue_position
        assert place is least or (least and most and place and least <= place <= most)
        earlier = self.last.get(found.id)
        if earlier is not None and earlier.status in FINAL:
            assert found == earlier
        if "purged" in job:
            assert found.purged_at is not None
            assert (found.outputs, found.inputs, found.metadata) == ((), (), {})
        self.last[found.id] = found


def _facts(job: JobRow) -> Facts:
    slot = job["slot"]
    return (
        *(job["status"].value, job["eligible"], job["attempt"], job["charged"]),
        *(slot is not None, slot and slot["execution"]),
        *(job["cancelled"], job["method"], job["code"], job["finished"], job["deadline"]),
    )
