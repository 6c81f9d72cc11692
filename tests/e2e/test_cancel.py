"""Cancels and a ComfyUI that dies or hangs, with the shipped commands as processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine import sampling
from tests.e2e.processes import USER, Command, base_url, client, final, running

pytestmark = pytest.mark.e2e

#: What hangs is found out in seconds.
HASTE = {"GENJOBS_CANCEL_GRACE_SECONDS": "1.5", "GENJOBS_STOP_SECONDS": "3"}


def body(workflow: dict[str, Any]) -> dict[str, Any]:
    return {"user_id": USER, "workflow": workflow}


def brief() -> dict[str, Any]:
    return body(a_workflow(color=int.from_bytes(os.urandom(3))))


async def submitted(http: httpx.AsyncClient, document: dict[str, Any]) -> str:
    answer = (await http.post("/v1/jobs", json=document)).raise_for_status()
    return str(answer.json()["id"])


async def reaches(http: httpx.AsyncClient, job_id: str, phase: str) -> None:
    async with asyncio.timeout(30):
        while (await http.get(f"/v1/jobs/{job_id}")).json()["phase"] != phase:
            await asyncio.sleep(0.05)


async def renders(http: httpx.AsyncClient, job_id: str) -> None:
    """Return once a sampler of the job has reported a step."""
    async with asyncio.timeout(30):
        while True:
            progress = (await http.get(f"/v1/jobs/{job_id}")).json()["progress"]
            if progress is not None and progress["step"]:
                return
            await asyncio.sleep(0.05)


async def comfyui_pid(worker: Command) -> int:
    line = await worker.says("comfyui.started")
    found = re.search(r"pid=\D*(\d+)", re.sub(r"\x1b\[\d*m", "", line))
    assert found is not None, line
    return int(found[1])


async def test_comfyui_killed_in_mid_render_costs_only_the_job_that_rendered(
    open_folder: Path,
) -> None:
    async with (
        running(open_folder, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
        running(open_folder, "worker", **HASTE) as worker,
    ):
        pid = await comfyui_pid(worker)
        rendering = await submitted(http, body(sampling(40)))
        await renders(http, rendering)
        waiting = await submitted(http, brief())
        await reaches(http, waiting, "waiting")
        os.kill(pid, signal.SIGKILL)
        first, second = await final(http, rendering), await final(http, waiting)

    assert (first["status"], first["attempt"]) == ("completed", 2)
    assert (second["status"], second["attempt"]) == ("completed", 1)


async def test_cancel_of_a_frozen_comfyui_kills_it_and_neighbours_complete(
    open_folder: Path,
) -> None:
    async with (
        running(open_folder, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
        running(open_folder, "worker", GENJOBS_MAX_ATTEMPTS="1", **HASTE) as worker,
    ):
        pid = await comfyui_pid(worker)
        rendering = await submitted(http, body(sampling(200, rounds=20)))
        await renders(http, rendering)
        waiting = await submitted(http, brief())
        await reaches(http, waiting, "waiting")
        os.kill(pid, signal.SIGSTOP)
        assert (await http.delete(f"/v1/jobs/{rendering}")).status_code == 202
        stopped = await final(http, rendering, 20)
        assert not Path(f"/proc/{pid}").exists()
        neighbour = await final(http, waiting)

    assert stopped["status"] == "cancelled"
    assert stopped["cancellation"]["method"] == "process_killed"
    assert stopped["cancellation"]["stopped_at"] is not None
    assert 1 < stopped["cancellation"]["gpu_seconds_after_request"] < 15
    assert (neighbour["status"], neighbour["attempt"]) == ("completed", 1)


async def test_cancel_is_heard_directly_and_not_at_the_next_heartbeat(open_folder: Path) -> None:
    slow = {"GENJOBS_HEARTBEAT_SECONDS": "60", "GENJOBS_LEASE_SECONDS": "180"}
    async with (
        running(open_folder, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
        running(open_folder, "worker", **slow) as worker,
    ):
        await worker.says("cancel_notices.listening")
        graph = a_workflow()
        # Nothing to report meanwhile, so that no heartbeat is due.
        graph["3"] = {"class_type": "SimulatorSleep", "inputs": {"image": ["2", 0], "seconds": 4}}
        graph["4"] = {"class_type": "ImageInvert", "inputs": {"image": ["3", 0]}}
        graph["9"]["inputs"]["images"] = ["4", 0]
        job_id = await submitted(http, body(graph))
        await reaches(http, job_id, "rendering")
        await asyncio.sleep(1)
        begun = time.monotonic()
        await http.delete(f"/v1/jobs/{job_id}")
        job = await final(http, job_id, 30)

    assert (job["status"], job["cancellation"]["method"]) == ("cancelled", "interrupted")
    assert time.monotonic() - begun < 10


async def test_worker_killed_takes_its_comfyui_along(open_folder: Path) -> None:
    async with (
        running(open_folder, "serve", "--port", "0", "--no-worker") as serve,
        running(open_folder, "worker", **HASTE) as worker,
    ):
        await base_url(serve)
        pid = await comfyui_pid(worker)
        worker.kill()
        await worker.ends()
        async with asyncio.timeout(10):
            while Path(f"/proc/{pid}").exists():
                await asyncio.sleep(0.05)


async def test_worker_stops_in_time_while_the_database_is_frozen(open_folder: Path) -> None:
    from tests.e2e.processes import servers_of

    async with (
        running(open_folder, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
        running(open_folder, "worker", **HASTE) as worker,
    ):
        pid = await comfyui_pid(worker)
        job_id = await submitted(http, body(sampling(200, rounds=20)))
        await renders(http, job_id)
        frozen = _tree(servers_of(open_folder))
        for server in frozen:
            os.kill(server, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            worker.process.send_signal(signal.SIGTERM)
            code = await worker.ends(30)
            took = time.monotonic() - begun
        finally:
            for server in frozen:
                os.kill(server, signal.SIGCONT)
        assert (code, took < 15) == (0, True), (code, took)
        assert not Path(f"/proc/{pid}").exists()


async def test_second_signal_stops_at_once(open_folder: Path) -> None:
    async with (
        running(open_folder, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
        running(open_folder, "worker", GENJOBS_STOP_SECONDS="60") as worker,
    ):
        await comfyui_pid(worker)
        job_id = await submitted(http, body(sampling(200, rounds=20)))
        await renders(http, job_id)
        worker.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ends(15) == 130
        job = (await http.get(f"/v1/jobs/{job_id}")).json()

    assert (job["status"], job["attempt"]) == ("queued", 1)


def _tree(roots: list[int]) -> list[int]:
    """Return these processes and their children."""
    found = list(roots)
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent in roots:
                found.append(int(process.name))
    return found
