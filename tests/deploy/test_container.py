"""
The worker class in Modal's own container process, from our dispatcher to the receipt of a cancel.

Real are the SDK, the entry point, Postgres, and ComfyUI's simulator as a process of the worker;
the control plane is the one beside this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import modal
import pytest
from modal_proto import api_pb2

from genjobs import Submission, bootstrap
from genjobs.adapters.modal import ModalCaller, ModalPlace
from genjobs.application.genjobs import Genjobs
from genjobs.bootstrap import Adapters
from genjobs.domain.job import CancelMethod, Job
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.settings import Settings
from genjobs.settings.deployment import WORKER
from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine import sampling
from tests.deploy.container import TASK, running
from tests.deploy.plane import Plane, Served
from tests.integration.comfy_stand_in import SIMULATOR, make
from tests.postgres import Database

USER = "u_1"
_SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
_TERMINATED = api_pb2.GenericResult.GENERIC_STATUS_TERMINATED


def broken_device() -> dict[str, Any]:
    """Return a workflow after which the device is of no more use."""
    workflow = a_workflow()
    workflow["7"] = {
        "class_type": "SimulatorFail",
        "inputs": {"image": ["1", 0], "message": "CUDA error: an illegal memory access"},
    }
    workflow["9"]["inputs"]["images"] = ["7", 0]
    return workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The API's side of a deployment, with the dispatcher, and what containers are told."""

    genjobs: Genjobs
    served: Served
    folder: Path
    settings: dict[str, str]
    database: Database

    async def submit(self, workflow: dict[str, Any]) -> Job:
        return await self.genjobs.submit(self.genjobs.owner(USER), Submission(workflow=workflow))

    async def read(self, job: Job) -> Job:
        return (await self.genjobs.get(self.genjobs.reach(USER), job.id)).job

    async def reached(self, job: Job, state: JobStatus | Phase) -> Job:
        async with asyncio.timeout(40):
            while True:
                found = await self.read(job)
                if state in (found.status, found.phase):
                    return found
                assert not found.status.final, found
                await asyncio.sleep(0.05)

    async def rendering(self, job: Job) -> None:
        """Return once the sampler has made a step."""
        async with asyncio.timeout(40):
            while True:
                progress = (await self.read(job)).progress
                if progress is not None and progress.step:
                    return
                await asyncio.sleep(0.05)

    async def attempts(self, job: Job) -> list[tuple[Any, ...]]:
        rows = await self.database.execute(
            "SELECT attempt, call_id, end_reason, charged FROM genjobs.attempts "
            "WHERE job_id = $1 ORDER BY attempt",
            job.id,
        )
        return [tuple(row) for row in rows]

    async def outcome(self, call_id: str) -> api_pb2.GenericResult:
        async with asyncio.timeout(20):
            while call_id not in self.served.plane.outputs:
                await asyncio.sleep(0.05)
        return self.served.plane.outputs[call_id]

    @asynccontextmanager
    async def container(self, **given: str) -> AsyncIterator[asyncio.subprocess.Process]:
        async with running(self.served, self.folder, self.settings, **given) as process:
            try:
                yield process
            except BaseException:
                print((self.folder / "container.log").read_text()[-8000:])
                raise


@pytest.fixture
async def site(
    database: Database,
    served: Served,
    deployment: Plane,
    client: modal.Client,
    tmp_path: Path,
) -> AsyncIterator[Site]:
    served.plane.adopt(deployment)
    told = {
        "GENJOBS_DATABASE_URL": database.api,
        "GENJOBS_WORKER_DATABASE_URL": database.worker,
        "GENJOBS_ARTIFACTS_URL": f"file:{tmp_path / 'artifacts'}",
        "GENJOBS_DATA_DIRECTORY": str(tmp_path / "data"),
        "GENJOBS_DISPATCH_URL": f"modal://genjobs/{WORKER}",
        "GENJOBS_SIGNING_KEY": "signs the files of a test, of nothing else",
        "GENJOBS_DIRECT_NOTICES": "false",
        "GENJOBS_STOP_SECONDS": "3",
    }
    settings = Settings.model_validate(
        {name.removeprefix("GENJOBS_").lower(): value for name, value in told.items()}
    )

    class OurAdapters(Adapters):
        def caller(self) -> ModalCaller:
            return ModalCaller(ModalPlace(app="genjobs", worker=WORKER), client)

    async with AsyncExitStack() as stack:
        adapters = OurAdapters(settings, stack)
        genjobs = await bootstrap.build_genjobs(adapters)
        await database.make_tenant(genjobs.tenant_id)
        yield Site(
            genjobs=genjobs, served=served, folder=tmp_path, settings=told, database=database
        )


async def test_calls_cancels_interruptions_and_a_preemption(site: Site) -> None:
    plane = site.served.plane
    async with site.container() as process:
        first = await site.submit(a_workflow())
        done = await site.reached(first, JobStatus.COMPLETED)
        assert len(done.outputs) == 1
        assert (await site.outcome("fc-1")).status == _SUCCESS
        assert await site.attempts(first) == [(1, f"{TASK}#fc-1", "completed", True)]

        # A user's cancel goes by the call and by the row; whichever comes first stops the prompt.
        second = await site.submit(sampling(200))
        await site.rendering(second)
        await site.genjobs.cancel(site.genjobs.reach(USER), second.id)
        stopped = await site.reached(second, JobStatus.CANCELLED)
        assert stopped.cancellation is not None
        assert stopped.cancellation.method is CancelMethod.INTERRUPTED
        assert stopped.cancellation.stopped_at is not None
        assert (await site.outcome("fc-2")).status in {_TERMINATED, _SUCCESS}
        assert plane.cancels == [("fc-2", False)]

        # The same call brought again has no effect.
        plane.spawned["fc-again"] = plane.spawned["fc-1"]
        site.served.tell(plane.bring, "fc-again", plane.layout[f"{WORKER}.*"])
        assert (await site.outcome("fc-again")).status == _SUCCESS
        assert await site.attempts(first) == [(1, f"{TASK}#fc-1", "completed", True)]

        # An interruption that is no cancel: the row says so, and the job is called for anew.
        third = await site.submit(sampling(200))
        await site.rendering(third)
        site.served.tell(plane.interrupt, "fc-4")
        assert (await site.outcome("fc-4")).status == _TERMINATED
        async with asyncio.timeout(20):
            while (await site.read(third)).attempt < 2:
                await asyncio.sleep(0.05)
        await site.rendering(third)
        [before, now] = await site.attempts(third)
        assert before == (1, f"{TASK}#fc-4", "stopped", False)
        assert now[1].startswith(f"{TASK}#fc-")

        # Modal takes the whole container.
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)
    assert process.returncode == 0
    again = await site.read(third)
    assert (again.status, again.cancellation) == (JobStatus.QUEUED, None)
    assert [row[3] for row in (await site.attempts(third))[:2]] == [False, False]
    log = (site.folder / "container.log").read_text()
    assert "worker.stopped" in log
    assert "Warning" not in log


async def test_comfyui_goes_on_after_a_snapshot_that_holds_no_connection(site: Site) -> None:
    """A process that Modal's entry point stops where it would be snapshotted, and lets go on."""
    stand_in = make(site.folder / "comfyui", **{"main.py": SIMULATOR})
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    site.settings.update(
        GENJOBS_LOG_JSON="true",
        GENJOBS_COMFYUI_SNAPSHOT="true",
        GENJOBS_COMFYUI_URL=f"http://127.0.0.1:{port}",
        GENJOBS_COMFYUI_COMMAND=f"{sys.executable} main.py {{port}} {{directory}}",
        GENJOBS_COMFYUI_WORKDIR=str(stand_in),
        GENJOBS_COMFYUI_DIRECTORY=str(site.folder / "base"),
    )
    async with site.container(checkpoint="ch-1") as process:
        async with asyncio.timeout(40):
            while "checkpoint" not in site.served.plane.heard:
                await asyncio.sleep(0.05)
            while open_ports(process.pid):  # the SDK's own are closed next
                await asyncio.sleep(0.05)
        [child] = children(process.pid)
        state = site.folder / "state"
        state.write_text(json.dumps({"task_id": "ta-02RESTORED"}))
        state.rename(site.folder / "restored")
        job = await site.submit(a_workflow())
        await site.reached(job, JobStatus.COMPLETED)
        assert open_ports(process.pid)
        [attempt] = await site.attempts(job)
        assert attempt[1] == "ta-02RESTORED#fc-1"
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)
    log = (site.folder / "container.log").read_text()
    [started] = [line for line in log.splitlines() if '"worker.started"' in line]
    assert json.loads(started)["prepared"] is True
    assert json.loads(started)["seconds_to_ready"] < 30
    assert f'"pid": {child}' in log
    assert not Path(f"/proc/{child}").exists()


def children(pid: int) -> set[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(child) for child in text.split()}


def open_ports(pid: int) -> set[str]:
    """Return the local addresses of the process's TCP sockets."""
    links = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(fd))
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            parts = line.split()
            if f"socket:[{parts[9]}]" in links:
                found.add(parts[2])
    return found


@pytest.mark.slow
async def test_preempted_job_runs_again_elsewhere_and_has_one_outcome(site: Site) -> None:
    async with site.container() as process:
        job = await site.submit(sampling(60))
        await site.rendering(job)
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)
    assert process.returncode == 0

    async with site.container() as process:
        site.genjobs.submit_job.signals.wake()
        done = await site.reached(job, JobStatus.COMPLETED)

        # A broken device takes the container out of the pool; Modal ends it after its last call.
        await site.submit(broken_device())
        await asyncio.wait_for(process.wait(), 20)
        assert f"stop {TASK} True" in site.served.plane.heard
    assert process.returncode == 0
    assert len(done.outputs) == 1
    ends = [row[2] for row in await site.attempts(job)]
    assert ends[-1] == "completed"
    assert ends.count("completed") == 1
    assert not any(row[3] for row in (await site.attempts(job))[:-1])
