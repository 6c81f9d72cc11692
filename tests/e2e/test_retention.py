"""The shipped commands: what is purged, erased and found missing, with files in either store."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from genjobs.testing import png_bytes
from tests.e2e.processes import USER, base_url, client, final, running
from tests.e2e.test_object_store import bucket_settings
from tests.e2e.test_supervision import printed
from tests.e2e.test_uploads import declare, put
from tests.e2e.test_uploads import job as using
from tests.integration.site import inverting
from tests.object_store import Gate

pytestmark = pytest.mark.e2e

Stored = Callable[[], Awaitable[set[str]]]


@pytest.fixture(params=["directory", "bucket"])
def settings(request: pytest.FixtureRequest, gate: Gate) -> dict[str, str]:
    return {} if request.param == "directory" else bucket_settings(gate)


@pytest.fixture
def stored(settings: dict[str, str], open_folder: Path, gate: Gate) -> Stored:
    """Return what tells the keys of all stored files."""

    async def keys() -> set[str]:
        if settings:
            return set(await gate.keys())
        root = open_folder / "artifacts"
        files = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)) for path in files if "/u/" in str(path)}

    return keys


@pytest.fixture
async def anybody() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        yield http


async def _until(true: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.2)


def _body(user: str) -> dict[str, Any]:
    picture = base64.b64encode(png_bytes(9, 9)).decode()
    media = [{"name": "photo.png", "data": picture}]
    return {"user_id": user, "workflow": inverting("photo.png"), "media": media}


async def test_inputs_go_after_the_end_and_a_user_for_good(
    open_folder: Path, settings: dict[str, str], stored: Stored, anybody: httpx.AsyncClient
) -> None:
    settings = {**settings, "GENJOBS_KEEP_INPUTS_SECONDS": "0"}
    async with (
        running(open_folder, "serve", "--port", "0", **settings) as serve,
        client(await base_url(serve)) as http,
    ):
        made = (await http.post("/v1/jobs", json=_body(USER))).json()
        done = await final(http, made["id"])
        [output] = done["outputs"]
        other = (await http.post("/v1/jobs", json=_body("u_2"))).json()
        others = await http.get(f"/v1/jobs/{other['id']}", params={"user_id": "u_2"})
        assert others.status_code == 200

        async def inputs_are_gone() -> bool:
            files = await stored()
            return len(files) == 2 and all("/attempt_" in key for key in files)

        await _until(inputs_are_gone)
        assert (await anybody.get(output["url"])).status_code == 200

        upload = await declare(http)
        assert await put(anybody, upload) == 200
        unused = await declare(http)
        assert await put(anybody, unused) == 200
        used = (await http.post("/v1/jobs", json=using(upload))).json()
        await final(http, used["id"])
        begun = await http.delete(f"/v1/users/{USER}", params={})
        assert begun.status_code == 202, begun.text
        refused = await http.post("/v1/jobs", json=_body(USER))
        assert (refused.status_code, refused.json()["code"]) == (409, "user_being_erased")
        receipt = begun.json()

        async def is_done() -> bool:
            receipt.update((await http.get(begun.headers["location"])).json())
            return bool(receipt["status"] == "completed")

        await _until(is_done)
        erased = receipt["erased"]
        assert erased["jobs"] == 2
        assert erased["uploads"] == 2
        assert erased["idempotency_keys"] == 0
        assert (await anybody.get(output["url"])).status_code == 404
        assert (await http.get(f"/v1/jobs/{made['id']}")).status_code == 404
        assert len(await stored()) == 1  # the other user's output
        assert (await http.post("/v1/jobs", json=_body(USER))).status_code == 202
        assert USER not in "".join(serve.lines)


async def test_purge_inventory_and_status_tell_the_truth(
    open_folder: Path, settings: dict[str, str], stored: Stored
) -> None:
    settings = {**settings, "GENJOBS_KEEP_INPUTS_SECONDS": "0", "GENJOBS_RETENTION_SECONDS": "3"}
    async with (
        running(open_folder, "serve", "--port", "0", **settings) as serve,
        client(await base_url(serve)) as http,
    ):
        made = (await http.post("/v1/jobs", json=_body(USER))).json()
        done = await final(http, made["id"])
        assert len(done["outputs"]) == 1
        path = f"/v1/jobs/{made['id']}"

        async def is_purged() -> bool:
            return (await http.get(path)).json()["purged_at"] is not None

        await _until(is_purged)
        told = (await http.get(path)).json()
        assert (told["status"], told["outputs"]) == ("completed", [])
        assert await stored() == set()
        if "GENJOBS_ARTIFACTS_URL" not in settings:  # the figures are the same in both
            status = await printed(open_folder, "status", "--json", **settings)
            assert (status["purged_jobs"], status["purge_overdue_seconds"]) == (1, None)
        found = await printed(open_folder, "reconcile", "--json", **settings)
        assert found == {
            "files": 0, "orphans": 0, "unknown": 0, "removed": False, "jobs": 1, "newly_missing": 0
        }  # fmt: skip


async def test_operator_erases_a_user(open_folder: Path) -> None:
    async with (
        running(open_folder, "serve", "--port", "0") as serve,
        client(await base_url(serve)) as http,
    ):
        made = (await http.post("/v1/jobs", json=_body(USER))).json()
        await final(http, made["id"])
        [tenant] = await printed(open_folder, "tenants", "list", "--json")
        whose = ("--tenant", tenant["name"])
        begun = await printed(open_folder, "users", "erase", *whose, "--user", USER, "--json")
        assert begun["status"] == "running"

        async def is_gone() -> bool:
            return (await http.get(f"/v1/jobs/{made['id']}")).status_code == 404

        await _until(is_gone)
        await serve.says("erasure.finished")
        shown = await printed(open_folder, "users", "erasure", begun["id"], *whose, "--json")
        assert (shown["status"], shown["jobs"]) == ("completed", 1)
