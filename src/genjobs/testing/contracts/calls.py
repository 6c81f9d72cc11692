"""The contracts of ``Caller`` and ``CallLedger``: engines that have to be called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest

from genjobs.domain.attempts import Assignment, Recorded
from genjobs.domain.errors import StaleAttempt, Unavailable
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.ports import Caller, CallLedger
from genjobs.testing.contracts.job_store import JobsBackend, reach_of
from genjobs.testing.contracts.ledger_steps import NOW, completed
from genjobs.testing.factories import an_owner


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsBackend(JobsBackend):
    """A backend whose calls are kept too."""

    calls: CallLedger

    async def dispatched(self) -> tuple[Job, Assignment]:
        """Return a job that holds a slot and waits for its worker."""
        job = await self.submitted()
        [assignment] = await self.ledger.dispatch(now=NOW, limit=1)
        return job, assignment


class CallLedgerContract:
    """Needs the fixture ``jobs``: a backend with 8 slots."""

    @pytest.fixture
    def jobs(self) -> CallsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_call_of_a_waiting_attempt_is_kept_and_wanted(self, jobs: CallsBackend) -> None:
        _, given = await jobs.dispatched()
        assert await jobs.calls.note(given, "call-1")
        assert await jobs.calls.note(given, "call-1")

        assert await jobs.calls.calls_of([given]) == ["call-1"]

    async def test_worker_that_came_first_is_not_overwritten(self, jobs: CallsBackend) -> None:
        _, given = await jobs.dispatched()
        await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW, call_id="worker#call-1")
        assert await jobs.calls.note(given, "call-1")

        assert await jobs.calls.calls_of([given]) == ["worker#call-1"]

    async def test_worker_that_does_not_say_who_it_is_keeps_the_call(
        self, jobs: CallsBackend
    ) -> None:
        _, given = await jobs.dispatched()
        await jobs.calls.note(given, "call-1")
        await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW)

        assert await jobs.calls.calls_of([given]) == ["call-1"]

    @pytest.mark.parametrize("started", [False, True])
    async def test_call_of_a_cancelled_job_is_not_wanted(
        self, jobs: CallsBackend, started: bool
    ) -> None:
        job, given = await jobs.dispatched()
        if started:
            await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW)
        await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)

        assert not await jobs.calls.note(given, "call-1")
        if not started:  # the one who cancels may look later than the call was noted
            assert await jobs.calls.calls_of([given]) == ["call-1"]

    async def test_call_of_an_attempt_that_has_ended_is_not_wanted(
        self, jobs: CallsBackend
    ) -> None:
        _, given = await jobs.dispatched()
        started = await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW, call_id="w#c")
        execution = started.execution
        assert await jobs.ledger.finish(execution, completed(execution), now=NOW) is Recorded.YOURS

        assert not await jobs.calls.note(given, "call-1")
        assert await jobs.calls.calls_of([given]) == ["w#c"]

    async def test_withdrawn_attempt_is_queued_again_and_never_started(
        self, jobs: CallsBackend
    ) -> None:
        job, given = await jobs.dispatched()
        assert await jobs.calls.withdraw(given, now=NOW)
        assert not await jobs.calls.withdraw(given, now=NOW)

        assert (await jobs.ledger.overview(now=NOW)).slots_free == 8
        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW)
        [again] = await jobs.ledger.dispatch(now=NOW, limit=5)
        assert (again.job_id, again.attempt) == (job.id, 2)

    async def test_attempt_that_a_worker_has_is_not_withdrawn(self, jobs: CallsBackend) -> None:
        job, given = await jobs.dispatched()
        started = await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW)
        assert not await jobs.calls.withdraw(given, now=NOW)

        assert (await jobs.read(job)).status is JobStatus.RUNNING
        execution = started.execution
        assert await jobs.ledger.finish(execution, completed(execution), now=NOW) is Recorded.YOURS

    async def test_start_and_withdrawal_at_once_agree(self, jobs: CallsBackend) -> None:
        for _ in range(5):
            _, given = await jobs.dispatched()
            start = jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW)
            started, withdrawn = await asyncio.gather(
                start, jobs.calls.withdraw(given, now=NOW), return_exceptions=True
            )
            assert isinstance(started, StaleAttempt) == withdrawn

    async def test_another_tenants_name_for_an_attempt_reaches_nothing(
        self, jobs: CallsBackend
    ) -> None:
        job, given = await jobs.dispatched()
        await jobs.calls.note(given, "call-1")
        foreign = Assignment(owner=jobs.owner(tenant=1), job_id=given.job_id, attempt=given.attempt)
        assert not await jobs.calls.note(foreign, "call-2")
        assert not await jobs.calls.withdraw(foreign, now=NOW)

        assert await jobs.calls.calls_of([foreign]) == []
        assert await jobs.calls.calls_of([given]) == ["call-1"]
        assert (await jobs.read(job)).attempt == 1

    async def test_attempts_without_a_call_have_none(self, jobs: CallsBackend) -> None:
        _, given = await jobs.dispatched()
        unknown = Assignment(owner=given.owner, job_id=JobId(uuid4()), attempt=1)
        assert await jobs.calls.calls_of([given, unknown]) == []
        assert await jobs.calls.calls_of([]) == []


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where calls go, as a test sees it."""

    #: Whether a call waits or runs.
    is_open: Callable[[str], Awaitable[bool]]
    #: What was handed over with a call.
    given: Callable[[str], Awaitable[Assignment]]
    #: Names of other platforms, and of nothing.
    foreign: tuple[str, ...]


class CallerContract:
    """Needs the fixtures ``caller``, ``platform`` and ``unreachable``."""

    @pytest.fixture
    def caller(self) -> Caller:
        """Return the caller under test."""
        raise NotImplementedError

    @pytest.fixture
    def platform(self) -> Platform:
        """Return where its calls go."""
        raise NotImplementedError

    @pytest.fixture
    def unreachable(self) -> Caller:
        """Return a caller whose platform does not answer."""
        raise NotImplementedError

    async def test_each_attempt_is_a_call_of_its_own(
        self, caller: Caller, platform: Platform
    ) -> None:
        given = [
            Assignment(owner=an_owner(), job_id=JobId(uuid4()), attempt=number)
            for number in (1, 2, 3)
        ]
        names = [await caller.call(assignment) for assignment in given]

        assert len(set(names)) == 3
        assert [await platform.given(name) for name in names] == given

    async def test_cancelled_call_is_not_open_and_others_are(
        self, caller: Caller, platform: Platform
    ) -> None:
        one, other = [
            await caller.call(Assignment(owner=an_owner(), job_id=JobId(uuid4()), attempt=1))
            for _ in range(2)
        ]
        await caller.cancel(one)
        await caller.cancel(one)

        assert not await platform.is_open(one)
        assert await platform.is_open(other)

    async def test_call_is_cancelled_by_what_its_worker_says_as_well(
        self, caller: Caller, platform: Platform
    ) -> None:
        name = await caller.call(Assignment(owner=an_owner(), job_id=JobId(uuid4()), attempt=1))
        await caller.cancel(f"worker#{name}")
        assert not await platform.is_open(name)

    async def test_foreign_names_are_left_alone(self, caller: Caller, platform: Platform) -> None:
        name = await caller.call(Assignment(owner=an_owner(), job_id=JobId(uuid4()), attempt=1))
        for foreign in ("", "nonsense", *platform.foreign):
            await caller.cancel(foreign)
        assert await platform.is_open(name)

    async def test_platform_that_does_not_answer_is_unavailable(self, unreachable: Caller) -> None:
        with pytest.raises(Unavailable):
            await unreachable.call(Assignment(owner=an_owner(), job_id=JobId(uuid4()), attempt=1))
