"""Running an attempt, on the harness: every way it can end."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from genjobs.application.submission import InlineMedia, Submission
from genjobs.domain.attempts import Assignment, StartedJob
from genjobs.domain.errors import EngineFailed, NodeError, OutOfMemory, Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import CancelMethod, Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing import (
    Harness,
    MemoryJobLedger,
    Script,
    a_workflow,
    open_harness,
    png_bytes,
)
from genjobs.testing.contracts.engine import loading

USER = "u_1"


async def submitted(harness: Harness, **parts: object) -> Job:
    submission = Submission(workflow=a_workflow(), **parts)  # type: ignore[arg-type]
    return await harness.genjobs.submit(harness.genjobs.owner(USER), submission)


async def read(harness: Harness, job: Job) -> Job:
    return (await harness.genjobs.get(harness.genjobs.reach(USER), job.id)).job


@asynccontextmanager
async def rendering(harness: Harness, *, stoppable: bool = True) -> AsyncIterator[asyncio.Event]:
    """Run the next job until it hangs in its render; yields the worker's shutdown."""
    harness.engine.script.gate = asyncio.Event()
    harness.engine.script.stoppable = stoppable
    [assignment] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    shutdown = asyncio.Event()
    run = asyncio.create_task(harness.worker.run_job(assignment, shutdown))
    async with asyncio.timeout(10):
        await harness.engine.begun.wait()
        yield shutdown
        await run


async def test_completed_job_has_outputs_and_timings(harness: Harness) -> None:
    harness.engine.script.outputs = {"a.png": png_bytes(), "b.bin": b"", "c.txt": b"hello"}
    job = await submitted(harness)
    await harness.run_one()

    done = await read(harness, job)
    assert done.status is JobStatus.COMPLETED
    assert [(item.name, item.bytes) for item in done.outputs] == [
        ("a.png", len(png_bytes())),
        ("b.bin", 0),
        ("c.txt", 5),
    ]
    assert done.outputs[0].content_type == "image/png"
    assert {len(item.sha256) for item in done.outputs} == {64}
    assert all(
        f"/attempt_{done.attempt}/" in item.key and item.key in harness.artifacts.files
        for item in done.outputs
    )
    assert done.timings.render_seconds is not None
    assert len(harness.engine.discarded) == 1


async def test_inputs_are_staged_under_plain_names(harness: Harness) -> None:
    submission = Submission(
        workflow=loading(), media=[InlineMedia(name="photo.png", content=png_bytes())]
    )
    await harness.genjobs.submit(harness.genjobs.owner(USER), submission)
    await harness.run_one()

    [(name, content)] = harness.engine.staged.items()
    assert (name.endswith("/input_0.png"), content) == (True, png_bytes())


@pytest.mark.parametrize("failure", [NodeError("Node 3 failed.", node_id="3"), OutOfMemory()])
async def test_failure_of_the_workflow_is_final(
    harness: Harness, failure: NodeError | OutOfMemory
) -> None:
    harness.engine.script.error = failure
    job = await submitted(harness)
    await harness.run_one()

    done = await read(harness, job)
    assert done.status is JobStatus.FAILED
    assert done.error is not None
    assert (done.error.code, done.error.message) == (failure.code, failure.message)
    assert len(harness.engine.discarded) == 1


async def test_failure_of_the_engine_gets_another_attempt(harness: Harness) -> None:
    harness.engine.script.error = EngineFailed()
    job = await submitted(harness)
    await harness.run_one()
    assert (await read(harness, job)).status is JobStatus.QUEUED

    harness.engine.script.error = None
    harness.clock.advance(timedelta(minutes=1))
    await harness.run_one()
    done = await read(harness, job)
    assert (done.status, done.attempt) == (JobStatus.COMPLETED, 2)


async def test_engine_that_keeps_failing_fails_the_job(harness: Harness) -> None:
    harness.engine.script.error = EngineFailed()
    job = await submitted(harness)
    for _ in range(3):
        await harness.run_one()
        harness.clock.advance(timedelta(minutes=10))

    done = await read(harness, job)
    assert (done.status, done.attempt) == (JobStatus.FAILED, 3)
    assert done.error is not None
    assert (done.error.code, done.error.retryable) == ("engine_failed", True)
    assert not await harness.run_one()


async def test_success_without_outputs_fails(harness: Harness) -> None:
    harness.engine.script.outputs = {}
    job = await submitted(harness)
    await harness.run_one()

    done = await read(harness, job)
    assert done.error is not None
    assert done.error.code == "no_output"


async def test_cancel_stops_the_render_and_leaves_a_receipt(harness: Harness) -> None:
    job = await submitted(harness)
    async with rendering(harness):
        await harness.genjobs.cancel(harness.genjobs.reach(USER), job.id)

    done = await read(harness, job)
    assert done.status is JobStatus.CANCELLED
    assert done.cancellation is not None
    assert done.cancellation.method is CancelMethod.INTERRUPTED
    assert done.cancellation.stopped_at is not None
    assert done.outputs == ()
    assert not any("attempt_1" in key for key in harness.artifacts.files)


async def test_cancel_that_the_render_outruns_is_too_late(harness: Harness) -> None:
    job = await submitted(harness)
    async with rendering(harness, stoppable=False):
        await harness.genjobs.cancel(harness.genjobs.reach(USER), job.id)
        await asyncio.sleep(0.7)  # the worker hears of it
        assert harness.engine.script.gate is not None
        harness.engine.script.gate.set()

    done = await read(harness, job)
    assert done.status is JobStatus.COMPLETED
    assert done.cancellation is not None
    assert done.cancellation.method is CancelMethod.TOO_LATE


async def test_shutdown_gives_a_long_render_back_uncharged() -> None:
    async with open_harness(stop_seconds=0.3) as harness:
        job = await submitted(harness)
        async with rendering(harness) as shutdown:
            shutdown.set()

        again = await read(harness, job)
        assert (again.status, again.attempt) == (JobStatus.QUEUED, 1)
        assert harness.jobs.rows[job.id].charged == 0


async def test_shutdown_lets_a_short_render_end(harness: Harness) -> None:
    job = await submitted(harness)
    async with rendering(harness) as shutdown:
        shutdown.set()
        await asyncio.sleep(0.1)
        assert harness.engine.script.gate is not None
        harness.engine.script.gate.set()

    assert (await read(harness, job)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("away", ["database", "store"])
async def test_shutdown_is_bounded_while_something_is_away(away: str) -> None:
    async with open_harness(stop_seconds=0.5) as harness:
        await submitted(harness)
        async with rendering(harness) as shutdown:
            if away == "database":
                harness.jobs.available = False
            else:
                harness.artifacts.available = False
                assert harness.engine.script.gate is not None
                harness.engine.script.gate.set()
                await asyncio.sleep(0.1)
            shutdown.set()
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 6
        harness.jobs.available = True


async def test_run_past_its_time_fails(harness: Harness) -> None:
    job = await submitted(harness, run_timeout=timedelta(seconds=1))
    async with rendering(harness):
        pass  # nobody stops it but its deadline

    done = await read(harness, job)
    assert done.error is not None
    assert (done.status, done.error.code) == (JobStatus.FAILED, "run_timeout")


async def test_run_past_its_time_that_does_not_stop_fails_all_the_same() -> None:
    async with open_harness(cancel_grace_seconds=0.2) as harness:
        job = await submitted(harness, run_timeout=timedelta(seconds=1))
        harness.engine.script = Script(gate=asyncio.Event(), stoppable=False)
        await harness.run_one()

        done = await read(harness, job)
        assert done.error is not None
        assert (done.status, done.error.code) == (JobStatus.FAILED, "run_timeout")
        assert harness.keeper.kills == 1


async def test_cancel_that_the_engine_ignores_kills_its_process() -> None:
    async with open_harness(cancel_grace_seconds=0.2) as harness:
        job = await submitted(harness)
        async with rendering(harness, stoppable=False):
            await harness.genjobs.cancel(harness.genjobs.reach(USER), job.id)

        done = await read(harness, job)
        assert (done.status, harness.keeper.kills) == (JobStatus.CANCELLED, 1)
        assert done.cancellation is not None
        assert done.cancellation.method is CancelMethod.PROCESS_KILLED
        assert done.cancellation.stopped_at is not None


async def test_cancel_that_a_foreign_engine_ignores_is_cancelled_unseen() -> None:
    async with open_harness(cancel_grace_seconds=0.2) as harness:
        harness.keeper.owned = False
        job = await submitted(harness)
        async with rendering(harness, stoppable=False):
            await harness.genjobs.cancel(harness.genjobs.reach(USER), job.id)

        done = await read(harness, job)
        assert done.status is JobStatus.CANCELLED
        assert done.cancellation is not None
        assert done.cancellation.method is CancelMethod.WORKER_LOST
        assert done.cancellation.stopped_at is None


async def test_unforeseen_error_does_not_end_the_worker(harness: Harness) -> None:
    harness.engine.script.error = RuntimeError("a defect")  # type: ignore[assignment]
    broken = await submitted(harness)
    shutdown = asyncio.Event()
    working = asyncio.create_task(harness.worker.run(shutdown))
    await harness.engine.begun.wait()
    harness.engine.script.error = None
    fine = await submitted(harness)
    async with asyncio.timeout(10):
        while (await read(harness, fine)).status is not JobStatus.COMPLETED:
            await asyncio.sleep(0.02)
        shutdown.set()
        await working

    await harness.supervise_for(timedelta(minutes=1))
    assert (await read(harness, broken)).status is JobStatus.QUEUED


async def test_overtaken_attempt_stops_and_leaves_no_files(harness: Harness) -> None:
    job = await submitted(harness)
    async with rendering(harness):
        await harness.supervise_for(timedelta(minutes=1))
        assert (await read(harness, job)).status is JobStatus.QUEUED

    assert (await read(harness, job)).status is JobStatus.QUEUED
    assert harness.artifacts.files == {}


async def test_late_completion_of_an_overtaken_attempt_is_swept(harness: Harness) -> None:
    job = await submitted(harness)
    async with rendering(harness, stoppable=False):
        await harness.supervise_for(timedelta(minutes=1))
        assert harness.engine.script.gate is not None
        harness.engine.script.gate.set()

    assert (await read(harness, job)).status is JobStatus.QUEUED
    assert harness.artifacts.files == {}


async def test_progress_is_seen_while_it_runs(harness: Harness) -> None:
    job = await submitted(harness)
    async with rendering(harness):
        await asyncio.sleep(0.7)
        seen = await read(harness, job)
        assert seen.progress is not None
        assert seen.progress.fraction == 0.5
        assert harness.engine.script.gate is not None
        harness.engine.script.gate.set()


async def test_store_that_comes_back_gets_the_outputs(harness: Harness) -> None:
    job = await submitted(harness)
    harness.artifacts.available = False
    [assignment] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    run = asyncio.create_task(harness.worker.run_job(assignment, asyncio.Event()))
    await harness.engine.begun.wait()
    await asyncio.sleep(0.2)
    harness.artifacts.available = True
    await run

    assert (await read(harness, job)).status is JobStatus.COMPLETED
    assert len(harness.engine.rendered) == 1  # the upload was tried again, not the render


async def test_store_that_stays_away_fails_the_job_and_leaves_nothing(harness: Harness) -> None:
    run_job = harness.worker.run_job
    impatient = dataclasses.replace(run_job.deadlines, upload=timedelta(seconds=0.3))
    job = await submitted(harness)
    harness.artifacts.available = False
    [assignment] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    await dataclasses.replace(run_job, deadlines=impatient)(assignment, asyncio.Event())

    done = await read(harness, job)
    assert done.error is not None
    assert (done.status, done.error.code) == (JobStatus.FAILED, "output_not_stored")
    assert done.error.retryable
    assert done.outputs == ()
    harness.artifacts.available = True
    assert await harness.artifacts.list_files("", after="", limit=10) == []


async def test_store_that_is_away_before_the_render_is_waited_for() -> None:
    async with open_harness() as harness:
        submission = Submission(
            workflow=loading(), media=[InlineMedia(name="photo.png", content=png_bytes())]
        )
        job = await harness.genjobs.submit(harness.genjobs.owner(USER), submission)
        harness.artifacts.available = False
        running = asyncio.create_task(harness.run_one())
        await asyncio.sleep(0.2)
        assert harness.engine.rendered == []

        harness.artifacts.available = True
        await running
        done = await read(harness, job)
        assert (done.status, done.attempt) == (JobStatus.COMPLETED, 1)


async def test_start_is_repeated_while_the_database_is_away(harness: Harness) -> None:
    job = await submitted(harness)
    [assignment] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    harness.jobs.available = False
    running = asyncio.create_task(harness.worker.run_job(assignment, asyncio.Event()))
    await asyncio.sleep(1.5)  # two tries have failed
    harness.jobs.available = True
    await running

    assert (await read(harness, job)).status is JobStatus.COMPLETED


async def test_start_whose_answer_was_lost_is_repeated_beyond_its_deadline(
    harness: Harness,
) -> None:
    """It may be recorded, and whoever it is recorded for is the only one to run it."""

    class LosesItsFirstAnswer(MemoryJobLedger):
        async def start(
            self,
            assignment: Assignment,
            execution_id: ExecutionId,
            *,
            now: datetime,
            call_id: str | None = None,
        ) -> StartedJob:
            fresh = harness.jobs.available and not tried
            tried.append(execution_id)
            started = await super().start(assignment, execution_id, now=now, call_id=call_id)
            if fresh:
                harness.jobs.available = False
                raise Unavailable
            return started

    tried: list[ExecutionId] = []
    job = await submitted(harness)
    run_job = dataclasses.replace(
        harness.worker.run_job,
        ledger=LosesItsFirstAnswer(harness.jobs),
        deadlines=dataclasses.replace(
            harness.worker.run_job.deadlines, start=timedelta(seconds=0.5)
        ),
    )
    [assignment] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    running = asyncio.create_task(run_job(assignment, asyncio.Event()))
    await asyncio.sleep(1.5)
    harness.jobs.available = True
    await running

    done = await read(harness, job)
    assert (done.status, done.attempt, len(set(tried))) == (JobStatus.COMPLETED, 1, 1)


async def test_worker_waits_for_its_engine_before_it_takes_a_job(harness: Harness) -> None:
    job = await submitted(harness)
    harness.engine.alive = False
    shutdown = asyncio.Event()
    working = asyncio.create_task(harness.worker.run(shutdown))
    await asyncio.sleep(0.1)
    assert (await read(harness, job)).attempt == 0

    harness.engine.alive = True
    async with asyncio.timeout(10):
        while (await read(harness, job)).status is not JobStatus.COMPLETED:
            await asyncio.sleep(0.02)
        shutdown.set()
        await working


async def test_cancelled_task_stops_the_prompt_and_gives_the_job_back(harness: Harness) -> None:
    job = await submitted(harness)
    harness.engine.script = Script(gate=asyncio.Event())
    [assignment] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    run = asyncio.create_task(harness.worker.run_job(assignment, asyncio.Event()))
    await harness.engine.begun.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert (await read(harness, job)).status is JobStatus.QUEUED
    assert len(harness.engine.discarded) == 1


async def test_delivered_files_hold_nothing_of_the_workflow(harness: Harness) -> None:
    prompt = b"a prompt that ComfyUI wrote into the file"
    picture = png_bytes()
    chunk = b"tEXtprompt\x00" + prompt
    length = (len(chunk) - 4).to_bytes(4, "big")
    marked = picture[:33] + length + chunk + zlib.crc32(chunk).to_bytes(4, "big") + picture[33:]
    harness.engine.script.outputs = {"a.png": marked}
    job = await submitted(harness)
    await harness.run_one()
    [output] = (await read(harness, job)).outputs
    assert harness.artifacts.files[output.key] == picture
    assert output.bytes == len(picture)
    assert output.sha256 == hashlib.sha256(picture).hexdigest()
