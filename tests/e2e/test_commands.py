"""The shipped commands as processes: the demo, killing, several workers, big files."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from genjobs.testing import a_workflow, png_bytes
from tests.e2e.processes import (
    USER,
    base_url,
    client,
    final,
    peak_memory,
    running,
    servers_of,
)

pytestmark = pytest.mark.e2e

#: To a worker whose ComfyUI is an address the simulator's own nodes are like any custom nodes.
SIMULATOR_NODES = str(files("genjobs.simulator") / "node_entries.json")


def body(workflow: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"user_id": USER, "workflow": workflow, **parts}


@pytest.fixture
def data(open_folder: Path) -> Path:
    return open_folder


async def test_demo_once_prints_the_final_job_and_leaves_nothing_running(data: Path) -> None:
    async with running(data, "demo", "--once", "--json", "--port", "0") as demo:
        out, err = await asyncio.wait_for(demo.process.communicate(), 90)

    assert demo.process.returncode == 0, err.decode()
    job = json.loads(out)
    assert (job["status"], job["attempt"]) == ("completed", 1)
    [output] = job["outputs"]
    assert (output["content_type"], output["width"]) == ("image/png", 256)
    assert servers_of(data) == []


async def test_demo_killed_in_mid_render_is_finished_after_a_restart(data: Path) -> None:
    async with running(data, "demo", "--port", "0") as demo:
        submitted = await demo.says("submitted job_")
        await demo.says("rendering")
        demo.kill()
        await demo.ends()
    job_id = submitted.split("submitted ")[1].split()[0]
    assert servers_of(data) != []  # orphaned, until somebody comes back

    async with running(data, "serve", "--port", "0") as serve:
        async with client(await base_url(serve)) as http:
            demo_user = {"user_id": "demo-user"}
            http.params = http.params.merge(demo_user)
            job = await final(http, job_id)
        assert await serve.stop() == 0

    assert (job["status"], job["attempt"]) == ("completed", 2)
    assert servers_of(data) == []


async def test_server_and_database_killed_together_come_back(data: Path) -> None:
    async with (
        running(data, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
    ):
        made = (await http.post("/v1/jobs", json=body(a_workflow()))).json()
        for pid in servers_of(data):
            os.kill(pid, 9)
        serve.kill()
        await serve.ends()

    async with (
        running(data, "serve", "--port", "0") as serve,
        client(await base_url(serve)) as http,
    ):
        assert (await final(http, made["id"]))["status"] == "completed"
    assert servers_of(data) == []


async def test_several_workers_share_the_jobs_and_one_may_die(data: Path) -> None:
    graph = {**a_workflow(), "3": {"class_type": "SimulatorSleep", "inputs": {}}}
    graph["3"]["inputs"] = {"image": ["2", 0], "seconds": 0.3}
    graph["9"]["inputs"]["images"] = ["3", 0]
    async with (
        running(data, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
        running(data, "worker") as first,
        running(data, "worker") as second,
    ):
        await first.says("worker.started")
        await second.says("worker.started")
        jobs = [
            (await http.post("/v1/jobs", json=body({**graph, "1": _empty(n)}))).json()["id"]
            for n in range(8)
        ]
        await first.says("job.started")
        first.kill()
        done = [await final(http, job_id) for job_id in jobs]

    assert {job["status"] for job in done} == {"completed"}
    # What the lost worker held, one job in each place, was done by the other.
    attempts = [job["attempt"] for job in done]
    assert max(attempts) <= 2
    assert attempts.count(2) <= 3
    assert len({job["outputs"][0]["id"] for job in done}) == 8
    assert servers_of(data) == []


async def test_cancel_reaches_a_worker_in_another_process(data: Path) -> None:
    async with (
        running(data, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
        running(data, "worker") as worker,
    ):
        from genjobs.testing.contracts.engine import sampling

        job_id = (await http.post("/v1/jobs", json=body(sampling(200, rounds=20)))).json()["id"]
        await worker.says("job.started")
        while (await http.get(f"/v1/jobs/{job_id}")).json()["progress"] is None:
            await asyncio.sleep(0.1)
        answer = await http.delete(f"/v1/jobs/{job_id}")
        assert answer.status_code == 202
        job = await final(http, job_id, 20)

    assert job["status"] == "cancelled"
    assert job["cancellation"]["method"] == "interrupted"
    assert job["cancellation"]["stopped_at"] is not None
    assert job["cancellation"]["gpu_seconds_after_request"] < 10


async def test_stopped_worker_gives_its_job_back(data: Path) -> None:
    from genjobs.testing.contracts.engine import sampling

    async with (
        running(data, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
    ):
        job_id = (await http.post("/v1/jobs", json=body(sampling(200, rounds=20)))).json()["id"]
        async with running(data, "worker") as worker:
            await worker.says("job.started")
            assert await worker.stop() == 0
        job = (await http.get(f"/v1/jobs/{job_id}")).json()

    assert (job["status"], job["attempt"]) == ("queued", 1)


async def test_big_output_and_ten_inputs_leave_the_workers_memory_flat(data: Path) -> None:
    size = 50_000_000
    small, big = _ten_inputs(100_000), _ten_inputs(size)
    media = [
        {
            "name": f"p{n}.png",
            "data": base64.b64encode(png_bytes(370, 370) + os.urandom(400_000)).decode(),
        }
        for n in range(10)
    ]
    async with (
        running(data, "simulator", "--port", "0") as simulator,
        running(
            data,
            *("serve", "--port", "0", "--no-worker"),
        ) as serve,
        client(await base_url(serve)) as http,
        running(
            data,
            "worker",
            GENJOBS_COMFYUI_URL=await base_url(simulator),
            GENJOBS_NODE_CATALOGUE=SIMULATOR_NODES,
        ) as worker,
    ):
        await worker.says("worker.started")
        first = (await http.post("/v1/jobs", json=body(small, media=media))).raise_for_status()
        await final(http, first.json()["id"])
        before = peak_memory(worker.process.pid)
        second = (await http.post("/v1/jobs", json=body(big, media=media))).raise_for_status()
        job = await final(http, second.json()["id"])
        grown = peak_memory(worker.process.pid) - before

    assert job["status"] == "completed", job["error"]
    assert size in {output["bytes"] for output in job["outputs"]}
    assert grown < 20_000_000, grown


def _empty(number: int) -> dict[str, Any]:
    size = {"width": 64, "height": 64, "batch_size": 1}
    return {"class_type": "EmptyImage", "inputs": {**size, "color": number}}


def _ten_inputs(size: int) -> dict[str, Any]:
    graph: dict[str, Any] = {}
    for n in range(10):
        graph[f"l{n}"] = {"class_type": "LoadImage", "inputs": {"image": f"p{n}.png"}}
        graph[f"s{n}"] = {
            "class_type": "SaveImage",
            "inputs": {"images": [f"l{n}", 0], "filename_prefix": f"s{n}"},
        }
    graph["big"] = {
        "class_type": "SimulatorLargeFile",
        "inputs": {"bytes": size, "seed": 1, "extension": "png", "filename_prefix": "big"},
    }
    return graph
