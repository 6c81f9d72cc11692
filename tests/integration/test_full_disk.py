"""A disk of files that is full: nothing is half-written, and all goes on once there is room."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genjobs.testing import a_workflow, png_bytes
from tests.integration.site import Site, inverting, open_site
from tests.postgres import Database
from tests.row_checks import ALL_BROKEN

PICTURE = png_bytes(40, 40) + os.urandom(100_000)


@dataclass(frozen=True, slots=True)
class Disk:
    """Two megabytes, and a file that fills them."""

    path: Path

    def fill(self) -> None:
        file = os.open(self.path / "filler", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(file, bytes(4096))
        os.close(file)

    def empty(self) -> None:
        (self.path / "filler").unlink()

    def files(self) -> list[Path]:
        """Return what is stored or was begun; the folder for files being written is one."""
        store = self.path / "artifacts"
        return [path for path in store.rglob("*") if path.is_file()]


@pytest.fixture
def disk(open_folder: Path) -> Iterator[Disk]:
    place = open_folder / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"only root may mount a small disk: {done.stderr.strip()}")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
async def site(database: Database, open_folder: Path, disk: Disk) -> AsyncIterator[Site]:
    data = open_folder / "data"
    data.mkdir(mode=0o755)
    url = f"file:{disk.path}/artifacts"
    async with open_site(database, data, artifacts_url=url, stop_seconds=1) as opened:
        yield opened


def submission(**parts: Any) -> dict[str, Any]:
    return {"user_id": "u_1", "workflow": a_workflow(), **parts}


async def test_submit_with_files_is_503_and_may_be_sent_again(
    site: Site, disk: Disk, database: Database
) -> None:
    media = [{"name": "photo.png", "data": base64.b64encode(PICTURE).decode()}]
    body = submission(workflow=inverting("photo.png"), media=media)
    key = {"Idempotency-Key": "order-1"}
    disk.fill()
    refused = await site.http.post("/v1/jobs", json=body, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert disk.files() == []
    assert await database.execute("SELECT 1 FROM genjobs.jobs") == []

    disk.empty()
    made = await site.http.post("/v1/jobs", json=body, headers=key)
    assert made.status_code == 202
    assert "idempotency-replayed" not in made.headers
    assert (await site.final(made.json()["id"]))["status"] == "completed"


async def test_put_of_an_upload_is_503_and_may_be_repeated(site: Site, disk: Disk) -> None:
    declared = {"filename": "photo.png", "content_type": "image/png", "bytes": len(PICTURE)}
    answer = await site.http.post("/v1/uploads", json={"user_id": "u_1", **declared})
    upload = answer.json()
    disk.fill()
    refused = await site.http.put(upload["url"], content=PICTURE, headers=upload["headers"])
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert disk.files() == []
    media = [{"name": "photo.png", "upload_id": upload["id"]}]
    body = submission(workflow=inverting("photo.png"), media=media)
    early = await site.http.post("/v1/jobs", json=body)
    assert (early.status_code, early.json()["code"]) == (422, "upload_incomplete")

    disk.empty()
    put = await site.http.put(upload["url"], content=PICTURE, headers=upload["headers"])
    assert put.status_code == 200
    disk.fill()  # now it is the ingester that finds no room for the job's copy
    made = (await site.http.post("/v1/jobs", json=body)).json()
    await asyncio.sleep(0.5)
    read = await site.http.get(made["urls"]["self"], params={"user_id": "u_1"})
    assert read.json()["status"] == "queued"
    disk.empty()
    assert (await site.final(made["id"]))["status"] == "completed"


async def test_outputs_wait_for_room_and_are_rendered_once(
    site: Site, disk: Disk, database: Database
) -> None:
    disk.fill()
    made = (await site.http.post("/v1/jobs", json=submission())).json()
    async with asyncio.timeout(20):
        phase = None
        while phase != "uploading":
            await asyncio.sleep(0.05)
            read = await site.http.get(made["urls"]["self"], params={"user_id": "u_1"})
            phase = read.json()["phase"]
    await asyncio.sleep(0.5)
    assert read.json()["outputs"] == []
    assert disk.files() == []
    disk.empty()
    job = await site.final(made["id"])
    assert (job["status"], job["attempt"]) == ("completed", 1)
    [picture] = await site.pictures(job)
    picture.load()
    assert len(disk.files()) == 1
    assert await database.execute(ALL_BROKEN) == []


async def test_reads_and_cancels_go_on(site: Site, disk: Disk) -> None:
    made = (await site.http.post("/v1/jobs", json=submission())).json()
    job = await site.final(made["id"])
    disk.fill()
    assert len(await site.pictures(job)) == 1
    assert (await site.http.get("/readyz")).status_code == 200
    answer = await site.http.delete(made["urls"]["self"], params={"user_id": "u_1"})
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
