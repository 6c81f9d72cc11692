"""Cancels that no worker answers, from the request to the receipt."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from genjobs.application.submission import Submission
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import CancelMethod, Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing import Harness, a_workflow

_SILENCE = timedelta(seconds=15)


async def _silent(harness: Harness, call_id: str | None) -> Job:
    """Return a running job that was cancelled and whose worker does nothing more."""
    await harness.supervise_for(timedelta(seconds=40))  # the first grace is over
    owner = harness.genjobs.owner("u_1")
    job = await harness.genjobs.submit(owner, Submission(workflow=a_workflow()))
    now = harness.clock.now()
    [given] = await harness.ledger.dispatch(now=now, limit=1)
    await harness.ledger.start(given, ExecutionId(uuid4()), now=now, call_id=call_id)
    await harness.genjobs.cancel(harness.genjobs.reach("u_1"), job.id)
    return job


async def _read(harness: Harness, job: Job) -> Job:
    return (await harness.genjobs.get(harness.genjobs.reach("u_1"), job.id)).job


async def test_silent_worker_is_ended_and_the_job_cancelled(harness: Harness) -> None:
    harness.workers.running.add("w")
    job = await _silent(harness, "w")
    ticks = await harness.supervise_for(_SILENCE)

    assert harness.workers.ended == {"w"}
    final = await _read(harness, job)
    assert (final.status, [tick.escalated for tick in ticks]) == (
        JobStatus.CANCELLED,
        [0, 0, 0, 1],
    )
    assert final.cancellation is not None
    assert final.cancellation.method is CancelMethod.CONTAINER_TERMINATED
    assert final.cancellation.stopped_at is None
    assert ticks[-1].overview.escalations == 1


async def test_worker_out_of_reach_is_tried_a_few_times(harness: Harness) -> None:
    for call_id in ("elsewhere", None):
        job = await _silent(harness, call_id)
        await harness.supervise_for(_SILENCE + timedelta(seconds=5))
        assert (await _read(harness, job)).status is JobStatus.RUNNING
        await harness.supervise_for(timedelta(seconds=5))

        final = await _read(harness, job)
        assert final.status is JobStatus.CANCELLED
        assert final.cancellation is not None
        assert final.cancellation.method is CancelMethod.WORKER_LOST


async def test_platform_that_does_not_answer_is_no_reason_to_wait_for_ever(
    harness: Harness,
) -> None:
    harness.workers.running.add("w")
    harness.workers.available = False
    job = await _silent(harness, "w")
    await harness.supervise_for(_SILENCE + timedelta(seconds=10))

    assert (await _read(harness, job)).status is JobStatus.CANCELLED
    assert harness.workers.running == {"w"}


async def test_worker_that_answers_in_time_is_left_alone(harness: Harness) -> None:
    harness.workers.running.add("w")
    job = await _silent(harness, "w")
    await harness.supervise_for(timedelta(seconds=10))
    [row] = [row for row in harness.jobs.rows.values() if row.job.id == job.id]
    assert row.slot is not None
    row.slot.lease_expires_at = harness.clock.now() + timedelta(seconds=30)  # a sign of life
    await harness.supervise_for(timedelta(seconds=10))

    assert harness.workers.running == {"w"}
    assert (await _read(harness, job)).status is JobStatus.RUNNING


async def test_two_cancels_of_one_worker_are_both_told_that_it_was_ended(harness: Harness) -> None:
    harness.workers.running.add("w")
    first = await _silent(harness, "w")
    owner = harness.genjobs.owner("u_2")
    second = await harness.genjobs.submit(owner, Submission(workflow=a_workflow()))
    now = harness.clock.now()
    [given] = await harness.ledger.dispatch(now=now, limit=1)
    await harness.ledger.start(given, ExecutionId(uuid4()), now=now, call_id="w")
    await harness.genjobs.cancel(harness.genjobs.reach("u_2"), second.id)
    await harness.supervise_for(_SILENCE)

    for job, user in ((first, "u_1"), (second, "u_2")):
        view = await harness.genjobs.get(harness.genjobs.reach(user), job.id)
        assert view.job.cancellation is not None
        assert view.job.cancellation.method is CancelMethod.CONTAINER_TERMINATED
