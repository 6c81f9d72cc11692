"""Several jobs of one worker at once, on the harness: who waits for whom, and who pays for what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from genjobs.application.submission import InlineMedia, Submission
from genjobs.domain.errors import DeviceFailed, EngineFailed
from genjobs.domain.job import CancelMethod, Job
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.testing import Harness, Script, a_workflow, open_harness, png_bytes
from genjobs.testing.contracts.engine import loading

USER = "u_1"


async def submitted(harness: Harness, **parts: object) -> Job:
    submission = Submission(**{"workflow": a_workflow(), **parts})  # type: ignore[arg-type]
    return await harness.genjobs.submit(harness.genjobs.owner(USER), submission)


async def read(harness: Harness, job: Job) -> Job:
    return (await harness.genjobs.get(harness.genjobs.reach(USER), job.id)).job


async def reached(harness: Harness, job: Job, state: JobStatus | Phase) -> Job:
    async with asyncio.timeout(10):
        while True:
            found = await read(harness, job)
            if state in (found.status, found.phase):
                return found
            await asyncio.sleep(0.02)


def charged(harness: Harness, job: Job) -> int:
    return harness.jobs.rows[job.id].charged


@asynccontextmanager
async def working(harness: Harness) -> AsyncIterator[asyncio.Event]:
    """Hold a running worker; yields its shutdown, which is set at the end."""
    shutdown = asyncio.Event()
    running = asyncio.create_task(harness.worker.run(shutdown))
    try:
        yield shutdown
    finally:
        shutdown.set()
        if harness.engine.script.gate is not None:
            harness.engine.script.gate.set()
        async with asyncio.timeout(15):
            await running


def hang(harness: Harness, *, stoppable: bool = True) -> asyncio.Event:
    """Let renders hang until the returned gate is opened."""
    gate = asyncio.Event()
    harness.engine.script = Script(gate=gate, stoppable=stoppable)
    return gate


async def test_next_job_is_loaded_while_one_renders_and_no_more(harness: Harness) -> None:
    gate = hang(harness)
    jobs = [await submitted(harness) for _ in range(3)]
    async with working(harness):
        await reached(harness, jobs[0], Phase.RENDERING)
        await reached(harness, jobs[1], Phase.WAITING)
        await asyncio.sleep(0.6)
        # The third is for whoever has room to load it.
        assert (await read(harness, jobs[2])).attempt == 0
        assert len(harness.engine.rendered) == 1

        gate.set()
        for job in jobs:
            await reached(harness, job, JobStatus.COMPLETED)


async def test_job_renders_while_another_uploads(harness: Harness) -> None:
    harness.engine.script.gate = None
    first = await submitted(harness)
    harness.artifacts.available = False
    async with working(harness):
        await reached(harness, first, Phase.UPLOADING)
        gate = hang(harness)
        second = await submitted(harness)
        await reached(harness, second, Phase.RENDERING)
        harness.artifacts.available = True
        await reached(harness, first, JobStatus.COMPLETED)
        gate.set()
        await reached(harness, second, JobStatus.COMPLETED)


async def test_places_bound_the_jobs_of_a_worker() -> None:
    async with open_harness(worker_places=2) as harness:
        harness.artifacts.available = False
        jobs = [await submitted(harness) for _ in range(3)]
        async with working(harness):
            await reached(harness, jobs[0], Phase.UPLOADING)
            await reached(harness, jobs[1], Phase.UPLOADING)
            await asyncio.sleep(0.6)
            assert (await read(harness, jobs[2])).attempt == 0
            harness.artifacts.available = True
            await reached(harness, jobs[2], JobStatus.COMPLETED)


async def test_worker_that_renders_leaves_a_new_job_to_an_idle_one(harness: Harness) -> None:
    hang(harness)
    first = await submitted(harness)
    async with working(harness):
        await reached(harness, first, Phase.RENDERING)
        await asyncio.sleep(0.3)  # it has looked, and found nothing
        second = await submitted(harness)
        await asyncio.sleep(0.1)
        # What an idle worker elsewhere does at its next poll.
        [assignment] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
        assert assignment.job_id == second.id


@pytest.mark.parametrize("at", [Phase.PREPARING, Phase.WAITING])
async def test_cancel_before_the_render_leaves_the_renderer_alone(
    harness: Harness, at: Phase
) -> None:
    gate = hang(harness)
    first = await submitted(harness)
    async with working(harness):
        await reached(harness, first, Phase.RENDERING)
        if at is Phase.PREPARING:
            harness.artifacts.available = True
            media = [InlineMedia(name="photo.png", content=png_bytes())]
            second = await submitted(harness, workflow=loading(), media=media)
            harness.artifacts.available = False
        else:
            second = await submitted(harness)
        await reached(harness, second, at)
        await harness.genjobs.cancel(harness.genjobs.reach(USER), second.id)
        stopped = await reached(harness, second, JobStatus.CANCELLED)
        assert stopped.cancellation is not None
        assert stopped.cancellation.stopped_at is not None
        assert stopped.cancellation.gpu_seconds_after_request == 0.0

        harness.artifacts.available = True
        gate.set()
        done = await reached(harness, first, JobStatus.COMPLETED)
        assert (done.attempt, len(harness.engine.rendered)) == (1, 1)


async def test_cancel_of_the_rendering_job_leaves_the_waiting_one(harness: Harness) -> None:
    gate = hang(harness)
    first, second = await submitted(harness), await submitted(harness)
    async with working(harness):
        await reached(harness, first, Phase.RENDERING)
        await reached(harness, second, Phase.WAITING)
        await harness.genjobs.cancel(harness.genjobs.reach(USER), first.id)
        await reached(harness, first, JobStatus.CANCELLED)
        gate.set()
        done = await reached(harness, second, JobStatus.COMPLETED)
        assert (done.attempt, harness.keeper.kills) == (1, 0)


async def test_cancel_while_uploading_is_too_late(harness: Harness) -> None:
    job = await submitted(harness)
    harness.artifacts.available = False
    async with working(harness):
        await reached(harness, job, Phase.UPLOADING)
        for _ in range(2):  # the second changes nothing
            await harness.genjobs.cancel(harness.genjobs.reach(USER), job.id)
        await asyncio.sleep(0.2)
        harness.artifacts.available = True
        done = await reached(harness, job, JobStatus.COMPLETED)
        assert done.cancellation is not None
        assert done.cancellation.method is CancelMethod.TOO_LATE


async def test_killed_engine_charges_only_the_job_that_held_the_renderer() -> None:
    async with open_harness(cancel_grace_seconds=0.2, max_attempts=1) as harness:
        hang(harness, stoppable=False)
        first, second = await submitted(harness), await submitted(harness)
        async with working(harness):
            await reached(harness, first, Phase.RENDERING)
            await reached(harness, second, Phase.WAITING)
            harness.engine.script = Script()
            await harness.genjobs.cancel(harness.genjobs.reach(USER), first.id)
            stopped = await reached(harness, first, JobStatus.CANCELLED)
            assert stopped.cancellation is not None
            assert stopped.cancellation.method is CancelMethod.PROCESS_KILLED
            await reached(harness, second, JobStatus.COMPLETED)
        assert (harness.keeper.kills, charged(harness, second)) == (1, 0)


async def test_render_without_progress_is_killed_and_tried_again() -> None:
    async with open_harness(no_progress_seconds=0.3) as harness:
        hang(harness, stoppable=False)
        job = await submitted(harness)
        async with working(harness):
            await harness.engine.begun.wait()
            harness.engine.script = Script()
            async with asyncio.timeout(10):
                while charged(harness, job) == 0:
                    await asyncio.sleep(0.02)
            harness.clock.advance(timedelta(minutes=1))
            done = await reached(harness, job, JobStatus.COMPLETED)
        assert (done.attempt, harness.keeper.kills) == (2, 1)


async def test_job_that_waits_too_long_for_the_renderer_is_given_back_uncharged() -> None:
    async with open_harness(renderer_wait_seconds=0.2) as harness:
        gate = hang(harness)
        first, second = await submitted(harness), await submitted(harness)
        async with working(harness):
            await reached(harness, first, Phase.RENDERING)
            async with asyncio.timeout(10):
                while (await read(harness, second)).attempt < 2:
                    await asyncio.sleep(0.02)
            assert charged(harness, second) == 0
            gate.set()
            await reached(harness, second, JobStatus.COMPLETED)


async def test_renderer_is_not_given_on_before_a_foreign_engine_is_known_to_be_done() -> None:
    async with open_harness(cancel_grace_seconds=0.2) as harness:
        harness.keeper.owned = False
        hang(harness, stoppable=False)
        first = await submitted(harness)
        async with working(harness):
            await reached(harness, first, Phase.RENDERING)
            second = await submitted(harness)
            await reached(harness, second, Phase.WAITING)
            await harness.genjobs.cancel(harness.genjobs.reach(USER), first.id)
            await reached(harness, first, JobStatus.CANCELLED)
            await asyncio.sleep(0.3)
            assert (await read(harness, second)).phase is Phase.WAITING
            assert len(harness.engine.rendered) == 1

            harness.engine.script = Script()  # now it can be stopped
            await reached(harness, second, JobStatus.COMPLETED)


async def test_lost_render_is_settled_before_the_next(harness: Harness) -> None:
    harness.engine.script.error = EngineFailed()
    job = await submitted(harness)
    await harness.run_one()

    assert charged(harness, job) == 1
    assert len(harness.engine.settled) == 1
    assert harness.engine.running == set()


async def test_broken_device_is_renewed_and_the_job_tried_again(harness: Harness) -> None:
    harness.engine.script.error = DeviceFailed()
    job = await submitted(harness)
    await harness.run_one()
    assert ((await read(harness, job)).status, harness.keeper.kills) == (JobStatus.QUEUED, 1)

    harness.engine.script.error = None
    harness.clock.advance(timedelta(minutes=1))
    await harness.run_one()
    assert (await read(harness, job)).status is JobStatus.COMPLETED


async def test_broken_device_of_a_foreign_engine_ends_the_worker(harness: Harness) -> None:
    harness.keeper.owned = False
    harness.engine.script.error = DeviceFailed()
    job = await submitted(harness)
    async with asyncio.timeout(10):
        await harness.worker.run(asyncio.Event())  # nobody tells it to stop

    assert harness.worker.retired.is_set()
    assert (await read(harness, job)).status is JobStatus.QUEUED


async def test_shutdown_gives_loaded_jobs_back_and_lets_uploads_end() -> None:
    async with open_harness(stop_seconds=3) as harness:
        uploading = await submitted(harness)
        harness.artifacts.available = False
        async with working(harness) as shutdown:
            await reached(harness, uploading, Phase.UPLOADING)
            gate = hang(harness)
            rendering = await submitted(harness)
            await reached(harness, rendering, Phase.RENDERING)
            shutdown.set()
            waiting = await submitted(harness)
            await asyncio.sleep(0.3)
            harness.artifacts.available = True
            gate.set()
            await reached(harness, uploading, JobStatus.COMPLETED)
            await reached(harness, rendering, JobStatus.COMPLETED)
        assert (await read(harness, waiting)).attempt == 0


async def test_all_attempts_are_in_one_heartbeat(harness: Harness) -> None:
    sizes = []
    beat = harness.ledger.heartbeat

    async def counted(beats: list[object], **kwargs: object) -> object:
        sizes.append(len(beats))
        return await beat(beats, **kwargs)  # type: ignore[arg-type]

    harness.worker.run_job.heart.ledger.heartbeat = counted  # type: ignore[method-assign]
    gate = hang(harness)
    first, second = await submitted(harness), await submitted(harness)
    async with working(harness):
        await reached(harness, first, Phase.RENDERING)
        await reached(harness, second, Phase.WAITING)
        gate.set()
        await reached(harness, second, JobStatus.COMPLETED)
    assert max(sizes) == 2


async def test_unforeseen_error_of_a_heartbeat_does_not_end_it(harness: Harness) -> None:
    beat, calls = harness.ledger.heartbeat, 0

    async def broken(beats: list[object], **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a defect")
        return await beat(beats, **kwargs)  # type: ignore[arg-type]

    harness.worker.run_job.heart.ledger.heartbeat = broken  # type: ignore[method-assign]
    gate = hang(harness)
    job = await submitted(harness)
    async with working(harness):
        await reached(harness, job, Phase.RENDERING)
        assert calls > 1
        gate.set()
        await reached(harness, job, JobStatus.COMPLETED)


async def test_upload_waits_for_an_engine_that_is_started_anew(harness: Harness) -> None:
    job = await submitted(harness)
    harness.artifacts.available = False
    async with working(harness):
        await reached(harness, job, Phase.UPLOADING)
        harness.engine.alive = False
        harness.artifacts.available = True
        await asyncio.sleep(1.2)  # a try has failed
        harness.engine.alive = True
        done = await reached(harness, job, JobStatus.COMPLETED)

    assert (done.attempt, len(harness.engine.rendered)) == (1, 1)


async def test_cancelled_worker_gives_everything_back(harness: Harness) -> None:
    hang(harness)
    first, second = await submitted(harness), await submitted(harness)
    running = asyncio.create_task(harness.worker.run(asyncio.Event()))
    await reached(harness, first, Phase.RENDERING)
    await reached(harness, second, Phase.WAITING)
    running.cancel()
    async with asyncio.timeout(15):
        await asyncio.gather(running, return_exceptions=True)

    for job in (first, second):
        assert (await read(harness, job)).status is JobStatus.QUEUED
        assert charged(harness, job) == 0
    assert harness.engine.running == set()
