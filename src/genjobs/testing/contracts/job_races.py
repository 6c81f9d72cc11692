"""The contract of both job ports where calls meet: races, limits of a batch, and outages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.attempts import Assignment, Beat, Execution, Recorded, StartedJob
from genjobs.domain.errors import IdempotencyMismatch, StaleAttempt, Unavailable
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import CancelMethod, Created, Idempotency, Job, JobQuery
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.testing.contracts.jobs_backend import JobsBackend, reach_of
from genjobs.testing.contracts.ledger_steps import (
    BROKEN,
    DEADLINES,
    LOST,
    NOW,
    SECOND,
    completed,
    start,
)
from genjobs.testing.factories import a_new_job

_MISSED = NOW + DEADLINES.start + SECOND
_SHORT = timedelta(seconds=10)
_HOUR = timedelta(hours=1)


class JobRacesContract:
    """Needs the fixture ``jobs``: a backend with 8 slots and the default deadlines."""

    @pytest.fixture
    def jobs(self) -> JobsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- two at once --------------------------------------------------------------------------

    async def test_different_requests_at_once_under_one_key_have_one_winner(
        self, jobs: JobsBackend
    ) -> None:
        results = await asyncio.gather(
            *(
                jobs.store.create(a_new_job(jobs.owner(), key="k", fingerprint=bytes([n]) * 32))
                for n in range(10)
            ),
            return_exceptions=True,
        )

        stored = [result for result in results if isinstance(result, Created)]
        refused = [result for result in results if isinstance(result, IdempotencyMismatch)]
        assert (len(stored), len(refused)) == (1, 9)
        listed = await jobs.store.list_jobs(reach_of(jobs.owner()), JobQuery(limit=20))
        assert [job.id for job in listed] == [stored[0].job.id]

    async def test_cancels_at_once_agree_on_one_receipt(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        answers = await asyncio.gather(
            *(
                jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW + n * SECOND)
                for n in range(8)
            )
        )

        final = await jobs.read(job)
        assert final.status is JobStatus.CANCELLED
        assert all(answer == final for answer in answers)

    async def test_same_finish_many_times_at_once_is_recorded_once(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        recorded = await asyncio.gather(
            *(
                jobs.ledger.finish(execution, completed(execution), now=NOW + n * SECOND)
                for n in range(6)
            )
        )

        assert set(recorded) == {Recorded.YOURS}
        assert (await jobs.read(job)).status is JobStatus.COMPLETED
        assert (await jobs.ledger.overview(now=NOW)).slots_free == 8

    async def test_finish_and_release_at_once_agree(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        finished, released = await asyncio.gather(
            jobs.ledger.finish(execution, completed(execution), now=NOW),
            jobs.ledger.release(execution, now=NOW),
        )

        status = (await jobs.read(job)).status
        assert {finished, released} == {Recorded.YOURS, Recorded.STALE}
        assert (status is JobStatus.COMPLETED) == (finished is Recorded.YOURS)

    async def test_cancel_and_finish_at_once_agree(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        cancelled, recorded = await asyncio.gather(
            jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW),
            jobs.ledger.finish(execution, completed(execution), now=NOW),
        )

        final = await jobs.read(job)
        assert isinstance(cancelled, Job)
        assert (recorded, final.status) == (Recorded.YOURS, JobStatus.COMPLETED)
        if cancelled.status is JobStatus.RUNNING:
            assert final.cancellation is not None
            assert final.cancellation.method is CancelMethod.TOO_LATE
        else:
            assert final.cancellation is None

    async def test_start_and_expiry_at_once_agree(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted(queue_timeout=_SHORT)
        [given] = await jobs.ledger.dispatch(now=NOW, limit=1)
        started, expired = await asyncio.gather(
            _try_start(jobs, given), jobs.ledger.expire_queued(now=NOW + 2 * _SHORT, limit=5)
        )

        status = (await jobs.read(job)).status
        assert (started is None) == (len(expired) == 1) == (status is JobStatus.FAILED)

    async def test_start_and_reclaim_at_once_agree(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        [given] = await jobs.ledger.dispatch(now=NOW, limit=1)
        started, reclaimed = await asyncio.gather(
            _try_start(jobs, given), jobs.ledger.reclaim_unstarted(now=_MISSED, limit=5)
        )

        status = (await jobs.read(job)).status
        assert (started is None) == (len(reclaimed) == 1) == (status is JobStatus.QUEUED)

    async def test_supervisors_at_once_take_each_job_once(self, jobs: JobsBackend) -> None:
        for n in range(6):
            await jobs.submitted(queue_timeout=_SHORT if n % 2 else _HOUR)
        await jobs.ledger.dispatch(now=NOW, limit=8)
        # A queued job that missed its start and its queue deadline: either may take it, once.
        batches = await asyncio.gather(
            *(jobs.ledger.expire_queued(now=_MISSED, limit=10) for _ in range(4))
        )
        expired = [rescue.job_id for batch in batches for rescue in batch]
        batches = await asyncio.gather(
            *(jobs.ledger.reclaim_unstarted(now=_MISSED, limit=10) for _ in range(4))
        )
        reclaimed = [rescue.job_id for batch in batches for rescue in batch]

        assert (len(expired), len(reclaimed)) == (3, 3)
        assert len({*expired, *reclaimed}) == 6
        assert (await jobs.ledger.overview(now=_MISSED)).slots_free == 8

    # -- how much at once ---------------------------------------------------------------------

    async def test_no_step_takes_more_than_its_limit(self, jobs: JobsBackend) -> None:
        for _ in range(3):
            await jobs.submitted(queue_timeout=_SHORT)
            await start(jobs)
        assert await jobs.ledger.dispatch(now=NOW, limit=0) == []
        assert len(await jobs.ledger.rescue_lost(now=NOW + LOST, limit=2)) == 2
        assert len(await jobs.ledger.rescue_lost(now=NOW + LOST, limit=2)) == 1

        late = NOW + timedelta(minutes=5)
        assert len(await jobs.ledger.expire_queued(now=late, limit=2)) == 2
        assert len(await jobs.ledger.expire_queued(now=late, limit=2)) == 1

    async def test_reclaim_takes_no_more_than_its_limit(self, jobs: JobsBackend) -> None:
        for _ in range(3):
            await jobs.submitted()
        await jobs.ledger.dispatch(now=NOW, limit=3)

        assert len(await jobs.ledger.reclaim_unstarted(now=_MISSED, limit=2)) == 2
        assert len(await jobs.ledger.reclaim_unstarted(now=_MISSED, limit=2)) == 1

    # -- the figures --------------------------------------------------------------------------

    async def test_overview_of_nothing(self, jobs: JobsBackend) -> None:
        found = await jobs.ledger.overview(now=NOW)
        assert (found.slots_total, found.slots_free, found.queued, found.running) == (8, 8, 0, 0)
        assert (found.oldest_eligible_seconds, found.open_cancels) == (None, 0)

    async def test_job_that_pauses_could_not_be_dispatched(self, jobs: JobsBackend) -> None:
        await jobs.submitted()
        await start(jobs)
        late = NOW + LOST
        await jobs.ledger.rescue_lost(now=late, limit=1)

        assert (await jobs.ledger.overview(now=late)).oldest_eligible_seconds is None
        assert (await jobs.ledger.overview(now=late)).queued == 1


class JobOutageContract:
    """Needs the fixture ``unreachable``: a backend whose data nobody can reach."""

    @pytest.fixture
    def unreachable(self) -> JobsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    @pytest.mark.parametrize("method", ["find", "create", "get", "list", "cancel", "check"])
    async def test_store_says_that_it_is_unavailable(
        self, unreachable: JobsBackend, method: str
    ) -> None:
        store, owner, job_id = unreachable.store, unreachable.owner(), JobId(uuid4())
        reach = reach_of(owner)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "find": lambda: store.find_submitted(
                owner, Idempotency(key="k", fingerprint=b"f"), now=NOW
            ),
            "create": lambda: store.create(a_new_job(owner)),
            "get": lambda: store.get(reach, job_id),
            "list": lambda: store.list_jobs(reach, JobQuery(limit=1)),
            "cancel": lambda: store.request_cancel(reach, job_id, now=NOW),
            "check": store.check,
        }
        with pytest.raises(Unavailable):
            await calls[method]()

    @pytest.mark.parametrize(
        "method",
        [
            "dispatch",
            "start",
            "beat",
            "finish",
            "release",
            "crash",
            "expire",
            "rescue",
            "reclaim",
            "overview",
        ],
    )
    async def test_ledger_says_that_it_is_unavailable(
        self, unreachable: JobsBackend, method: str
    ) -> None:
        ledger, owner = unreachable.ledger, unreachable.owner()
        given = Assignment(owner=owner, job_id=JobId(uuid4()), attempt=1)
        run = Execution(
            owner=owner, job_id=given.job_id, attempt=1, execution_id=ExecutionId(uuid4())
        )
        sign = Beat(execution=run, phase=Phase.RENDERING, progress=None)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "dispatch": lambda: ledger.dispatch(now=NOW, limit=1),
            "start": lambda: ledger.start(given, run.execution_id, now=NOW),
            "beat": lambda: ledger.heartbeat([sign], now=NOW),
            "finish": lambda: ledger.finish(run, completed(run), now=NOW),
            "release": lambda: ledger.release(run, now=NOW),
            "crash": lambda: ledger.crash(run, BROKEN, now=NOW),
            "expire": lambda: ledger.expire_queued(now=NOW, limit=1),
            "rescue": lambda: ledger.rescue_lost(now=NOW, limit=1),
            "reclaim": lambda: ledger.reclaim_unstarted(now=NOW, limit=1),
            "overview": lambda: ledger.overview(now=NOW),
        }
        with pytest.raises(Unavailable):
            await calls[method]()


async def _try_start(jobs: JobsBackend, given: Assignment) -> StartedJob | None:
    try:
        return await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW)
    except StaleAttempt:
        return None
