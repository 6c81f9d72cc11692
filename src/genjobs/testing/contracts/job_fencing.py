"""The contract of ``JobLedger`` that keeps attempts apart: strangers, repeats, lapsed leases."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from genjobs.domain.attempts import Assignment, Beat, BeatReply, Execution, Recorded, Stopped
from genjobs.domain.errors import StaleAttempt
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import CancelMethod
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.testing.contracts.jobs_backend import JobsBackend
from genjobs.testing.contracts.ledger_steps import (
    BROKEN,
    DEADLINES,
    LOST,
    NOW,
    SECOND,
    TIMINGS,
    beat,
    cancelling,
    completed,
    failed,
    start,
)

_STOPPED = Stopped(
    method=CancelMethod.INTERRUPTED,
    stopped_at=NOW,
    gpu_seconds_after_request=0.0,
    timings=TIMINGS,
)
_End = Callable[[JobsBackend, Execution, datetime], Awaitable[Recorded]]
#: Every way in which a worker ends its attempt.
ENDINGS: dict[str, _End] = {
    "completed": lambda jobs, run, now: jobs.ledger.finish(run, completed(run), now=now),
    "failed": lambda jobs, run, now: jobs.ledger.finish(run, failed(), now=now),
    "stopped": lambda jobs, run, now: jobs.ledger.finish(run, _STOPPED, now=now),
    "released": lambda jobs, run, now: jobs.ledger.release(run, now=now),
    "crashed": lambda jobs, run, now: jobs.ledger.crash(run, BROKEN, now=now),
}
_STRANGERS: dict[str, Callable[[Execution], Execution]] = {
    "other execution": lambda run: dataclasses.replace(run, execution_id=ExecutionId(uuid4())),
    "later attempt": lambda run: dataclasses.replace(run, attempt=run.attempt + 1),
    "earlier attempt": lambda run: dataclasses.replace(run, attempt=run.attempt - 1),
    "unknown job": lambda run: dataclasses.replace(run, job_id=JobId(uuid4())),
}
_each_ending = pytest.mark.parametrize("ending", ENDINGS)


class JobFencingContract:
    """Needs the fixture ``jobs``: a backend with 8 slots and the default deadlines."""

    @pytest.fixture
    def jobs(self) -> JobsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- who may start ------------------------------------------------------------------------

    async def test_attempt_of_an_unknown_job_does_not_start(self, jobs: JobsBackend) -> None:
        unknown = Assignment(owner=jobs.owner(), job_id=JobId(uuid4()), attempt=1)
        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(unknown, ExecutionId(uuid4()), now=NOW)

    async def test_attempt_under_another_tenant_does_not_start(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        foreign = dataclasses.replace(assignment, owner=jobs.owner(tenant=1))

        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(foreign, ExecutionId(uuid4()), now=NOW)
        assert (await jobs.read(job)).status is JobStatus.QUEUED

    @pytest.mark.parametrize("attempt", [0, 2])
    async def test_attempt_that_is_not_the_latest_does_not_start(
        self, jobs: JobsBackend, attempt: int
    ) -> None:
        job = await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        before = await jobs.read(job)

        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(
                dataclasses.replace(assignment, attempt=attempt), ExecutionId(uuid4()), now=NOW
            )
        assert await jobs.read(job) == before

    async def test_overtaken_attempt_does_not_start_and_the_new_one_does(
        self, jobs: JobsBackend
    ) -> None:
        await jobs.submitted(queue_timeout=timedelta(hours=1))
        [old] = await jobs.ledger.dispatch(now=NOW, limit=1)
        later = NOW + DEADLINES.start + SECOND
        await jobs.ledger.reclaim_unstarted(now=later, limit=1)
        [new] = await jobs.ledger.dispatch(now=later, limit=1)

        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(old, ExecutionId(uuid4()), now=later)
        started = await jobs.ledger.start(new, ExecutionId(uuid4()), now=later)
        assert started.execution.attempt == 2

    async def test_start_repeated_after_the_rescue_is_refused(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, started = await start(jobs)
        await jobs.ledger.rescue_lost(now=NOW + LOST, limit=1)
        rescued = await jobs.read(job)
        again = Assignment(owner=job.owner, job_id=job.id, attempt=started.execution.attempt)

        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(again, execution.execution_id, now=NOW + LOST)
        assert await jobs.read(job) == rescued

    async def test_repeated_start_tells_of_a_cancel(self, jobs: JobsBackend) -> None:
        job, execution = await cancelling(jobs)
        again = Assignment(owner=job.owner, job_id=job.id, attempt=execution.attempt)

        repeated = await jobs.ledger.start(again, execution.execution_id, now=NOW)
        assert repeated.cancel_requested

    # -- who may write ------------------------------------------------------------------------

    @pytest.mark.parametrize("who", _STRANGERS)
    async def test_stranger_changes_nothing(self, jobs: JobsBackend, who: str) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await beat(jobs, execution)
        before = await jobs.read(job)
        stranger = _STRANGERS[who](execution)

        for end in ENDINGS.values():
            assert await end(jobs, stranger, NOW) is Recorded.STALE
        sign = Beat(execution=stranger, phase=Phase.UPLOADING, progress=None)
        replies = await jobs.ledger.heartbeat([sign], now=NOW + DEADLINES.lease)
        assert replies == {stranger.execution_id: BeatReply.LEASE_LOST}
        assert await jobs.read(job) == before
        assert len(await jobs.ledger.rescue_lost(now=NOW + LOST, limit=10)) == 1

    async def test_tenant_is_part_of_the_fence(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        before = await jobs.read(job)
        foreign = dataclasses.replace(execution, owner=jobs.owner(tenant=1))

        for end in ENDINGS.values():
            assert await end(jobs, foreign, NOW) is Recorded.STALE
        assert await beat(jobs, foreign) is BeatReply.LEASE_LOST
        assert await jobs.read(job) == before

    async def test_attempt_that_was_never_started_cannot_end(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        [given] = await jobs.ledger.dispatch(now=NOW, limit=1)
        before = await jobs.read(job)
        execution = Execution(
            owner=given.owner,
            job_id=given.job_id,
            attempt=given.attempt,
            execution_id=ExecutionId(uuid4()),
        )

        for end in ENDINGS.values():
            assert await end(jobs, execution, NOW) is Recorded.STALE
        assert await beat(jobs, execution) is BeatReply.LEASE_LOST
        assert await jobs.read(job) == before

    @_each_ending
    async def test_end_frees_the_slot_and_a_repeat_is_yours(
        self, jobs: JobsBackend, ending: str
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await beat(jobs, execution)

        assert await ENDINGS[ending](jobs, execution, NOW) is Recorded.YOURS
        ended = await jobs.read(job)
        assert (ended.phase, ended.progress) == (None, None)
        assert (await jobs.ledger.overview(now=NOW)).slots_free == 8
        assert await ENDINGS[ending](jobs, execution, NOW + SECOND) is Recorded.YOURS
        assert await beat(jobs, execution) is BeatReply.LEASE_LOST
        assert await jobs.read(job) == ended

    @_each_ending
    async def test_other_execution_cannot_end_it_again(
        self, jobs: JobsBackend, ending: str
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await jobs.ledger.finish(execution, completed(execution), now=NOW)
        done = await jobs.read(job)
        other = dataclasses.replace(execution, execution_id=ExecutionId(uuid4()))

        assert await ENDINGS[ending](jobs, other, NOW) is Recorded.STALE
        assert await jobs.read(job) == done

    async def test_worker_that_gave_back_cannot_finish_any_more(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await jobs.ledger.release(execution, now=NOW)
        queued = await jobs.read(job)

        # YOURS would tell the worker that its outputs are recorded; they are not.
        assert await ENDINGS["completed"](jobs, execution, NOW) is Recorded.STALE
        assert await jobs.read(job) == queued

    # -- leases -------------------------------------------------------------------------------

    async def test_lapsed_lease_that_nobody_took_still_finishes(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        late = NOW + timedelta(hours=1)

        assert await ENDINGS["completed"](jobs, execution, late) is Recorded.YOURS
        assert (await jobs.read(job)).status is JobStatus.COMPLETED

    async def test_lapsed_lease_that_nobody_took_is_renewed(self, jobs: JobsBackend) -> None:
        await jobs.submitted()
        execution, _ = await start(jobs)
        late = NOW + timedelta(hours=1)

        assert await beat(jobs, execution, at=late) is BeatReply.GO_ON
        assert await jobs.ledger.rescue_lost(now=late + SECOND, limit=10) == []

    async def test_heartbeat_that_carries_a_cancel_renews_the_lease(
        self, jobs: JobsBackend
    ) -> None:
        _, execution = await cancelling(jobs)
        assert await beat(jobs, execution, at=NOW + DEADLINES.lease) is BeatReply.CANCEL

        assert await jobs.ledger.rescue_lost(now=NOW + LOST, limit=10) == []

    # -- what is charged ----------------------------------------------------------------------

    async def test_stop_that_nobody_asked_for_is_never_charged(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        for _ in range(DEADLINES.max_attempts + 2):
            execution, _ = await start(jobs)
            assert await ENDINGS["stopped"](jobs, execution, NOW) is Recorded.YOURS

        assert (await jobs.read(job)).status is JobStatus.QUEUED

    async def test_uncharged_attempts_between_do_not_clear_the_charged(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted(queue_timeout=timedelta(hours=5))
        now = NOW
        for charged in range(1, DEADLINES.max_attempts + 1):
            execution, _ = await start(jobs, at=now)
            await jobs.ledger.release(execution, now=now)
            await start(jobs, at=now)
            now += LOST
            [rescue] = await jobs.ledger.rescue_lost(now=now, limit=1)
            left = charged < DEADLINES.max_attempts
            assert rescue.status is (JobStatus.QUEUED if left else JobStatus.FAILED)
            now += timedelta(minutes=10)

        assert (await jobs.read(job)).attempt == 2 * DEADLINES.max_attempts

    @pytest.mark.parametrize("ending", ["crashed", "lost"])
    async def test_charged_attempt_gives_a_fresh_queue_deadline_after_the_pause(
        self, jobs: JobsBackend, ending: str
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        late = NOW + timedelta(minutes=29)
        if ending == "crashed":
            await ENDINGS["crashed"](jobs, execution, late)
        else:
            await jobs.ledger.rescue_lost(now=late, limit=1)

        again = await jobs.read(job)
        assert again.queue_deadline == DEADLINES.retry_at(late, 1) + timedelta(minutes=30)
        assert await jobs.ledger.expire_queued(now=NOW + timedelta(minutes=31), limit=1) == []

    async def test_crash_after_a_cancel_is_cancelled_without_an_error(
        self, jobs: JobsBackend
    ) -> None:
        job, execution = await cancelling(jobs)
        assert await ENDINGS["crashed"](jobs, execution, NOW) is Recorded.YOURS

        final = await jobs.read(job)
        assert (final.status, final.error) == (JobStatus.CANCELLED, None)
        assert final.cancellation is not None
        assert final.cancellation.method is not None
