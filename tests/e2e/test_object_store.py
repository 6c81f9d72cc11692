"""The shipped commands with their files in a bucket."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import httpx
import pytest

from genjobs.testing import png_bytes
from tests.e2e.processes import USER, base_url, client, final, running
from tests.integration.site import inverting
from tests.object_store import CREDENTIALS, Gate

pytestmark = pytest.mark.e2e


def bucket_settings(gate: Gate) -> dict[str, str]:
    place = gate.place
    return {
        "GENJOBS_ARTIFACTS_URL": f"r2://local/{place.bucket}?endpoint={place.endpoint}",
        "GENJOBS_R2_ACCESS_KEY_ID": CREDENTIALS.access_key_id,
        "GENJOBS_R2_SECRET_ACCESS_KEY": CREDENTIALS.secret_access_key,
        # What belongs to other tools on the machine changes nothing.
        "AWS_PROFILE": "nobody",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }


async def test_job_of_two_processes_shares_the_bucket(open_folder: Path, gate: Gate) -> None:
    settings = bucket_settings(gate)
    body = {
        "user_id": USER,
        "workflow": inverting("photo.png"),
        "media": [{"name": "photo.png", "data": base64.b64encode(png_bytes(9, 9)).decode()}],
    }
    async with (
        running(open_folder, "serve", "--no-worker", "--port", "0", **settings) as serve,
        running(open_folder, "worker", **settings),
        client(await base_url(serve)) as http,
    ):
        submitted = (await http.post("/v1/jobs", json=body)).raise_for_status().json()
        job = await final(http, submitted["id"])
        assert job["status"] == "completed", job
        [output] = job["outputs"]
        async with httpx.AsyncClient(trust_env=False) as anybody:
            answer = await anybody.get(output["url"])
    assert (answer.status_code, len(answer.content)) == (200, output["bytes"])
    assert "test-secret" not in "".join(serve.lines)
    assert not (open_folder / "artifacts").exists()


async def test_demo_runs_on_a_bucket(open_folder: Path, gate: Gate) -> None:
    command = ("demo", "--once", "--json", "--port", "0")
    async with running(open_folder, *command, **bucket_settings(gate)) as demo:
        out, err = await asyncio.wait_for(demo.process.communicate(), 90)
    assert demo.process.returncode == 0, err.decode()
    assert json.loads(out)["outputs"][0]["url"].startswith(gate.place.endpoint)
    assert await gate.keys()
