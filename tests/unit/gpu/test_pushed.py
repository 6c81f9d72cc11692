"""The worker that is called: cancels, preemptions, repeats, leaving the pool; all on fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from genjobs.application.submission import Submission
from genjobs.domain.attempts import Assignment
from genjobs.domain.errors import DeviceFailed
from genjobs.domain.job import CancelMethod, Job
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.gpu.pushed import PushedWorker
from genjobs.testing import Harness, Script, a_workflow, open_harness

USER = "u_1"


@dataclass(slots=True)
class Pool:
    """The ``Retirement`` port of a platform with a pool."""

    retired: asyncio.Event = field(default_factory=asyncio.Event)
    reasons: list[str] = field(default_factory=list)

    async def retire(self, reason: str) -> bool:
        self.reasons.append(reason)
        self.retired.set()
        return False


@dataclass(slots=True, kw_only=True)
class Platform:
    """Calls a worker as Modal does: each call is a task, which a cancel cancels."""

    harness: Harness
    worker: PushedWorker
    pool: Pool

    async def submitted(self) -> Job:
        genjobs = self.harness.genjobs
        return await genjobs.submit(genjobs.owner(USER), Submission(workflow=a_workflow()))

    async def called(self) -> tuple[Job, asyncio.Task[str]]:
        """Submit a job and bring it to the worker."""
        job = await self.submitted()
        for _ in range(20):
            await asyncio.sleep(0)
        [(call_id, given)] = self.harness.caller.open.items()
        del self.harness.caller.open[call_id]
        return job, self.bring(given)

    def bring(self, given: Assignment) -> asyncio.Task[str]:
        ids = str(given.owner.tenant_id), given.owner.user_id, str(given.job_id), given.attempt
        return asyncio.create_task(self.worker.run(*ids))

    async def read(self, job: Job) -> Job:
        return (await self.harness.genjobs.get(self.harness.genjobs.reach(USER), job.id)).job

    async def cancel(self, job: Job) -> None:
        await self.harness.genjobs.cancel(self.harness.genjobs.reach(USER), job.id)

    async def reached(self, job: Job, state: JobStatus | Phase) -> Job:
        async with asyncio.timeout(10):
            while True:
                found = await self.read(job)
                if state in (found.status, found.phase):
                    return found
                await asyncio.sleep(0.02)

    def hang(self, *, stoppable: bool = True) -> asyncio.Event:
        gate = asyncio.Event()
        self.harness.engine.script = Script(gate=gate, stoppable=stoppable)
        return gate

    def charged(self, job: Job) -> int:
        return self.harness.jobs.rows[job.id].charged


@asynccontextmanager
async def a_platform(**settings: object) -> AsyncIterator[Platform]:
    given: dict[str, Any] = {
        "dispatch_url": "modal://app/Worker",
        "stop_seconds": 0.5,
        "cancel_grace_seconds": 0.3,
        **settings,
    }
    async with open_harness(**given) as harness:
        pool = Pool()
        run_job = harness.worker.run_job
        run_job.renderer.retirement = pool
        worker = PushedWorker(
            run_job=run_job,
            keeper=harness.keeper,
            retirement=pool,
            retired=pool.retired,
            own_call_id=lambda: "ta-1#fc-1",
            unhealthy=timedelta(milliseconds=100),
        )
        await worker.open()
        try:
            yield Platform(harness=harness, worker=worker, pool=pool)
        finally:
            if harness.engine.script.gate is not None:
                harness.engine.script.gate.set()
            async with asyncio.timeout(15):
                await worker.close()


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with a_platform() as platform:
        yield platform


async def interrupted(call: asyncio.Task[str]) -> None:
    """Cancel a call as the platform does, and see that it says so."""
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await call


async def test_call_runs_its_job(platform: Platform) -> None:
    job, call = await platform.called()
    assert await call == "completed"
    assert (await platform.read(job)).status is JobStatus.COMPLETED


async def test_attempt_says_who_runs_it(platform: Platform) -> None:
    platform.hang()
    job, _ = await platform.called()
    await platform.reached(job, Phase.RENDERING)
    slot = platform.harness.jobs.rows[job.id].slot
    assert slot is not None
    assert slot.call_id == "ta-1#fc-1"


@pytest.mark.parametrize("at_once", [True, False])
async def test_attempt_that_is_brought_twice_runs_once(platform: Platform, at_once: bool) -> None:
    job = await platform.submitted()
    for _ in range(20):
        await asyncio.sleep(0)
    [given] = platform.harness.caller.open.values()
    first = platform.bring(given)
    if not at_once:
        await first
    second = platform.bring(given)
    said = {await first, await second}

    assert said == {"completed", "refused"}
    assert len(platform.harness.engine.rendered) == 1
    done = await platform.read(job)
    assert (done.status, len(done.outputs)) == (JobStatus.COMPLETED, 1)


async def test_cancel_stops_the_prompt_and_the_row_says_cancelled(platform: Platform) -> None:
    platform.hang()
    job, call = await platform.called()
    await platform.reached(job, Phase.RENDERING)
    await platform.cancel(job)
    await interrupted(call)

    done = await platform.read(job)
    assert done.status is JobStatus.CANCELLED
    assert done.cancellation is not None
    assert done.cancellation.method is CancelMethod.INTERRUPTED
    assert done.cancellation.stopped_at is not None
    assert platform.harness.engine.running == set()


async def test_preemption_stops_the_prompt_and_the_job_runs_again_elsewhere(
    platform: Platform,
) -> None:
    platform.hang()
    job, call = await platform.called()
    await platform.reached(job, Phase.RENDERING)
    await interrupted(call)

    assert platform.harness.engine.running == set()
    again = await platform.read(job)
    assert (again.status, again.cancellation, platform.charged(job)) == (JobStatus.QUEUED, None, 0)

    platform.harness.engine.script = Script()
    for _ in range(20):
        await asyncio.sleep(0)
    [given] = platform.harness.caller.open.values()
    assert (given.job_id, given.attempt) == (job.id, 2)
    assert await platform.bring(given) == "completed"
    assert len((await platform.read(job)).outputs) == 1


@pytest.mark.parametrize("cancelled", [True, False])
async def test_render_that_does_not_stop_is_ended_with_its_process(
    platform: Platform, cancelled: bool
) -> None:
    platform.hang(stoppable=False)
    job, call = await platform.called()
    await platform.reached(job, Phase.RENDERING)
    if cancelled:
        await platform.cancel(job)
    await interrupted(call)

    assert platform.harness.keeper.kills == 1
    done = await platform.read(job)
    assert done.status is (JobStatus.CANCELLED if cancelled else JobStatus.QUEUED)
    assert platform.charged(job) == 0
    if cancelled:
        assert done.cancellation is not None
        assert done.cancellation.method is CancelMethod.PROCESS_KILLED


async def test_interruption_of_one_call_is_no_concern_of_its_neighbours(
    platform: Platform,
) -> None:
    gate = platform.hang()
    first, call = await platform.called()
    await platform.reached(first, Phase.RENDERING)
    second, other = await platform.called()
    await platform.reached(second, Phase.WAITING)
    platform.harness.engine.script = Script()
    await interrupted(call)

    assert await other == "completed"
    assert (await platform.read(second)).status is JobStatus.COMPLETED
    gate.set()


@pytest.mark.parametrize("cancelled", [True, False])
async def test_interruption_while_waiting_leaves_the_renderer_alone(
    platform: Platform, cancelled: bool
) -> None:
    gate = platform.hang()
    first, call = await platform.called()
    await platform.reached(first, Phase.RENDERING)
    second, other = await platform.called()
    await platform.reached(second, Phase.WAITING)
    if cancelled:
        await platform.cancel(second)
    await interrupted(other)

    wanted = JobStatus.CANCELLED if cancelled else JobStatus.QUEUED
    assert (await platform.read(second)).status is wanted
    gate.set()
    assert await call == "completed"


async def test_cancel_while_uploading_is_too_late_however_long_it_takes(
    platform: Platform,
) -> None:
    platform.harness.artifacts.available = False
    job, call = await platform.called()
    await platform.reached(job, Phase.UPLOADING)
    await platform.cancel(job)
    call.cancel()
    await asyncio.sleep(0.8)  # longer than a worker that is taken away would have
    platform.harness.artifacts.available = True
    with pytest.raises(asyncio.CancelledError):
        await call

    done = await platform.read(job)
    assert (done.status, len(done.outputs)) == (JobStatus.COMPLETED, 1)
    assert done.cancellation is not None
    assert done.cancellation.method is CancelMethod.TOO_LATE


async def test_preemption_while_uploading_finishes_what_it_can(platform: Platform) -> None:
    platform.harness.artifacts.available = False
    job, call = await platform.called()
    await platform.reached(job, Phase.UPLOADING)
    await interrupted(call)  # the store stays away
    assert (await platform.read(job)).status is JobStatus.QUEUED
    assert platform.charged(job) == 0
    platform.harness.artifacts.available = True


async def test_container_that_is_to_exit_gives_its_attempts_back(platform: Platform) -> None:
    platform.hang()
    first, call = await platform.called()
    await platform.reached(first, Phase.RENDERING)
    second, other = await platform.called()
    await platform.reached(second, Phase.WAITING)
    await platform.worker.close()

    assert {await call, await other} == {"released"}
    for job in (first, second):
        assert ((await platform.read(job)).status, platform.charged(job)) == (JobStatus.QUEUED, 0)


async def test_broken_device_takes_the_container_out_and_gives_neighbours_back(
    platform: Platform,
) -> None:
    gate = platform.hang()
    first, call = await platform.called()
    await platform.reached(first, Phase.RENDERING)
    second, other = await platform.called()
    await platform.reached(second, Phase.WAITING)
    platform.harness.engine.script.error = DeviceFailed()
    gate.set()

    assert await call == "crashed"
    assert platform.pool.reasons == ["device_failed"]
    assert await other == "released"
    assert (platform.charged(first), platform.charged(second)) == (1, 0)


async def test_engine_that_stays_away_takes_the_container_out() -> None:
    async with a_platform() as platform:
        platform.harness.engine.alive = False
        await asyncio.wait_for(platform.pool.retired.wait(), 5)
        assert platform.pool.reasons == ["engine_unhealthy"]

        # What is brought all the same is given back at once, for others to run.
        job, call = await platform.called()
        assert await call == "released"
        assert ((await platform.read(job)).status, platform.charged(job)) == (JobStatus.QUEUED, 0)


async def test_start_that_cannot_be_recorded_before_the_end_leaves_the_attempt_for_later(
    platform: Platform,
) -> None:
    await platform.submitted()
    for _ in range(20):
        await asyncio.sleep(0)
    [given] = platform.harness.caller.open.values()
    platform.harness.jobs.available = False
    call = platform.bring(given)
    await asyncio.sleep(0.05)
    await platform.worker.close()
    assert await call == "not_started"
    platform.harness.jobs.available = True


@pytest.mark.parametrize(
    "given",
    [
        ("nonsense", "u_1", "nonsense", 1),
        ("", "", "", 0),
        (None, None, None, None),
        ("01900000-0000-7000-8000-000000000001", "no user", "x", 1),
    ],
)
async def test_call_that_is_not_understood_has_no_effect(
    platform: Platform, given: tuple[Any, ...]
) -> None:
    assert await platform.worker.run(*given) == "not_understood"


async def test_engine_that_does_not_start_is_not_called() -> None:
    from genjobs.domain.errors import EngineFailed

    async with open_harness() as harness:
        pool = Pool()
        harness.engine.alive = False
        worker = PushedWorker(
            run_job=harness.worker.run_job,
            keeper=harness.keeper,
            retirement=pool,
            retired=pool.retired,
            own_call_id=lambda: None,
        )
        with pytest.raises(EngineFailed):
            await worker.open()
        await worker.close()
