"""The contract of ``JobLedger``: cancels, lost workers, deadlines; and the suite as a whole."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.attempts import (
    Recorded,
    Stopped,
)
from genjobs.domain.errors import StaleAttempt
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import CancelMethod, Timings
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing.contracts.job_store import JobsBackend, reach_of
from genjobs.testing.contracts.ledger_attempts import LedgerAttempts
from genjobs.testing.contracts.ledger_dispatch import LedgerDispatch
from genjobs.testing.contracts.ledger_steps import (
    BROKEN,
    DEADLINES,
    LOST,
    NOW,
    SECOND,
    TIMINGS,
    cancelling,
    completed,
    failed,
    receipt_of,
    start,
)


class JobLedgerContract(LedgerDispatch, LedgerAttempts):
    """Needs the fixture ``jobs``: a backend with 8 slots and the default deadlines."""

    # -- cancel while running -----------------------------------------------------------------

    async def test_stopped_after_a_cancel_is_cancelled_with_a_receipt(
        self, jobs: JobsBackend
    ) -> None:
        job, execution = await cancelling(jobs)
        stopped = NOW + 2 * SECOND
        outcome = Stopped(
            method=CancelMethod.INTERRUPTED,
            stopped_at=stopped,
            gpu_seconds_after_request=2.0,
            timings=TIMINGS,
        )
        await jobs.ledger.finish(execution, outcome, now=stopped)

        receipt = await receipt_of(jobs, job, JobStatus.CANCELLED)
        assert receipt == (CancelMethod.INTERRUPTED, stopped, 2.0)

    async def test_receipt_counts_gpu_seconds_from_the_request(self, jobs: JobsBackend) -> None:
        for after_telling, rendered, expected in (
            (0.5, 60.0, 3.0),
            (0.5, 1.0, 1.0),
            (0.0, None, 0.0),
        ):
            job, execution = await cancelling(jobs)
            stopped = NOW + 3 * SECOND  # the worker heard of it only half a second before
            outcome = Stopped(
                method=CancelMethod.INTERRUPTED,
                stopped_at=stopped,
                gpu_seconds_after_request=after_telling,
                timings=Timings(render_seconds=rendered, gpu_seconds=rendered),
            )
            await jobs.ledger.finish(execution, outcome, now=stopped)
            assert (await receipt_of(jobs, job, JobStatus.CANCELLED))[2] == expected

    async def test_completed_after_a_cancel_stays_completed_too_late(
        self, jobs: JobsBackend
    ) -> None:
        job, execution = await cancelling(jobs)
        await jobs.ledger.finish(execution, completed(execution), now=NOW)

        receipt = await receipt_of(jobs, job, JobStatus.COMPLETED)
        assert receipt == (CancelMethod.TOO_LATE, None, 0.0)
        assert (await jobs.read(job)).outputs != ()

    async def test_failed_after_a_cancel_is_cancelled(self, jobs: JobsBackend) -> None:
        job, execution = await cancelling(jobs)
        await jobs.ledger.finish(execution, failed(), now=NOW)

        receipt = await receipt_of(jobs, job, JobStatus.CANCELLED)
        assert receipt == (CancelMethod.INTERRUPTED, NOW, 0.0)
        assert (await jobs.read(job)).error is None

    async def test_released_after_a_cancel_is_cancelled(self, jobs: JobsBackend) -> None:
        job, execution = await cancelling(jobs)
        await jobs.ledger.release(execution, now=NOW)

        assert (await receipt_of(jobs, job, JobStatus.CANCELLED))[0] is CancelMethod.INTERRUPTED

    async def test_lost_after_a_cancel_is_cancelled_unseen(self, jobs: JobsBackend) -> None:
        job, _ = await cancelling(jobs)
        [rescue] = await jobs.ledger.rescue_lost(now=NOW + LOST, limit=10)

        assert rescue.status is JobStatus.CANCELLED
        receipt = await receipt_of(jobs, job, JobStatus.CANCELLED)
        assert receipt[:2] == (CancelMethod.WORKER_LOST, None)

    async def test_stopped_without_a_cancel_is_queued_again(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        outcome = Stopped(
            method=CancelMethod.INTERRUPTED,
            stopped_at=NOW,
            gpu_seconds_after_request=0.0,
            timings=TIMINGS,
        )
        await jobs.ledger.finish(execution, outcome, now=NOW)

        assert (await jobs.read(job)).status is JobStatus.QUEUED

    # -- giving back, crashing, losing --------------------------------------------------------

    async def test_released_attempt_is_not_charged(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        for _ in range(DEADLINES.max_attempts + 2):
            execution, _ = await start(jobs)
            assert await jobs.ledger.release(execution, now=NOW) is Recorded.YOURS

        again = await jobs.read(job)
        assert (again.status, again.attempt) == (JobStatus.QUEUED, DEADLINES.max_attempts + 2)
        assert await jobs.ledger.release(execution, now=NOW) is Recorded.YOURS  # a repeat

    async def test_requeued_job_keeps_its_age_and_gets_a_fresh_deadline(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        later = NOW + timedelta(minutes=29)
        await jobs.ledger.release(execution, now=later)

        again = await jobs.read(job)
        assert again.queue_deadline == later + timedelta(minutes=30)
        assert (again.created_at, again.started_at) == (NOW, NOW)

    async def test_lost_job_is_queued_after_a_pause(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        await start(jobs)
        assert await jobs.ledger.rescue_lost(now=NOW + DEADLINES.lease - SECOND, limit=10) == []
        late = NOW + LOST
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
            await start(jobs, at=now)
            await jobs.ledger.rescue_lost(now=now + LOST, limit=10)
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
            execution, _ = await start(jobs, at=now)
            assert await jobs.ledger.crash(execution, BROKEN, now=now) is Recorded.YOURS
            assert await jobs.ledger.dispatch(now=now, limit=1) == []
            now += timedelta(minutes=10)

        final = await jobs.read(job)
        assert (final.status, final.error) == (JobStatus.FAILED, BROKEN)
        assert await jobs.ledger.crash(execution, BROKEN, now=now) is Recorded.YOURS  # a repeat

    async def test_two_supervisors_rescue_a_job_once(self, jobs: JobsBackend) -> None:
        for _ in range(4):
            await jobs.submitted()
            await start(jobs)
        batches = await asyncio.gather(
            *(jobs.ledger.rescue_lost(now=NOW + LOST, limit=10) for _ in range(5))
        )

        assert sum(len(batch) for batch in batches) == 4

    # -- deadlines in the queue ---------------------------------------------------------------

    async def test_job_past_its_queue_deadline_fails(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted(queue_timeout=timedelta(seconds=10))
        assert await jobs.ledger.expire_queued(now=NOW + 9 * SECOND, limit=10) == []
        late = NOW + 10 * SECOND
        [expired] = await jobs.ledger.expire_queued(now=late, limit=10)

        assert (expired.job_id, expired.status) == (job.id, JobStatus.FAILED)
        failed = await jobs.read(job)
        assert failed.error is not None
        assert (failed.error.code, failed.finished_at) == ("queue_timeout", late)
        assert await jobs.ledger.dispatch(now=late, limit=1) == []

    async def test_expired_job_frees_the_slot_it_waited_in(self, jobs: JobsBackend) -> None:
        await jobs.submitted(queue_timeout=timedelta(seconds=10))
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        late = NOW + 11 * SECOND
        await jobs.ledger.expire_queued(now=late, limit=10)

        assert (await jobs.ledger.overview(now=late)).slots_free == 8
        with pytest.raises(StaleAttempt):
            await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=late)

    async def test_running_job_does_not_expire_in_the_queue(self, jobs: JobsBackend) -> None:
        await jobs.submitted(queue_timeout=timedelta(seconds=10))
        await start(jobs)

        assert await jobs.ledger.expire_queued(now=NOW + timedelta(hours=1), limit=10) == []

    async def test_unstarted_attempt_is_taken_back_uncharged(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted(queue_timeout=timedelta(hours=5))
        now = NOW
        for attempt in range(1, DEADLINES.max_attempts + 3):
            [assignment] = await jobs.ledger.dispatch(now=now, limit=1)
            assert assignment.attempt == attempt
            now += DEADLINES.start + SECOND
            [reclaimed] = await jobs.ledger.reclaim_unstarted(now=now, limit=10)
            assert (reclaimed.job_id, reclaimed.status) == (job.id, JobStatus.QUEUED)
            with pytest.raises(StaleAttempt):
                await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=now)

        assert (await jobs.read(job)).status is JobStatus.QUEUED

    # -- overview -----------------------------------------------------------------------------

    async def test_overview_counts(self, jobs: JobsBackend) -> None:
        for n in range(3):
            await jobs.submitted(at=NOW + n * SECOND)
        execution, _ = await start(jobs, at=NOW + 5 * SECOND)
        await jobs.store.request_cancel(reach_of(execution.owner), execution.job_id, now=NOW)

        found = await jobs.ledger.overview(now=NOW + 11 * SECOND)
        assert (found.slots_total, found.slots_free) == (8, 7)
        assert (found.queued, found.running, found.open_cancels) == (2, 1, 1)
        assert found.oldest_eligible_seconds == 10.0
