"""What is under ``examples/``, run as it stands against the shipped commands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import KEY, base_url, client, running, servers_of
from tests.integration.site import inverting
from tools.docs import ROOT

pytestmark = pytest.mark.e2e


async def example(name: str, *arguments: str, folder: Path, **environment: str) -> str:
    """Run an example to its end and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "examples" / name), *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 240)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    assert "Traceback" not in err.decode()
    return out.decode()


async def test_site_backend_renders_cancels_and_is_refused(open_folder: Path) -> None:
    full = {"GENJOBS_USER_LIMITS": json.dumps({"max_queued": 1})}
    async with (
        running(open_folder, "serve", "--port", "0", "--no-ingester", **full) as serve,
        client(await base_url(serve)) as http,
    ):
        at = {"GENJOBS_URL": str(http.base_url), "GENJOBS_API_KEY": KEY}
        http.params = {"user_id": "u_42"}
        # Nobody fetches this picture, so the user's queue is full until the job is cancelled.
        media = [{"name": "photo.png", "url": "http://203.0.114.7/photo.png"}]
        body = {"user_id": "u_42", "workflow": inverting("photo.png"), "media": media}
        waiting = (await http.post("/v1/jobs", json=body)).raise_for_status().json()
        running_example = asyncio.create_task(example("site_backend.py", folder=open_folder, **at))
        await serve.says("status=429")
        await http.delete(waiting["urls"]["self"])
        said = (await running_example).splitlines()
        # The same orders again are the same jobs, which have ended by now.
        again = (await example("site_backend.py", folder=open_folder, **at)).splitlines()

    assert said[-4].startswith("completed")
    assert re.fullmatch(r"order_\w+\.png \d+", said[-3])
    assert re.match(r"cancelled {'requested_at'|completed", said[-2])
    assert said[-1] == "workflow_node_not_allowed ['/workflow/1/class_type']"
    assert again[-4:] == said[-4:]
    assert again[0].startswith("completed")


def stored(folder: Path) -> list[Path]:
    """Return the outputs in the store."""
    found = (folder / ".genjobs" / "artifacts").rglob("out_*")
    return [path for path in found if path.is_file()]


async def test_batch_renders_all(open_folder: Path) -> None:
    assert await example("batch.py", "20", folder=open_folder) == "20 completed\n"
    assert len(stored(open_folder)) == 20
    assert servers_of(open_folder) == []


@pytest.mark.slow
async def test_batch_of_200_that_is_repeated_renders_only_what_is_new(open_folder: Path) -> None:
    assert await example("batch.py", "200", folder=open_folder) == "200 completed\n"
    assert len(stored(open_folder)) == 200
    assert await example("batch.py", "202", folder=open_folder) == "202 completed\n"
    assert len(stored(open_folder)) == 202
