"""The contract of ``JobLedger``."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from genjobs.domain.artifacts import Output, output_key
from genjobs.domain.attempts import (
    Assignment,
    Beat,
    BeatReply,
    Completed,
    Execution,
    Failed,
    Recorded,
    StartedJob,
    Stopped,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import StaleAttempt
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import CancelMethod, Job, JobError, Progress, Timings
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.media import MediaKind
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts.job_store import JobsBackend, reach_of

NOW = BEGINNING
DEADLINES = Deadlines()
_SECOND = timedelta(seconds=1)
_LOST = DEADLINES.lease + _SECOND
_BROKEN = JobError(code="node_error", message="Node 3 failed.", node_id="3")
_TIMINGS = Timings(prepare_seconds=0.1, render_seconds=2.0, upload_seconds=0.3, gpu_seconds=2.0)


class JobLedgerContract:
    """Needs the fixture ``jobs``: a backend with 8 slots and the default deadlines."""

    @pytest.fixture
    def jobs(self) -> JobsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- dispatch -----------------------------------------------------------------------------

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
        theirs = await jobs.submitted(jobs.owner("u_2"), at=NOW + _SECOND)
        mine_urgent = await jobs.submitted(jobs.owner("u_1"), at=NOW + 2 * _SECOND, priority=9)

        given = await jobs.ledger.dispatch(now=NOW + timedelta(minutes=1), limit=3)
        # The oldest job is u_1's, so u_1 goes, with its most urgent; being still the oldest, again.
        assert [item.job_id for item in given] == [mine_urgent.id, mine_old.id, theirs.id]

    async def test_many_dispatchers_at_once_give_no_job_twice(self, jobs: JobsBackend) -> None:
        for _ in range(12):
            await jobs.submitted()
        results = await asyncio.gather(*(jobs.ledger.dispatch(now=NOW, limit=2) for _ in range(10)))

        given = [item.job_id for batch in results for item in batch]
        assert len(given) == len(set(given))
        assert len(given) <= 8

    # -- start --------------------------------------------------------------------------------

    async def test_start_makes_the_job_running(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, started = await _start(jobs, at=NOW + 3 * _SECOND)

        assert started.execution == execution
        assert started.run_timeout == timedelta(minutes=10)
        assert b"EmptyImage" in started.workflow
        assert not started.cancel_requested
        running = await jobs.read(job)
        assert (running.status, running.phase) == (JobStatus.RUNNING, Phase.PREPARING)
        assert running.started_at == NOW + 3 * _SECOND
        assert running.timings.queue_seconds == 3.0
        assert running.queue_position is None

    async def test_repeated_start_of_one_execution_is_the_same(self, jobs: JobsBackend) -> None:
        await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        execution_id = ExecutionId(uuid4())
        first = await jobs.ledger.start(assignment, execution_id, now=NOW)

        assert await jobs.ledger.start(assignment, execution_id, now=NOW + _SECOND) == first

    async def test_second_execution_of_an_attempt_is_refused(self, jobs: JobsBackend) -> None:
        await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        results = await asyncio.gather(
            *(jobs.ledger.start(assignment, ExecutionId(uuid4()), now=NOW) for _ in range(8)),
            return_exceptions=True,
        )

        assert sum(isinstance(result, StaleAttempt) for result in results) == 7

    async def test_cancelled_job_does_not_start(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)

        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=NOW)
        assert (await jobs.read(job)).status is JobStatus.CANCELLED

    async def test_cancel_and_start_at_once_agree(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        started, cancelled = await asyncio.gather(
            jobs.ledger.start(assignment, ExecutionId(uuid4()), now=NOW),
            jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW),
            return_exceptions=True,
        )

        assert isinstance(cancelled, Job)
        final = await jobs.read(job)
        if isinstance(started, StaleAttempt):
            assert final.status is JobStatus.CANCELLED
        else:
            assert (final.status, final.cancellation is None) == (JobStatus.RUNNING, False)

    # -- heartbeat ----------------------------------------------------------------------------

    async def test_heartbeat_shows_phase_and_progress(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        before = await jobs.read(job)
        progress = Progress(fraction=0.5, node_id="3", node_class="KSampler", step=5, steps=10)
        replies = await jobs.ledger.heartbeat(
            [Beat(execution=execution, phase=Phase.RENDERING, progress=progress)], now=NOW
        )

        assert replies == {execution.execution_id: BeatReply.GO_ON}
        after = await jobs.read(job)
        assert (after.phase, after.progress) == (Phase.RENDERING, progress)
        assert after.version != before.version

    async def test_heartbeat_that_says_nothing_new_leaves_the_version(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        await _beat(jobs, execution)
        before = await jobs.read(job)
        await _beat(jobs, execution)

        assert (await jobs.read(job)).version == before.version

    async def test_heartbeat_keeps_the_lease(self, jobs: JobsBackend) -> None:
        await jobs.submitted()
        execution, _ = await _start(jobs)
        await _beat(jobs, execution, at=NOW + DEADLINES.lease)

        assert await jobs.ledger.rescue_lost(now=NOW + _LOST, limit=10) == []

    async def test_heartbeat_carries_the_cancel(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)

        assert await _beat(jobs, execution) is BeatReply.CANCEL

    async def test_one_heartbeat_renews_many_and_tells_them_apart(self, jobs: JobsBackend) -> None:
        for _ in range(3):
            await jobs.submitted()
        executions = [(await _start(jobs))[0] for _ in range(3)]
        await jobs.ledger.release(executions[1], now=NOW)
        beats = [Beat(execution=item, phase=Phase.RENDERING, progress=None) for item in executions]
        replies = await jobs.ledger.heartbeat(beats, now=NOW)

        assert [replies[item.execution_id] for item in executions] == [
            BeatReply.GO_ON,
            BeatReply.LEASE_LOST,
            BeatReply.GO_ON,
        ]

    # -- finish -------------------------------------------------------------------------------

    async def test_completed_job_has_its_outputs(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        outcome = _completed(execution)
        recorded = await jobs.ledger.finish(execution, outcome, now=NOW + 9 * _SECOND)

        assert recorded is Recorded.YOURS
        done = await jobs.read(job)
        assert (done.status, done.finished_at) == (JobStatus.COMPLETED, NOW + 9 * _SECOND)
        assert done.outputs == outcome.outputs
        assert (done.timings.render_seconds, done.timings.queue_seconds) == (2.0, 0.0)
        assert (done.phase, done.progress, done.error) == (None, None, None)
        assert (await jobs.ledger.overview(now=NOW)).slots_free == 8

    async def test_failed_job_says_why(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        await jobs.ledger.finish(execution, _failed(), now=NOW)

        done = await jobs.read(job)
        assert (done.status, done.error) == (JobStatus.FAILED, _BROKEN)

    async def test_repeated_finish_is_still_yours_and_changes_nothing(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        await jobs.ledger.finish(execution, _completed(execution), now=NOW)
        first = await jobs.read(job)

        again = await jobs.ledger.finish(execution, _completed(execution), now=NOW + _SECOND)
        assert again is Recorded.YOURS
        assert await jobs.read(job) == first

    async def test_finish_after_rescue_is_stale_and_changes_nothing(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        await jobs.ledger.rescue_lost(now=NOW + _LOST, limit=10)
        rescued = await jobs.read(job)

        late = NOW + 2 * _LOST
        assert (
            await jobs.ledger.finish(execution, _completed(execution), now=late) is Recorded.STALE
        )
        assert await jobs.ledger.release(execution, now=late) is Recorded.STALE
        assert await jobs.ledger.crash(execution, _BROKEN, now=late) is Recorded.STALE
        assert await _beat(jobs, execution, at=late) is BeatReply.LEASE_LOST
        assert await jobs.read(job) == rescued

    async def test_late_finish_does_not_touch_the_next_attempt(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        old, _ = await _start(jobs)
        await jobs.ledger.rescue_lost(now=NOW + _LOST, limit=10)
        later = NOW + timedelta(minutes=5)
        new, _ = await _start(jobs, at=later)
        assert (old.job_id, old.attempt, new.attempt) == (new.job_id, 1, 2)

        assert await jobs.ledger.finish(old, _failed(), now=later) is Recorded.STALE
        assert (await jobs.read(job)).status is JobStatus.RUNNING
        assert await jobs.ledger.finish(new, _completed(new), now=later) is Recorded.YOURS
        assert (await jobs.read(job)).status is JobStatus.COMPLETED
        assert await jobs.ledger.finish(old, _failed(), now=later) is Recorded.STALE

    async def test_finish_and_rescue_at_once_agree(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        late = NOW + _LOST
        recorded, rescued = await asyncio.gather(
            jobs.ledger.finish(execution, _completed(execution), now=late),
            jobs.ledger.rescue_lost(now=late, limit=10),
        )

        final = await jobs.read(job)
        if recorded is Recorded.YOURS:
            assert (final.status, rescued) == (JobStatus.COMPLETED, [])
        else:
            assert (final.status, len(rescued)) == (JobStatus.QUEUED, 1)

    # -- cancel while running -----------------------------------------------------------------

    async def test_stopped_after_a_cancel_is_cancelled_with_a_receipt(
        self, jobs: JobsBackend
    ) -> None:
        job, execution = await _cancelling(jobs)
        stopped = NOW + 2 * _SECOND
        outcome = Stopped(
            method=CancelMethod.INTERRUPTED,
            stopped_at=stopped,
            gpu_seconds_after_request=2.0,
            timings=_TIMINGS,
        )
        await jobs.ledger.finish(execution, outcome, now=stopped)

        receipt = await _receipt(jobs, job, JobStatus.CANCELLED)
        assert receipt == (CancelMethod.INTERRUPTED, stopped, 2.0)

    async def test_completed_after_a_cancel_stays_completed_too_late(
        self, jobs: JobsBackend
    ) -> None:
        job, execution = await _cancelling(jobs)
        await jobs.ledger.finish(execution, _completed(execution), now=NOW)

        receipt = await _receipt(jobs, job, JobStatus.COMPLETED)
        assert receipt[:2] == (CancelMethod.TOO_LATE, None)
        assert (await jobs.read(job)).outputs != ()

    async def test_failed_after_a_cancel_is_cancelled(self, jobs: JobsBackend) -> None:
        job, execution = await _cancelling(jobs)
        await jobs.ledger.finish(execution, _failed(), now=NOW)

        receipt = await _receipt(jobs, job, JobStatus.CANCELLED)
        assert receipt[:2] == (CancelMethod.INTERRUPTED, NOW)
        assert (await jobs.read(job)).error is None

    async def test_released_after_a_cancel_is_cancelled(self, jobs: JobsBackend) -> None:
        job, execution = await _cancelling(jobs)
        await jobs.ledger.release(execution, now=NOW)

        assert (await _receipt(jobs, job, JobStatus.CANCELLED))[0] is CancelMethod.INTERRUPTED

    async def test_lost_after_a_cancel_is_cancelled_unseen(self, jobs: JobsBackend) -> None:
        job, _ = await _cancelling(jobs)
        [rescue] = await jobs.ledger.rescue_lost(now=NOW + _LOST, limit=10)

        assert rescue.status is JobStatus.CANCELLED
        receipt = await _receipt(jobs, job, JobStatus.CANCELLED)
        assert receipt[:2] == (CancelMethod.WORKER_LOST, None)

    async def test_stopped_without_a_cancel_is_queued_again(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        outcome = Stopped(
            method=CancelMethod.INTERRUPTED,
            stopped_at=NOW,
            gpu_seconds_after_request=0.0,
            timings=_TIMINGS,
        )
        await jobs.ledger.finish(execution, outcome, now=NOW)

        assert (await jobs.read(job)).status is JobStatus.QUEUED

    # -- giving back, crashing, losing --------------------------------------------------------

    async def test_released_attempt_is_not_charged(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        for _ in range(DEADLINES.max_attempts + 2):
            execution, _ = await _start(jobs)
            assert await jobs.ledger.release(execution, now=NOW) is Recorded.YOURS

        again = await jobs.read(job)
        assert (again.status, again.attempt) == (JobStatus.QUEUED, DEADLINES.max_attempts + 2)
        assert await jobs.ledger.release(execution, now=NOW) is Recorded.YOURS  # a repeat

    async def test_requeued_job_keeps_its_age_and_gets_a_fresh_deadline(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await _start(jobs)
        later = NOW + timedelta(minutes=29)
        await jobs.ledger.release(execution, now=later)

        again = await jobs.read(job)
        assert again.queue_deadline == later + timedelta(minutes=30)
        assert (again.created_at, again.started_at) == (NOW, NOW)

    async def test_lost_job_is_queued_after_a_pause(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        await _start(jobs)
        assert await jobs.ledger.rescue_lost(now=NOW + DEADLINES.lease - _SECOND, limit=10) == []
        late = NOW + _LOST
        [rescue] = await jobs.ledger.rescue_lost(now=late, limit=10)

        assert (rescue.job_id, rescue.attempt) == (job.id, 1)
        assert rescue.status is JobStatus.QUEUED
        assert await jobs.ledger.dispatch(now=late, limit=1) == []
        due = DEADLINES.retry_at(late, 1)
        [assignment] = await jobs.ledger.dispatch(now=due, limit=1)
        assert assignment.attempt == 2

    async def test_job_lost_once_too_often_fails(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        now = NOW
        for _ in range(DEADLINES.max_attempts):
            await _start(jobs, at=now)
            await jobs.ledger.rescue_lost(now=now + _LOST, limit=10)
            now += timedelta(minutes=10)

        final = await jobs.read(job)
        assert final.status is JobStatus.FAILED
        assert final.error is not None
        assert (final.error.code, final.error.retryable) == ("worker_lost", True)

    async def test_crashed_attempts_are_charged_and_then_fail_with_their_error(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        now = NOW
        for _ in range(DEADLINES.max_attempts):
            assert (await jobs.read(job)).status is JobStatus.QUEUED
            execution, _ = await _start(jobs, at=now)
            assert await jobs.ledger.crash(execution, _BROKEN, now=now) is Recorded.YOURS
            assert await jobs.ledger.dispatch(now=now, limit=1) == []
            now += timedelta(minutes=10)

        final = await jobs.read(job)
        assert (final.status, final.error) == (JobStatus.FAILED, _BROKEN)
        assert await jobs.ledger.crash(execution, _BROKEN, now=now) is Recorded.YOURS  # a repeat

    async def test_two_supervisors_rescue_a_job_once(self, jobs: JobsBackend) -> None:
        for _ in range(4):
            await jobs.submitted()
            await _start(jobs)
        batches = await asyncio.gather(
            *(jobs.ledger.rescue_lost(now=NOW + _LOST, limit=10) for _ in range(5))
        )

        assert sum(len(batch) for batch in batches) == 4

    # -- deadlines in the queue ---------------------------------------------------------------

    async def test_job_past_its_queue_deadline_fails(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted(queue_timeout=timedelta(seconds=10))
        assert await jobs.ledger.expire_queued(now=NOW + 9 * _SECOND, limit=10) == []
        late = NOW + 10 * _SECOND
        [expired] = await jobs.ledger.expire_queued(now=late, limit=10)

        assert (expired.job_id, expired.status) == (job.id, JobStatus.FAILED)
        failed = await jobs.read(job)
        assert failed.error is not None
        assert (failed.error.code, failed.finished_at) == ("queue_timeout", late)
        assert await jobs.ledger.dispatch(now=late, limit=1) == []

    async def test_expired_job_frees_the_slot_it_waited_in(self, jobs: JobsBackend) -> None:
        await jobs.submitted(queue_timeout=timedelta(seconds=10))
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        late = NOW + 11 * _SECOND
        await jobs.ledger.expire_queued(now=late, limit=10)

        assert (await jobs.ledger.overview(now=late)).slots_free == 8
        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=late)

    async def test_running_job_does_not_expire_in_the_queue(self, jobs: JobsBackend) -> None:
        await jobs.submitted(queue_timeout=timedelta(seconds=10))
        await _start(jobs)

        assert await jobs.ledger.expire_queued(now=NOW + timedelta(hours=1), limit=10) == []

    async def test_unstarted_attempt_is_taken_back_uncharged(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted(queue_timeout=timedelta(hours=5))
        now = NOW
        for attempt in range(1, DEADLINES.max_attempts + 3):
            [assignment] = await jobs.ledger.dispatch(now=now, limit=1)
            assert assignment.attempt == attempt
            now += DEADLINES.start + _SECOND
            [reclaimed] = await jobs.ledger.reclaim_unstarted(now=now, limit=10)
            assert (reclaimed.job_id, reclaimed.status) == (job.id, JobStatus.QUEUED)
            with pytest.raises(StaleAttempt):
                await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=now)

        assert (await jobs.read(job)).status is JobStatus.QUEUED

    # -- overview -----------------------------------------------------------------------------

    async def test_overview_counts(self, jobs: JobsBackend) -> None:
        for n in range(3):
            await jobs.submitted(at=NOW + n * _SECOND)
        execution, _ = await _start(jobs, at=NOW + 5 * _SECOND)
        await jobs.store.request_cancel(reach_of(execution.owner), execution.job_id, now=NOW)

        found = await jobs.ledger.overview(now=NOW + 11 * _SECOND)
        assert (found.slots_total, found.slots_free) == (8, 7)
        assert (found.queued, found.running, found.open_cancels) == (2, 1, 1)
        assert found.oldest_eligible_seconds == 10.0


async def _start(jobs: JobsBackend, at: datetime = NOW) -> tuple[Execution, StartedJob]:
    [assignment] = await jobs.ledger.dispatch(now=at, limit=1)
    started = await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=at)
    return started.execution, started


async def _beat(jobs: JobsBackend, execution: Execution, at: datetime = NOW) -> BeatReply:
    beat = Beat(execution=execution, phase=Phase.RENDERING, progress=None)
    return (await jobs.ledger.heartbeat([beat], now=at))[execution.execution_id]


async def _cancelling(jobs: JobsBackend) -> tuple[Job, Execution]:
    job = await jobs.submitted()
    execution, _ = await _start(jobs)
    await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)
    return job, execution


async def _receipt(
    jobs: JobsBackend, job: Job, status: JobStatus
) -> tuple[CancelMethod | None, datetime | None, float | None]:
    final = await jobs.read(job)
    assert final.status is status
    assert final.cancellation is not None
    assert final.cancellation.requested_at == NOW
    receipt = final.cancellation
    return receipt.method, receipt.stopped_at, receipt.gpu_seconds_after_request


def _completed(execution: Execution) -> Completed:
    key = output_key(execution.owner, execution.job_id, execution.attempt, "out_1")
    output = Output(
        id="out_1",
        node_id="9",
        name="künstlich_00001_.png",
        kind=MediaKind.IMAGE,
        content_type="image/png",
        bytes=123,
        sha256="0" * 64,
        key=key,
        width=64,
        height=32,
    )
    return Completed(outputs=(output,), timings=_TIMINGS)


def _failed() -> Failed:
    return Failed(error=_BROKEN, timings=_TIMINGS)
