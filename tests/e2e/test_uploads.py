"""The shipped commands with files that their owner puts by signed URL, into either store."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from genjobs.testing import png_bytes
from tests.e2e.processes import USER, base_url, client, final, running
from tests.e2e.test_object_store import bucket_settings
from tests.integration.site import inverting
from tests.object_store import Gate

pytestmark = pytest.mark.e2e

PICTURE = png_bytes(9, 9)


@pytest.fixture(params=["directory", "bucket"])
def settings(request: pytest.FixtureRequest, gate: Gate) -> dict[str, str]:
    return {} if request.param == "directory" else bucket_settings(gate)


@pytest.fixture
async def anybody() -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without credentials, as a browser is for the store."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        yield http


async def declare(http: httpx.AsyncClient, content: bytes = PICTURE) -> dict[str, Any]:
    body = {"user_id": USER, "filename": "größe 映画.png", "content_type": "image/png"}
    answer = await http.post("/v1/uploads", json={**body, "bytes": len(content)})
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


async def put(anybody: httpx.AsyncClient, made: dict[str, Any], content: bytes = PICTURE) -> int:
    answer = await anybody.request(
        made["method"], made["url"], headers=made["headers"], content=content
    )
    return answer.status_code


def job(*uploads: dict[str, Any], user: str = USER) -> dict[str, Any]:
    media = [{"name": f"{n}.png", "upload_id": made["id"]} for n, made in enumerate(uploads)]
    return {"user_id": user, "workflow": inverting("0.png"), "media": media}


async def test_upload_becomes_a_job(
    open_folder: Path, settings: dict[str, str], anybody: httpx.AsyncClient
) -> None:
    async with (
        running(open_folder, "serve", "--port", "0", **settings) as serve,
        client(await base_url(serve)) as http,
    ):
        made = await declare(http)
        early = await http.post("/v1/jobs", json=job(made))
        assert (early.status_code, early.json()["code"]) == (422, "upload_incomplete")
        assert await put(anybody, made, PICTURE[:-1]) in {403, 422}
        assert await put(anybody, made) == 200
        assert await put(anybody, made, PICTURE[::-1]) == 412
        foreign = await http.post("/v1/jobs", json=job(made, user="u_2"))
        assert (foreign.status_code, foreign.json()["code"]) == (422, "upload_unknown")

        for _ in range(2):
            answer = await http.post("/v1/jobs", json=job(made))
            assert answer.status_code == 202, answer.text
            done = await final(http, answer.json()["id"])
            assert done["status"] == "completed", done
        [output] = done["outputs"]
        link = await anybody.get(output["url"])
        assert (link.status_code, len(link.content)) == (200, output["bytes"])

        text = b"not a picture, whatever was said of it"
        wrong = await declare(http, text)
        assert await put(anybody, wrong, text) == 200
        refused = (await http.post("/v1/jobs", json=job(wrong))).json()
        failed = await final(http, refused["id"])
        assert (failed["status"], failed["error"]["code"]) == ("failed", "input_refused")
        usage = (await http.get("/v1/usage")).json()["user"]["used"]
        assert usage["uploads"] == 0
    assert "signature=" not in "".join(serve.lines).lower()


async def test_upload_outlives_the_process_that_signed_it(
    open_folder: Path, settings: dict[str, str], anybody: httpx.AsyncClient, free_port: int
) -> None:
    """Declared, put and used across two restarts, the first of them a kill."""
    command = ("serve", "--port", str(free_port))
    async with (
        running(open_folder, *command, **settings) as serve,
        client(await base_url(serve)) as http,
    ):
        made = await declare(http)
        serve.process.send_signal(signal.SIGKILL)
        await asyncio.wait_for(serve.process.wait(), 30)
    async with (
        running(open_folder, *command, **settings) as serve,
        client(await base_url(serve)) as http,
    ):
        assert await put(anybody, made) == 200
        answer = await http.post("/v1/jobs", json=job(made))
        done = await final(http, answer.raise_for_status().json()["id"])
        assert done["status"] == "completed", done
