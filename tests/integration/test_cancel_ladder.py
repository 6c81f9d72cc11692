"""
Cancels of running jobs on real parts: Postgres, a worker, and a ComfyUI that is its own process.

The simulator always; a real ComfyUI when ``GENJOBS_TEST_COMFYUI_COMMAND`` says how to start one.
Every time another job waits for the renderer, and it must complete at its first attempt.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from genjobs import bootstrap
from genjobs.application.genjobs import Genjobs
from genjobs.application.submission import Submission
from genjobs.bootstrap import Adapters, open_adapters
from genjobs.domain.job import CancelMethod, Job
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.gpu.comfy_process import ComfyProcess
from genjobs.gpu.prepared import PreparedProcess
from genjobs.settings import Settings
from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine import sampling
from tests import environment
from tests.postgres import Database

USER = "u_1"
_LONG = 180.0  # seconds; whatever takes this long hangs


class Ladder:
    """A worker with its own ComfyUI, and what tests do with it."""

    def __init__(self, genjobs: Genjobs, keeper: ComfyProcess, url: str, database: Database):
        self.genjobs = genjobs
        self.keeper = keeper
        self.url = url
        self.database = database
        #: A real sampler on a busy CPU may take seconds for a step.
        self.steps = 120

    async def submit(self, graph: dict[str, Any]) -> Job:
        return await self.genjobs.submit(self.genjobs.owner(USER), Submission(workflow=graph))

    async def read(self, job: Job) -> Job:
        return (await self.genjobs.get(self.genjobs.reach(USER), job.id)).job

    async def cancel(self, job: Job) -> None:
        await self.genjobs.cancel(self.genjobs.reach(USER), job.id)

    async def until(self, job: Job, true: Callable[[Job], bool]) -> Job:
        async with asyncio.timeout(_LONG):
            while not true(found := await self.read(job)):
                assert not found.status.final, found
                await asyncio.sleep(0.02)
        return found

    async def in_node(self, job: Job, node_id: str) -> None:
        await self.until(job, lambda it: it.progress is not None and it.progress.node_id == node_id)

    async def sampled(self, job: Job) -> None:
        await self.until(job, lambda it: it.progress is not None and bool(it.progress.step))

    async def ends(self, job: Job, status: JobStatus) -> Job:
        async with asyncio.timeout(_LONG):
            while not (found := await self.read(job)).status.final:
                await asyncio.sleep(0.02)
        assert found.status is status, found
        return found

    @asynccontextmanager
    async def neighbour(self) -> AsyncIterator[Job]:
        """Hold a job that waits for the renderer, and see that it pays for nothing."""
        job = await self.submit(a_workflow(color=int.from_bytes(os.urandom(3))))
        # Where the other one ends soon, it may have had its turn before this is seen.
        await self.until(job, lambda it: it.phase is Phase.WAITING or it.status.final)
        yield job
        done = await self.ends(job, JobStatus.COMPLETED)
        [row] = await self.database.execute(
            "SELECT charged FROM genjobs.jobs WHERE id = $1", job.id
        )
        assert (done.attempt, row["charged"]) == (1, 0)

    async def order(self, **faults: object) -> None:
        async with httpx.AsyncClient(base_url=self.url) as http:
            (await http.post("/simulator/faults", json=faults)).raise_for_status()


@asynccontextmanager
async def open_ladder(
    database: Database, folder: Path, *, prepared: PreparedProcess | None = None, **given: object
) -> AsyncIterator[Ladder]:
    settings = Settings.model_validate(
        {
            "database_url": database.api,
            "worker_database_url": database.worker,
            "owner_database_url": database.owner,
            "data_directory": folder,
            "public_url": "http://genjobs.test",
            "stop_seconds": 3,
            **given,
        }
    )
    await bootstrap.prepare_database(settings, database.owner)
    async with open_adapters(settings, Adapters) as adapters:
        adapters.prepared = prepared
        worker = await bootstrap.build_worker(adapters)
        keeper = await adapters.keeper()
        assert isinstance(keeper, ComfyProcess)
        stop = asyncio.Event()
        working = asyncio.create_task(worker.run(stop))
        try:
            await keeper.ready()
            url = adapters._comfyui().url
            yield Ladder(await bootstrap.build_genjobs(adapters), keeper, url, database)
        finally:
            stop.set()
            await working


@pytest.fixture
async def ladder(database: Database, tmp_path: Path) -> AsyncIterator[Ladder]:
    async with open_ladder(database, tmp_path, cancel_grace_seconds=20) as opened:
        yield opened


@pytest.fixture(
    params=[
        "simulator",
        pytest.param(
            "real",
            marks=pytest.mark.skipif(
                environment.COMFYUI_COMMAND is None or environment.COMFYUI_DIRECTORY is None,
                reason="GENJOBS_TEST_COMFYUI_COMMAND and _DIRECTORY are not set",
            ),
        ),
    ]
)
async def any_ladder(
    request: pytest.FixtureRequest, database: Database, tmp_path: Path
) -> AsyncIterator[Ladder]:
    """The same on the simulator and on a real ComfyUI, with a short grace."""
    given: dict[str, object] = {"cancel_grace_seconds": 5}
    if request.param == "real":
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        given |= {
            "comfyui_url": f"http://127.0.0.1:{port}",
            "comfyui_command": environment.COMFYUI_COMMAND,
            "comfyui_directory": environment.COMFYUI_DIRECTORY,
        }
    async with open_ladder(database, tmp_path, **given) as opened:
        if request.param == "real":
            opened.steps = 8
        yield opened


def asleep(seconds: float, *, then: bool = True) -> dict[str, Any]:
    """Return a workflow with a node that cannot be interrupted, and another after it or none."""
    graph = a_workflow(color=int.from_bytes(os.urandom(3)))
    graph["3"] = {"class_type": "SimulatorSleep", "inputs": {"image": ["2", 0], "seconds": seconds}}
    graph["9"]["inputs"]["images"] = ["3", 0]
    if then:
        graph["4"] = {"class_type": "ImageInvert", "inputs": {"image": ["3", 0]}}
        graph["9"]["inputs"]["images"] = ["4", 0]
    return graph


async def interrupted(ladder: Ladder, job: Job) -> None:
    done = await ladder.ends(job, JobStatus.CANCELLED)
    assert done.cancellation is not None
    assert done.cancellation.method is CancelMethod.INTERRUPTED
    assert done.cancellation.stopped_at is not None
    assert done.cancellation.stopped_at >= done.cancellation.requested_at
    assert done.outputs == ()


async def test_cancel_in_a_sampler_stops_it(any_ladder: Ladder) -> None:
    job = await any_ladder.submit(sampling(200, rounds=10))
    await any_ladder.sampled(job)
    async with any_ladder.neighbour():
        life = any_ladder.keeper.life
        await any_ladder.cancel(job)
        await any_ladder.cancel(job)  # the second changes nothing
        await interrupted(any_ladder, job)
    assert any_ladder.keeper.life == life


async def test_cancel_of_the_waiting_job_leaves_the_rendering_one(any_ladder: Ladder) -> None:
    rendering = await any_ladder.submit(sampling(any_ladder.steps))
    await any_ladder.sampled(rendering)
    waiting = await any_ladder.submit(sampling(200, rounds=10))
    await any_ladder.until(waiting, lambda it: it.phase is Phase.WAITING)
    await any_ladder.cancel(waiting)
    await interrupted(any_ladder, waiting)
    done = await any_ladder.ends(rendering, JobStatus.COMPLETED)
    assert done.attempt == 1


async def test_cancel_of_a_frozen_comfyui_kills_and_restarts_it(any_ladder: Ladder) -> None:
    job = await any_ladder.submit(sampling(200, rounds=10))
    await any_ladder.sampled(job)
    async with any_ladder.neighbour():
        pid, life = any_ladder.keeper.pid, any_ladder.keeper.life
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await any_ladder.cancel(job)
        done = await any_ladder.ends(job, JobStatus.CANCELLED)
        assert done.cancellation is not None
        assert done.cancellation.method is CancelMethod.PROCESS_KILLED
        assert done.cancellation.stopped_at is not None
    assert any_ladder.keeper.life == life + 1


async def test_comfyui_killed_in_mid_render_costs_an_attempt_and_no_job(any_ladder: Ladder) -> None:
    job = await any_ladder.submit(sampling(any_ladder.steps // 2))
    await any_ladder.sampled(job)
    async with any_ladder.neighbour():
        pid = any_ladder.keeper.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        done = await any_ladder.ends(job, JobStatus.COMPLETED)
    assert done.attempt == 2


async def test_cancel_in_a_node_that_cannot_be_interrupted(ladder: Ladder) -> None:
    job = await ladder.submit(asleep(1.5))
    await ladder.in_node(job, "3")
    async with ladder.neighbour():
        await ladder.cancel(job)
        await interrupted(ladder, job)


async def test_cancel_that_comfyui_loses_is_repeated(ladder: Ladder) -> None:
    job = await ladder.submit(sampling(200, rounds=10))
    await ladder.sampled(job)
    async with ladder.neighbour():
        await ladder.order(lose_cancels=3)
        await ladder.cancel(job)
        await interrupted(ladder, job)


@pytest.mark.parametrize("before_end", [0.9, 0.6, 0.5, 0.4, 0.2, 0.0])
async def test_cancel_around_the_last_node_ends_one_way_or_the_other(
    ladder: Ladder, before_end: float
) -> None:
    job = await ladder.submit(asleep(2.0, then=False))
    await ladder.in_node(job, "3")
    end = asyncio.get_running_loop().time() + 2.0  # or up to half a second sooner
    async with ladder.neighbour():
        await asyncio.sleep(end - before_end - asyncio.get_running_loop().time())
        await ladder.cancel(job)
        async with asyncio.timeout(_LONG):
            while not (done := await ladder.read(job)).status.final:
                await asyncio.sleep(0.02)
        if done.cancellation is not None:  # it may have ended before
            stopped = done.status is JobStatus.CANCELLED
            expected = CancelMethod.INTERRUPTED if stopped else CancelMethod.TOO_LATE
            assert done.cancellation.method is expected
        assert done.status in {JobStatus.CANCELLED, JobStatus.COMPLETED}


async def test_render_that_hangs_without_a_cancel_is_tried_again(
    database: Database, tmp_path: Path
) -> None:
    async with open_ladder(database, tmp_path, no_progress_seconds=1.5) as ladder:
        job = await ladder.submit(sampling(40))
        await ladder.sampled(job)
        async with ladder.neighbour():
            pid = ladder.keeper.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            done = await ladder.ends(job, JobStatus.COMPLETED)
        assert done.attempt == 2
