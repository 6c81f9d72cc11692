"""The contract of ``JobLedger``: from start to a recorded end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.attempts import (
    Beat,
    BeatReply,
    Failed,
    Recorded,
)
from genjobs.domain.errors import StaleAttempt
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Job, JobError, Progress
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.testing.contracts.job_store import JobsBackend, reach_of
from genjobs.testing.contracts.ledger_steps import (
    BROKEN,
    DEADLINES,
    LOST,
    NOW,
    SECOND,
    TIMINGS,
    beat,
    completed,
    failed,
    start,
)


class LedgerAttempts:
    """Start, heartbeat, finish; part of ``JobLedgerContract``."""

    @pytest.fixture
    def jobs(self) -> JobsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- start --------------------------------------------------------------------------------

    async def test_start_makes_the_job_running(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, started = await start(jobs, at=NOW + 3 * SECOND)

        assert started.execution == execution
        assert started.run_timeout == timedelta(minutes=10)
        assert b"EmptyImage" in started.workflow
        assert not started.cancel_requested
        running = await jobs.read(job)
        assert (running.status, running.phase) == (JobStatus.RUNNING, Phase.PREPARING)
        assert running.started_at == NOW + 3 * SECOND
        assert running.timings.queue_seconds == 3.0
        assert running.queue_position is None

    async def test_repeated_start_of_one_execution_is_the_same(self, jobs: JobsBackend) -> None:
        await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        execution_id = ExecutionId(uuid4())
        first = await jobs.ledger.start(assignment, execution_id, now=NOW)

        assert await jobs.ledger.start(assignment, execution_id, now=NOW + SECOND) == first

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
        execution, _ = await start(jobs)
        before = await jobs.read(job)
        progress = Progress(fraction=0.5, node_id="3", node_class="KSampler", step=5, steps=10)
        replies = await jobs.ledger.heartbeat(
            [Beat(execution=execution, phase=Phase.RENDERING, progress=progress)], now=NOW
        )

        assert replies == {execution.execution_id: BeatReply.GO_ON}
        after = await jobs.read(job)
        assert (after.phase, after.progress) == (Phase.RENDERING, progress)
        assert after.version != before.version

    @pytest.mark.parametrize("text", ["1\x00", "1\ud800", "1\\u0000"])
    async def test_text_that_no_database_holds_does_not_stop_a_job(
        self, jobs: JobsBackend, text: str
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        progress = Progress(fraction=0.5, node_id=text)
        beat = Beat(execution=execution, phase=Phase.RENDERING, progress=progress)
        error = JobError(code="node_error", message=f"Node {text} failed.", node_id=text)

        assert await jobs.ledger.heartbeat([beat], now=NOW) == {
            execution.execution_id: BeatReply.GO_ON
        }
        outcome = Failed(error=error, timings=TIMINGS)
        assert await jobs.ledger.finish(execution, outcome, now=NOW) is Recorded.YOURS
        assert (await jobs.read(job)).status is JobStatus.FAILED

    async def test_heartbeat_that_says_nothing_new_leaves_the_version(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await beat(jobs, execution)
        before = await jobs.read(job)
        await beat(jobs, execution)

        assert (await jobs.read(job)).version == before.version

    async def test_heartbeat_keeps_the_lease(self, jobs: JobsBackend) -> None:
        await jobs.submitted()
        execution, _ = await start(jobs)
        await beat(jobs, execution, at=NOW + DEADLINES.lease)

        assert await jobs.ledger.rescue_lost(now=NOW + LOST, limit=10) == []

    async def test_heartbeat_carries_the_cancel(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)

        assert await beat(jobs, execution) is BeatReply.CANCEL

    async def test_one_heartbeat_renews_many_and_tells_them_apart(self, jobs: JobsBackend) -> None:
        for _ in range(3):
            await jobs.submitted()
        executions = [(await start(jobs))[0] for _ in range(3)]
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
        execution, _ = await start(jobs)
        outcome = completed(execution)
        recorded = await jobs.ledger.finish(execution, outcome, now=NOW + 9 * SECOND)

        assert recorded is Recorded.YOURS
        done = await jobs.read(job)
        assert (done.status, done.finished_at) == (JobStatus.COMPLETED, NOW + 9 * SECOND)
        assert done.outputs == outcome.outputs
        assert (done.timings.render_seconds, done.timings.queue_seconds) == (2.0, 0.0)
        assert (done.phase, done.progress, done.error) == (None, None, None)
        assert (await jobs.ledger.overview(now=NOW)).slots_free == 8

    async def test_failed_job_says_why(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await jobs.ledger.finish(execution, failed(), now=NOW)

        done = await jobs.read(job)
        assert (done.status, done.error) == (JobStatus.FAILED, BROKEN)

    async def test_repeated_finish_is_still_yours_and_changes_nothing(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await jobs.ledger.finish(execution, completed(execution), now=NOW)
        first = await jobs.read(job)

        again = await jobs.ledger.finish(execution, completed(execution), now=NOW + SECOND)
        assert again is Recorded.YOURS
        assert await jobs.read(job) == first

    async def test_finish_after_rescue_is_stale_and_changes_nothing(
        self, jobs: JobsBackend
    ) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        await jobs.ledger.rescue_lost(now=NOW + LOST, limit=10)
        rescued = await jobs.read(job)

        late = NOW + 2 * LOST
        assert await jobs.ledger.finish(execution, completed(execution), now=late) is Recorded.STALE
        assert await jobs.ledger.release(execution, now=late) is Recorded.STALE
        assert await jobs.ledger.crash(execution, BROKEN, now=late) is Recorded.STALE
        assert await beat(jobs, execution, at=late) is BeatReply.LEASE_LOST
        assert await jobs.read(job) == rescued

    async def test_late_finish_does_not_touch_the_next_attempt(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        old, _ = await start(jobs)
        await jobs.ledger.rescue_lost(now=NOW + LOST, limit=10)
        later = NOW + timedelta(minutes=5)
        new, _ = await start(jobs, at=later)
        assert (old.job_id, old.attempt, new.attempt) == (new.job_id, 1, 2)

        assert await jobs.ledger.finish(old, failed(), now=later) is Recorded.STALE
        assert (await jobs.read(job)).status is JobStatus.RUNNING
        assert await jobs.ledger.finish(new, completed(new), now=later) is Recorded.YOURS
        assert (await jobs.read(job)).status is JobStatus.COMPLETED
        assert await jobs.ledger.finish(old, failed(), now=later) is Recorded.STALE

    async def test_finish_and_rescue_at_once_agree(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        execution, _ = await start(jobs)
        late = NOW + LOST
        recorded, rescued = await asyncio.gather(
            jobs.ledger.finish(execution, completed(execution), now=late),
            jobs.ledger.rescue_lost(now=late, limit=10),
        )

        final = await jobs.read(job)
        if recorded is Recorded.YOURS:
            assert (final.status, rescued) == (JobStatus.COMPLETED, [])
        else:
            assert (final.status, len(rescued)) == (JobStatus.QUEUED, 1)
