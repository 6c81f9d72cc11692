"""A job's whole path with its files in a bucket: real Postgres, the simulator, real HTTP."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from genjobs.adapters.system import SystemClock
from genjobs.bootstrap import Adapters
from genjobs.domain.ports import Clock, Rendered
from genjobs.settings import Settings
from genjobs.testing import FakeClock, png_bytes
from tests.integration.site import Site, client_of, inverting, open_site
from tests.object_store import CREDENTIALS, Fault, Gate, Seen
from tests.postgres import Database

USER = "u_1"


def in_bucket(gate: Gate) -> dict[str, object]:
    place = gate.place
    return {
        "artifacts_url": f"r2://local/{place.bucket}?endpoint={place.endpoint}",
        "r2_access_key_id": CREDENTIALS.access_key_id,
        "r2_secret_access_key": CREDENTIALS.secret_access_key,
    }


@pytest.fixture
async def site(database: Database, tmp_path: Path, gate: Gate) -> AsyncIterator[Site]:
    async with open_site(database, tmp_path, **in_bucket(gate)) as opened:
        yield opened


async def submit(site: Site) -> str:
    picture = base64.b64encode(png_bytes(8, 8, rgb=(255, 0, 10))).decode()
    body = {
        "user_id": USER,
        "workflow": inverting("photo.png"),
        "media": [{"name": "photo.png", "data": picture}],
    }
    answer = await site.http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def test_job_runs_with_its_files_in_the_bucket(site: Site, gate: Gate) -> None:
    job_id = await submit(site)
    job: dict[str, Any] = await site.final(job_id)
    assert job["status"] == "completed", job

    [output] = job["outputs"]
    assert output["url"].startswith(f"{gate.place.endpoint}/{gate.place.bucket}/t/")
    async with httpx.AsyncClient(trust_env=False) as anybody:
        answer = await anybody.get(output["url"])
        assert answer.status_code == 200
        assert (answer.content[:4], len(answer.content)) == (b"\x89PNG", output["bytes"])
        assert answer.headers["content-type"] == "image/png"
        assert "attachment" in answer.headers["content-disposition"]
        redirect = await site.http.get(
            f"/v1/jobs/{job_id}/outputs/{output['id']}", params={"user_id": USER}
        )
        assert redirect.status_code == 302
        again = await anybody.get(redirect.headers["location"])
        assert again.content == answer.content
    assert {key.rsplit("/", 1)[1][:4] for key in await gate.keys()} == {"inpu", "out_"}
    assert (await site.http.get("/readyz")).status_code == 200
    # The API serves no files then.
    assert (await site.http.get("/files/t/x")).status_code == 404


async def test_outage_during_upload_repeats_the_upload_and_not_the_render(
    site: Site, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    renders, requests, render = 0, 0, site.engine.render

    async def counted(*given: Any, **named: Any) -> Rendered:
        nonlocal renders
        renders += 1
        return await render(*given, **named)

    def down(request: Seen) -> Fault | None:
        nonlocal requests
        if "/attempt_1/" not in request.target:
            return None
        requests += 1
        return Fault.DROP if requests < 12 else None  # more than one put tries by itself

    monkeypatch.setattr(site.engine, "render", counted)
    gate.fault = down
    job: dict[str, Any] = await site.final(await submit(site))

    assert (job["status"], job["attempt"], renders) == ("completed", 1, 1)
    assert requests >= 12
    async with httpx.AsyncClient(trust_env=False) as anybody:
        assert (await anybody.get(job["outputs"][0]["url"])).status_code == 200


async def test_store_that_is_away_makes_the_api_unready_and_refuses_inputs(
    site: Site, gate: Gate
) -> None:
    gate.fails(Fault.DROP)
    assert (await site.http.get("/readyz")).status_code == 503
    picture = base64.b64encode(png_bytes(8, 8)).decode()
    body = {
        "user_id": USER,
        "workflow": inverting("photo.png"),
        "media": [{"name": "photo.png", "data": picture}],
    }
    answer = await site.http.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "retry-after" in answer.headers


class Later(Adapters):
    """The production adapters at a time of the test's own."""

    time: FakeClock

    def clock(self) -> Clock:
        return self.time


@pytest.mark.parametrize("store", ["directory", "bucket"])
async def test_poller_always_holds_a_working_url(
    database: Database, tmp_path: Path, gate: Gate, store: str
) -> None:
    """Over hours, asking with If-None-Match, at every moment up to the next question."""
    files = in_bucket(gate) if store == "bucket" else {}
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_site(database, tmp_path, **files))
        job: dict[str, Any] = await site.final(await submit(site))
        settings = Settings.model_validate(
            {
                "database_url": database.api,
                "worker_database_url": database.worker,
                "data_directory": tmp_path,
                "public_url": "http://genjobs.test",
                "link_life_seconds": 3600,
                **files,
            }
        )
        adapters = Later(settings, stack)
        adapters.time = FakeClock(SystemClock().now())
        http = await client_of(adapters, stack)
        anybody = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        held, tag, told = "", "", []
        for minutes in [7, 10, 19, 1, 25, 3] * 6:
            answer = await http.get(
                f"/v1/jobs/{job['id']}", params={"user_id": USER}, headers={"If-None-Match": tag}
            )
            told.append(answer.status_code)
            if answer.status_code == 200:
                held, tag = answer.json()["outputs"][0]["url"], answer.headers["etag"]
            for _ in range(2):  # at once, and just before it is asked again
                gate.now = adapters.time.now()
                client = anybody if store == "bucket" else http
                assert (await client.get(held)).status_code == 200
                adapters.time.advance(timedelta(minutes=minutes) / 2)
        assert {200, 304} == set(told)
