"""
Nobody gets anything of another user or tenant through the engine: its cache, its folders.

One warm engine and one worker serve two tenants of two users each, on the same database and the
same artifact store. On the simulator always, on a real ComfyUI if given.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from genjobs.testing import png_bytes
from tests import environment
from tests.attack_server import answer
from tests.integration.site import Site, inverting, open_site, other_tenant
from tests.postgres import Database

_OTHER_TENANT = UUID("00000000-0000-4000-8000-0000000000b2")
_PLAIN: dict[str, Any] = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 24, "height": 16, "batch_size": 2, "color": 0x204060},
    },
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "mine"}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Two tenants of one site, and the engine's base directory if it is here."""

    ours: Site
    theirs: Site
    engine_directory: Path | None
    files_before: frozenset[Path]

    async def left_behind(self) -> frozenset[Path]:
        """Return files that the engine keeps of renders; they go when their job has ended."""
        for _ in range(100):
            if files_of(self.engine_directory) <= self.files_before:
                break
            await asyncio.sleep(0.05)
        return files_of(self.engine_directory) - self.files_before

    def people(self) -> list[tuple[Site, str]]:
        """Return two users of each tenant; their ids are the same in both."""
        return [(tenant, user) for tenant in (self.ours, self.theirs) for user in ("u_1", "u_2")]


@pytest.fixture(
    params=[
        "simulator",
        pytest.param(
            "comfyui",
            marks=pytest.mark.skipif(
                environment.COMFYUI_URL is None, reason="GENJOBS_TEST_COMFYUI_URL is not set"
            ),
        ),
    ]
)
async def house(
    database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """Hold two tenants."""
    given: dict[str, object] = {}
    directory: Path | None = tmp_path / "comfyui"
    if request.param == "comfyui":
        given["comfyui_url"] = environment.COMFYUI_URL
        given["comfyui_directory"] = environment.COMFYUI_DIRECTORY
        # Tests that run beside this one put files into the same directory.
        alone = "PYTEST_XDIST_WORKER" not in os.environ
        here = environment.COMFYUI_DIRECTORY if alone else None
        directory = Path(here) if here else None
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(open_site(database, tmp_path, **given))
        theirs = await stack.enter_async_context(other_tenant(ours, database, _OTHER_TENANT))
        yield House(
            ours=ours,
            theirs=theirs,
            engine_directory=directory,
            files_before=files_of(directory),
        )


async def finished(site: Site, user_id: str, workflow: object, **urls: str) -> dict[str, Any]:
    """Run a job to its end."""
    submitted = await site.submit(workflow, user_id, **urls)
    assert submitted.status_code == 202, submitted.text
    job: dict[str, Any] = await site.final(submitted.json()["id"], user_id)
    assert job["status"] == "completed", job
    return job


def files_of(directory: Path | None) -> frozenset[Path]:
    """Return the files that an engine has, previews included."""
    folders = [directory / kind for kind in ("input", "output", "temp")] if directory else []
    return frozenset(path for folder in folders for path in folder.rglob("*") if path.is_file())


async def test_same_workflow_and_file_name_yield_ones_own_picture(house: House) -> None:
    """Round after round, so that the engine has seen every picture and every graph before."""
    for round_ in range(3):
        for number, (site, user) in enumerate(house.people()):
            rgb = (10 + number, 20 + round_ % 2, 30)  # the last round repeats the first
            site.server.on("/photo", answer(png_bytes(8, 8, rgb=rgb)))
            job = await finished(
                site, user, inverting("photo.png"), photo="http://example.com/photo"
            )
            assert await site.pixels(job) == tuple(255 - value for value in rgb)
    assert await house.left_behind() == frozenset()


async def test_what_the_engine_has_cached_is_saved_anew_for_each(house: House) -> None:
    """Nothing but the save node runs from the second job on, and its files are the job's own."""
    seen: set[str] = set()
    for site, user in house.people() * 2:
        job = await finished(site, user, _PLAIN)
        assert len(job["outputs"]) == 2
        for output, picture in zip(job["outputs"], await site.pictures(job), strict=True):
            assert output["node_id"] == "9"
            assert output["id"] not in seen
            seen.add(output["id"])
            assert picture.convert("RGB").getpixel((0, 0)) == (0x20, 0x40, 0x60)
    files = [path for path in (house.ours.data / "artifacts").rglob("out_*") if path.is_file()]
    assert len({path.parents[2] for path in files}) == len(house.people())
    assert await house.left_behind() == frozenset()


@pytest.mark.parametrize("form", ["{} [output]", "{} [temp]", "{} [input]", "{}", "../output/{}"])
async def test_file_of_another_render_cannot_be_named(house: House, form: str) -> None:
    """Whatever a caller knows of folders and names: a file input names a media entry or nothing."""
    mine = await finished(house.ours, "u_1", _PLAIN)
    name = mine["outputs"][0]["name"]
    for place in (name, f"genjobs/{mine['id']}/{name}", f"genjobs/{name}", "input_0.png"):
        answered = await house.theirs.submit(inverting(form.format(place)))
        assert answered.status_code == 422
        assert answered.json()["code"] == "media_unknown"


@pytest.mark.parametrize("name", ["a.png [output]", "a.png [temp]", "..png", "a.png[input] "])
async def test_media_entry_with_a_name_of_tricks_is_only_a_name(house: House, name: str) -> None:
    """The engine never sees it: the file has a name of ours."""
    house.ours.server.on("/a", answer(png_bytes(8, 8, rgb=(1, 2, 3))))
    body = {
        "user_id": "u_1",
        "workflow": inverting(name),
        "media": [{"name": name, "url": "http://example.com/a"}],
    }
    submitted = await house.ours.http.post("/v1/jobs", json=body)
    assert submitted.status_code == 202, submitted.text
    job = await house.ours.final(submitted.json()["id"])
    assert await house.ours.pixels(job) == (254, 253, 252)


async def test_job_of_another_is_as_good_as_missing(house: House) -> None:
    mine = await finished(house.ours, "u_1", _PLAIN)
    missing = await house.ours.http.get(f"/v1/jobs/{mine['id'][:-4]}zzzz?user_id=u_1")
    for site, user in ((house.ours, "u_2"), (house.theirs, "u_1")):
        answered = await site.http.get(f"/v1/jobs/{mine['id']}", params={"user_id": user})
        assert answered.status_code == missing.status_code == 404
        assert answered.json()["code"] == missing.json()["code"]
