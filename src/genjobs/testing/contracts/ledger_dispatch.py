"""The contract of ``JobLedger``: which job gets a slot, and that none is passed over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from genjobs.domain.attempts import Assignment
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing.contracts.job_store import JobsBackend
from genjobs.testing.contracts.ledger_steps import LOST, NOW, SECOND


class LedgerDispatch:
    """Part of ``JobLedgerContract``."""

    @pytest.fixture
    def jobs(self) -> JobsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_dispatch_gives_the_next_attempt_a_slot(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=5)

        assert assignment == Assignment(owner=job.owner, job_id=job.id, attempt=1)
        dispatched = await jobs.read(job)
        assert (dispatched.status, dispatched.attempt) == (JobStatus.QUEUED, 1)
        assert dispatched.queue_position == 1

    async def test_dispatched_job_is_not_given_again(self, jobs: JobsBackend) -> None:
        await jobs.submitted()
        await jobs.ledger.dispatch(now=NOW, limit=5)

        assert await jobs.ledger.dispatch(now=NOW, limit=5) == []

    async def test_dispatch_stops_at_the_limit_and_at_the_window(self, jobs: JobsBackend) -> None:
        for _ in range(10):
            await jobs.submitted()

        assert len(await jobs.ledger.dispatch(now=NOW, limit=3)) == 3
        assert len(await jobs.ledger.dispatch(now=NOW, limit=10)) == 5
        assert (await jobs.ledger.overview(now=NOW)).slots_free == 0

    async def test_older_goes_first_and_priority_orders_one_users_jobs(
        self, jobs: JobsBackend
    ) -> None:
        mine_old = await jobs.submitted(jobs.owner("u_1"), at=NOW)
        theirs = await jobs.submitted(jobs.owner("u_2"), at=NOW + SECOND)
        mine_urgent = await jobs.submitted(jobs.owner("u_1"), at=NOW + 2 * SECOND, priority=9)

        given = await jobs.ledger.dispatch(now=NOW + timedelta(minutes=1), limit=3)
        # The oldest job is u_1's, so u_1 goes, with its most urgent; that used up the turn.
        assert [item.job_id for item in given] == [mine_urgent.id, theirs.id, mine_old.id]

    async def test_many_dispatchers_at_once_give_no_job_twice(self, jobs: JobsBackend) -> None:
        for _ in range(12):
            await jobs.submitted()
        results = await asyncio.gather(*(jobs.ledger.dispatch(now=NOW, limit=2) for _ in range(10)))

        given = [item.job_id for batch in results for item in batch]
        assert len(given) == len(set(given)) == 8

    async def test_dispatchers_at_once_leave_no_job_beside_a_free_slot(
        self, jobs: JobsBackend
    ) -> None:
        # The most urgent goes first, while the oldest is what names the user: dispatchers that
        # stepped over each other's rows would go away empty-handed.
        for n in range(6):
            await jobs.submitted(at=NOW + n * SECOND, priority=n)
        results = await asyncio.gather(
            *(jobs.ledger.dispatch(now=NOW + LOST, limit=1) for _ in range(6))
        )

        assert [len(batch) for batch in results] == [1] * 6
