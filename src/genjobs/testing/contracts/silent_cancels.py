"""The contract of ``Supervision``: cancels that nobody answers, and workers that are lost."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from genjobs.domain.attempts import BeatReply, Execution, Recorded
from genjobs.domain.job import CancelMethod, Job
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.supervision import Patience, SilentCancel, Termination
from genjobs.testing.contracts.job_store import reach_of
from genjobs.testing.contracts.ledger_steps import (
    DEADLINES,
    LOST,
    NOW,
    SECOND,
    beat,
    completed,
    receipt_of,
    start,
)
from genjobs.testing.contracts.supervision_backend import SupervisionBackend

PATIENCE = Patience.of(DEADLINES)
SILENT = NOW + PATIENCE.silence
_WORKER = "worker-1"


class SilentCancelsContract:
    """Needs the fixture ``jobs``: a backend with 8 slots and the default deadlines."""

    @pytest.fixture
    def jobs(self) -> SupervisionBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- who does not answer ------------------------------------------------------------------

    async def test_worker_that_gives_no_sign_is_silent(self, jobs: SupervisionBackend) -> None:
        _, execution = await _cancelling(jobs)
        assert await jobs.supervision.silent_cancels(now=SILENT - SECOND, limit=9) == []

        [silent] = await jobs.supervision.silent_cancels(now=SILENT, limit=9)
        assert silent == SilentCancel(execution=execution, call_id=_WORKER, terminations=1)

    async def test_it_has_time_to_answer_a_cancel(self, jobs: SupervisionBackend) -> None:
        job = await jobs.submitted()
        await start(jobs, call_id=_WORKER)
        asked = NOW + PATIENCE.silence - SECOND
        await jobs.store.request_cancel(reach_of(job.owner), job.id, now=asked)

        assert await jobs.supervision.silent_cancels(now=SILENT + SECOND, limit=9) == []
        late = asked + PATIENCE.silence
        assert len(await jobs.supervision.silent_cancels(now=late, limit=9)) == 1

    async def test_without_a_cancel_nobody_is_silent(self, jobs: SupervisionBackend) -> None:
        await jobs.submitted()
        await start(jobs, call_id=_WORKER)
        assert await jobs.supervision.silent_cancels(now=SILENT + LOST, limit=9) == []

    @pytest.mark.parametrize(
        ("phase", "deaf"),
        [(Phase.RENDERING, True), (Phase.WAITING, True), (Phase.UPLOADING, False)],
    )
    async def test_worker_that_beats_and_does_not_stop_is_deaf(
        self, jobs: SupervisionBackend, phase: Phase, deaf: bool
    ) -> None:
        _, execution = await _cancelling(jobs)
        almost = NOW + PATIENCE.deafness - SECOND
        await beat(jobs, execution, at=almost, phase=phase)
        assert await jobs.supervision.silent_cancels(now=almost, limit=9) == []

        found = await jobs.supervision.silent_cancels(now=almost + SECOND, limit=9)
        assert bool(found) == deaf

    async def test_told_again_only_after_a_pause(self, jobs: SupervisionBackend) -> None:
        await _cancelling(jobs)
        batches = await asyncio.gather(
            *(jobs.supervision.silent_cancels(now=SILENT, limit=9) for _ in range(5))
        )
        assert sum(len(batch) for batch in batches) == 1
        almost = SILENT + PATIENCE.pause - SECOND
        assert await jobs.supervision.silent_cancels(now=almost, limit=9) == []
        [again] = await jobs.supervision.silent_cancels(now=SILENT + PATIENCE.pause, limit=9)
        assert again.terminations == 2

    async def test_after_an_outage_nobody_is_silent(self, jobs: SupervisionBackend) -> None:
        await _cancelling(jobs)
        await jobs.supervision.begin_tick(now=SILENT)
        assert await jobs.supervision.silent_cancels(now=SILENT, limit=9) == []
        over = SILENT + DEADLINES.lease
        assert len(await jobs.supervision.silent_cancels(now=over, limit=9)) == 1

    # -- how it ends --------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("seen", "method"),
        [
            (Termination.TERMINATED, CancelMethod.CONTAINER_TERMINATED),
            (Termination.GONE, CancelMethod.WORKER_LOST),
            (Termination.UNKNOWN, CancelMethod.WORKER_LOST),
        ],
    )
    async def test_job_is_cancelled_with_an_honest_receipt(
        self, jobs: SupervisionBackend, seen: Termination, method: CancelMethod
    ) -> None:
        job, execution = await _cancelling(jobs)
        [silent] = await jobs.supervision.silent_cancels(now=SILENT, limit=9)
        [rescue] = await jobs.supervision.end_silent(silent, seen, now=SILENT)

        assert (rescue.job_id, rescue.status) == (job.id, JobStatus.CANCELLED)
        assert (await receipt_of(jobs, job, JobStatus.CANCELLED))[:2] == (method, None)
        assert (await jobs.ledger.overview(now=SILENT)).slots_free == 8
        assert await jobs.supervision.end_silent(silent, seen, now=SILENT) == []
        late = await jobs.ledger.finish(execution, completed(execution), now=SILENT)
        assert late is Recorded.STALE
        assert await beat(jobs, execution, at=SILENT) is BeatReply.LEASE_LOST

    async def test_finish_that_came_first_stands(self, jobs: SupervisionBackend) -> None:
        job, execution = await _cancelling(jobs)
        [silent] = await jobs.supervision.silent_cancels(now=SILENT, limit=9)
        await jobs.ledger.finish(execution, completed(execution), now=SILENT)

        assert await jobs.supervision.end_silent(silent, Termination.TERMINATED, now=SILENT) == []
        assert (await jobs.read(job)).status is JobStatus.COMPLETED

    async def test_finish_and_end_at_once_agree(self, jobs: SupervisionBackend) -> None:
        for _ in range(5):
            job, execution = await _cancelling(jobs)
            [silent] = await jobs.supervision.silent_cancels(now=SILENT, limit=9)
            recorded, ended = await asyncio.gather(
                jobs.ledger.finish(execution, completed(execution), now=SILENT),
                jobs.supervision.end_silent(silent, Termination.TERMINATED, now=SILENT),
            )
            if not ended and recorded is Recorded.STALE:  # neither may be skipped by the other
                raise AssertionError
            status = (await jobs.read(job)).status
            assert (status is JobStatus.COMPLETED) == (recorded is Recorded.YOURS)
            assert (status is JobStatus.CANCELLED) == (len(ended) == 1)

    # -- neighbours ---------------------------------------------------------------------------

    async def test_neighbours_of_an_ended_worker_are_queued_again_uncharged(
        self, jobs: SupervisionBackend
    ) -> None:
        stranger = await jobs.submitted()
        await start(jobs, call_id="worker-2")
        neighbours: list[Job] = []
        for n in range(DEADLINES.max_attempts + 1):
            now = NOW + n * timedelta(minutes=1)
            job, _ = await _cancelling(jobs, at=now)
            neighbours = neighbours or [await jobs.submitted() for _ in range(2)]
            runs = [(await start(jobs, at=now, call_id=_WORKER))[0] for _ in neighbours]
            await beat(jobs, runs[0], at=now)  # one of them held the renderer
            late = now + PATIENCE.silence
            [silent] = await jobs.supervision.silent_cancels(now=late, limit=9)
            ended = await jobs.supervision.end_silent(silent, Termination.TERMINATED, now=late)

            assert {rescue.job_id for rescue in ended} == {job.id, *(it.id for it in neighbours)}
            for neighbour in neighbours:
                assert (await jobs.read(neighbour)).status is JobStatus.QUEUED
            assert (await jobs.read(stranger)).status is JobStatus.RUNNING

    @pytest.mark.parametrize("seen", [Termination.TERMINATED, Termination.GONE])
    async def test_neighbours_with_calls_of_their_own_share_the_end_of_their_worker_only(
        self, jobs: SupervisionBackend, seen: Termination
    ) -> None:
        job = await jobs.submitted()
        await start(jobs, call_id="worker-1#call-1")
        beside, elsewhere = await jobs.submitted(), await jobs.submitted()
        await start(jobs, call_id="worker-1#call-2")
        await start(jobs, call_id="worker-2#call-3")
        await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)
        [silent] = await jobs.supervision.silent_cancels(now=SILENT, limit=9)
        ended = await jobs.supervision.end_silent(silent, seen, now=SILENT)

        shared = seen is Termination.TERMINATED
        assert {rescue.job_id for rescue in ended} == {job.id} | ({beside.id} if shared else set())
        left = JobStatus.QUEUED if shared else JobStatus.RUNNING
        assert (await jobs.read(beside)).status is left
        assert (await jobs.read(elsewhere)).status is JobStatus.RUNNING

    async def test_neighbours_stay_when_nothing_was_seen_of_the_worker(
        self, jobs: SupervisionBackend
    ) -> None:
        await _cancelling(jobs)
        neighbour = await jobs.submitted()
        await start(jobs, call_id=_WORKER)
        [silent] = await jobs.supervision.silent_cancels(now=SILENT, limit=9)
        await jobs.supervision.end_silent(silent, Termination.UNKNOWN, now=SILENT)

        assert (await jobs.read(neighbour)).status is JobStatus.RUNNING

    async def test_only_who_held_the_renderer_is_charged_for_a_lost_worker(
        self, jobs: SupervisionBackend
    ) -> None:
        holder, *others = [await jobs.submitted() for _ in range(4)]
        now = NOW
        for round_ in range(DEADLINES.max_attempts):
            runs = {}
            for _ in range(4):
                execution, _ = await start(jobs, at=now, call_id=_WORKER)
                runs[execution.job_id] = execution
            phases = (Phase.WAITING, Phase.UPLOADING, Phase.PREPARING)
            for job, phase in zip(others, phases, strict=True):
                await beat(jobs, runs[job.id], at=now, phase=phase)
            await beat(jobs, runs[holder.id], at=now, phase=Phase.RENDERING)
            lost = await jobs.ledger.rescue_lost(now=now + LOST, limit=10)
            assert len(lost) == 4
            last = round_ == DEADLINES.max_attempts - 1
            status = (await jobs.read(holder)).status
            assert status is (JobStatus.FAILED if last else JobStatus.QUEUED)
            now += timedelta(minutes=10)
        for job in others:
            assert (await jobs.read(job)).status is JobStatus.QUEUED

    async def test_job_that_loses_every_worker_before_it_renders_comes_to_an_end(
        self, jobs: SupervisionBackend
    ) -> None:
        job = await jobs.submitted()
        losses, now = 0, NOW
        while (await jobs.read(job)).status is JobStatus.QUEUED:
            await start(jobs, at=now, call_id=f"worker-{losses}")
            await jobs.ledger.rescue_lost(now=now + LOST, limit=10)
            losses, now = losses + 1, now + timedelta(minutes=10)

        final = await jobs.read(job)
        assert final.error is not None
        assert (final.error.code, losses) == ("worker_lost", 2 * DEADLINES.max_attempts)

    async def test_spared_job_pauses_as_a_charged_one_does(self, jobs: SupervisionBackend) -> None:
        await jobs.submitted()
        await start(jobs, call_id=_WORKER)
        late = NOW + LOST
        await jobs.ledger.rescue_lost(now=late, limit=1)

        assert await jobs.ledger.dispatch(now=late, limit=1) == []
        due = DEADLINES.retry_at(late, 1)
        assert len(await jobs.ledger.dispatch(now=due, limit=1)) == 1


async def _cancelling(jobs: SupervisionBackend, at: datetime = NOW) -> tuple[Job, Execution]:
    job = await jobs.submitted(priority=9)  # before those that were queued again
    execution, _ = await start(jobs, at=at, call_id=_WORKER)
    await jobs.store.request_cancel(reach_of(job.owner), job.id, now=at)
    return job, execution
