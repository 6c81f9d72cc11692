"""The contract of ``Supervision``: ticks, graces, the pause, counts, the sweep's ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.artifacts import input_key
from genjobs.domain.attempts import Assignment, Execution
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.supervision import Deeds, Patience, SilentCancel, Termination
from genjobs.testing.contracts.ledger_steps import (
    DEADLINES,
    LOST,
    NOW,
    SECOND,
    completed,
    start,
)
from genjobs.testing.contracts.supervision_backend import SupervisionBackend
from genjobs.testing.contracts.swept_files import SweptFiles, file_of
from genjobs.testing.factories import an_owner

PATIENCE = Patience.of(DEADLINES)


class SupervisionContract(SweptFiles):
    """Needs the fixture ``jobs``: a backend with 8 slots and the default deadlines."""

    @pytest.fixture
    def jobs(self) -> SupervisionBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- ticks and graces ---------------------------------------------------------------------

    async def test_first_tick_gives_every_lease_more_time(self, jobs: SupervisionBackend) -> None:
        await jobs.submitted()
        await start(jobs)
        await jobs.claimed()
        late = NOW + timedelta(hours=1)

        assert await jobs.supervision.begin_tick(now=late)
        almost = late + DEADLINES.lease - SECOND
        assert await jobs.ledger.rescue_lost(now=almost, limit=10) == []
        assert await jobs.ingests.rescue(now=almost, limit=10) != []  # past its own deadline
        over = late + DEADLINES.lease
        assert len(await jobs.ledger.rescue_lost(now=over, limit=10)) == 1

    async def test_claims_are_given_more_time_too(self, jobs: SupervisionBackend) -> None:
        await jobs.claimed()
        late = NOW + LOST
        assert await jobs.supervision.begin_tick(now=late)

        assert await jobs.ingests.rescue(now=late + DEADLINES.lease - SECOND, limit=10) == []
        assert len(await jobs.ingests.rescue(now=late + DEADLINES.lease, limit=10)) == 1

    async def test_ticks_in_time_give_nothing(self, jobs: SupervisionBackend) -> None:
        for n in range(9):
            assert await jobs.supervision.begin_tick(now=NOW + 5 * n * SECOND) == (n == 0)
        later = NOW + 40 * SECOND
        await jobs.submitted()
        await start(jobs, at=NOW)

        assert len(await jobs.ledger.rescue_lost(now=later, limit=10)) == 1

    async def test_outage_longer_than_the_lease_rescues_nobody(
        self, jobs: SupervisionBackend
    ) -> None:
        await jobs.submitted()
        await start(jobs)
        await jobs.supervision.begin_tick(now=NOW - 10 * SECOND)
        await jobs.supervision.begin_tick(now=NOW)
        back = NOW + 3 * DEADLINES.lease

        assert await jobs.supervision.begin_tick(now=back)
        for n in range(6):
            assert await jobs.ledger.rescue_lost(now=back + 5 * n * SECOND, limit=10) == []
            assert not await jobs.supervision.begin_tick(now=back + 5 * n * SECOND)

    async def test_outage_a_little_shorter_than_the_lease_rescues_nobody(
        self, jobs: SupervisionBackend
    ) -> None:
        await jobs.supervision.begin_tick(now=NOW)
        await jobs.submitted(at=NOW - 4 * SECOND)
        await start(jobs, at=NOW - 4 * SECOND)  # no heartbeat got through since
        back = NOW + DEADLINES.lease - SECOND

        assert await jobs.supervision.begin_tick(now=back)
        assert await jobs.ledger.rescue_lost(now=back, limit=10) == []

    async def test_supervisor_that_comes_seldom_still_finds_the_lost(
        self, jobs: SupervisionBackend
    ) -> None:
        await jobs.submitted()
        await start(jobs)
        rescued, ticks = 0, 0
        while not rescued:
            ticks += 1
            now = NOW + ticks * timedelta(minutes=1)
            await jobs.supervision.begin_tick(now=now)
            rescued = len(await jobs.ledger.rescue_lost(now=now, limit=10))
            assert ticks < 10
        assert ticks == PATIENCE.most_gaps + 1

    async def test_gap_is_told_once_to_supervisors_at_once(self, jobs: SupervisionBackend) -> None:
        told = await asyncio.gather(*(jobs.supervision.begin_tick(now=NOW) for _ in range(5)))
        assert sum(told) == 1

    async def test_clock_that_is_behind_does_not_make_a_gap(self, jobs: SupervisionBackend) -> None:
        await jobs.supervision.begin_tick(now=NOW)
        await jobs.supervision.begin_tick(now=NOW - 10 * SECOND)
        assert not await jobs.supervision.begin_tick(now=NOW + 5 * SECOND)

    async def test_deeds_add_up(self, jobs: SupervisionBackend) -> None:
        deeds = Deeds(rescues=1, ingest_rescues=2, escalations=3, drift=4, swept_files=5)
        await asyncio.gather(*(jobs.supervision.end_tick(deeds) for _ in range(5)))
        await jobs.supervision.begin_tick(now=NOW)

        seen = await jobs.ledger.overview(now=NOW + 3 * SECOND)
        assert (seen.rescues, seen.ingest_rescues, seen.escalations) == (5, 10, 15)
        assert (seen.drift, seen.swept_files, seen.last_tick_seconds) == (20, 25, 3.0)

    async def test_recount_of_what_is_right_finds_nothing(self, jobs: SupervisionBackend) -> None:
        await jobs.submitted()
        await start(jobs)
        await jobs.submitted()
        await jobs.claimed()

        assert [await jobs.supervision.recount_next() for _ in range(3)] == [0, 0, 0]

    # -- the pause ----------------------------------------------------------------------------

    async def test_nothing_is_dispatched_while_paused(self, jobs: SupervisionBackend) -> None:
        await jobs.submitted()
        for _ in range(2):
            await jobs.supervision.pause(now=NOW)
        assert (await jobs.ledger.overview(now=NOW)).paused
        assert await jobs.ledger.dispatch(now=NOW, limit=1) == []
        assert (await jobs.submitted()).status is JobStatus.QUEUED  # submits are taken

        for _ in range(2):
            await jobs.supervision.resume()
        assert not (await jobs.ledger.overview(now=NOW)).paused
        assert len(await jobs.ledger.dispatch(now=NOW, limit=5)) == 2

    async def test_what_was_dispatched_before_the_pause_runs_on(
        self, jobs: SupervisionBackend
    ) -> None:
        job = await jobs.submitted()
        [given] = await jobs.ledger.dispatch(now=NOW, limit=1)
        await jobs.supervision.pause(now=NOW)
        started = await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW)
        outcome = completed(started.execution)
        await jobs.ledger.finish(started.execution, outcome, now=NOW)

        assert (await jobs.read(job)).status is JobStatus.COMPLETED

    async def test_no_dispatch_ends_with_jobs_after_the_pause_was_answered(
        self, jobs: SupervisionBackend
    ) -> None:
        for _ in range(8):
            await jobs.submitted()
        given: list[Assignment] = []

        async def dispatch() -> None:
            for _ in range(4):
                given.extend(await jobs.ledger.dispatch(now=NOW, limit=1))

        async def pause() -> int:
            await jobs.supervision.pause(now=NOW)
            return (await jobs.ledger.overview(now=NOW)).slots_free

        _, _, free = await asyncio.gather(dispatch(), dispatch(), pause())
        assert (await jobs.ledger.overview(now=NOW)).slots_free == free == 8 - len(given)


class SupervisionOutageContract:
    """Needs the fixture ``unreachable``: a backend whose data nobody can reach."""

    @pytest.fixture
    def unreachable(self) -> SupervisionBackend:
        """Return the backend under test."""
        raise NotImplementedError

    @pytest.mark.parametrize(
        "method",
        [
            "begin",
            "end",
            "recount",
            "silent",
            "ended",
            "pause",
            "resume",
            "take",
            "keep",
            "orphans",
        ],
    )
    async def test_every_method_says_that_it_is_unavailable(
        self, unreachable: SupervisionBackend, method: str
    ) -> None:
        shared = unreachable.supervision
        execution = Execution(
            owner=an_owner(),
            job_id=JobId(uuid4()),
            attempt=1,
            execution_id=ExecutionId(uuid4()),
        )
        silent = SilentCancel(execution=execution, call_id="w", terminations=1)
        file = file_of(str(input_key(an_owner(), JobId(uuid4()), 0)))
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "begin": lambda: shared.begin_tick(now=NOW),
            "end": lambda: shared.end_tick(Deeds()),
            "recount": shared.recount_next,
            "silent": lambda: shared.silent_cancels(now=NOW, limit=1),
            "ended": lambda: shared.end_silent(silent, Termination.GONE, now=NOW),
            "pause": lambda: shared.pause(now=NOW),
            "resume": shared.resume,
            "take": lambda: shared.take_sweep(now=NOW, every=SECOND),
            "keep": lambda: shared.keep_sweep("", due=NOW),
            "orphans": lambda: shared.orphans([file]),
        }
        with pytest.raises(Unavailable):
            await calls[method]()
