"""Supervisors and operators at the shipped commands."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from genjobs.adapters.local.embedded_postgres import embedded_postgres
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine import sampling
from tests.e2e.processes import USER, base_url, client, final, running

pytestmark = pytest.mark.e2e


def body(workflow: dict[str, Any]) -> dict[str, Any]:
    return {"user_id": USER, "workflow": workflow}


async def printed(data: Path, *arguments: str, **settings: str) -> Any:
    """Return what a command prints as JSON; None when it prints nothing."""
    async with running(data, *arguments, **settings) as command:
        out, err = await asyncio.wait_for(command.process.communicate(), 90)
    assert command.process.returncode == 0, err.decode()
    return json.loads(out) if out else None


async def charges(data: Path) -> dict[str, int]:
    """Return how many attempts each job was charged with, by the state that it is in."""
    async with embedded_postgres(data / "postgres") as urls:
        admin = await asyncpg.connect(**connect_arguments(urls.admin) | {"database": "genjobs"})
        try:
            rows = await admin.fetch("SELECT status, charged FROM genjobs.jobs")
        finally:
            await admin.close()
    return {row["status"]: row["charged"] for row in rows}


async def test_worker_that_hangs_is_killed_for_a_cancel_and_its_neighbour_pays_nothing(
    open_folder: Path,
) -> None:
    async with (
        running(open_folder, "serve", "--port", "0", "--no-worker") as serve,
        client(await base_url(serve)) as http,
        running(open_folder, "worker") as worker,
    ):
        job = (await http.post("/v1/jobs", json=body(sampling(200, rounds=20)))).json()
        await worker.says("job.started")
        while (await http.get(f"/v1/jobs/{job['id']}")).json()["phase"] != "rendering":
            await asyncio.sleep(0.1)
        neighbour = (await http.post("/v1/jobs", json=body(a_workflow()))).json()
        while (await http.get(f"/v1/jobs/{neighbour['id']}")).json()["phase"] != "waiting":
            await asyncio.sleep(0.1)
        worker.process.send_signal(signal.SIGSTOP)  # it neither ends nor answers
        assert (await http.delete(f"/v1/jobs/{job['id']}")).status_code == 202
        job = await final(http, job["id"], 30)
        assert await worker.ends() == -signal.SIGKILL
        async with running(open_folder, "worker"):
            other = await final(http, neighbour["id"], 60)
        status = await printed(open_folder, "status", "--json")
        charged = await charges(open_folder)

    assert (job["status"], job["error"]) == ("cancelled", None)
    assert job["cancellation"]["method"] == "container_terminated"
    assert job["cancellation"]["stopped_at"] is None
    assert (other["status"], other["attempt"]) == ("completed", 2)
    assert charged == {JobStatus.CANCELLED: 1, JobStatus.COMPLETED: 0}
    # The neighbour is queued again along with it, or as lost if its lease had run out before.
    assert (status["escalations"] + status["rescues"], status["open_cancels"]) == (2, 0)
    assert status["slots_free"] == status["slots_total"]


async def test_pause_holds_jobs_back_and_is_shown(open_folder: Path) -> None:
    async with (
        running(open_folder, "serve", "--port", "0") as serve,
        client(await base_url(serve)) as http,
    ):
        await printed(open_folder, "dispatch", "pause")
        job = (await http.post("/v1/jobs", json=body(a_workflow()))).raise_for_status().json()
        await asyncio.sleep(1)
        status = await printed(open_folder, "status", "--json")
        assert (status["paused"], status["queued"], status["running"]) == (True, 1, 0)
        assert status["oldest_eligible_seconds"] > 0
        assert status["oldest_queued_seconds"] > 0
        assert status["last_tick_seconds"] < 60
        assert (await http.get(f"/v1/jobs/{job['id']}")).json()["status"] == "queued"

        await printed(open_folder, "dispatch", "resume")
        assert (await final(http, job["id"]))["status"] == "completed"
        tick = await printed(open_folder, "supervise", "--once", "--json")
        assert (tick["drift"], tick["overview"]["paused"], tick["ingest_backlog"]) == (0, False, 0)
