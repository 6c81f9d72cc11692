"""Media by URL on real parts: HTTP, Postgres, the directory store, the inspector, the simulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genjobs.testing import a_workflow, png_bytes
from tests.attack_server import answer
from tests.integration.site import Site, inverting, open_site
from tests.postgres import Database


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    """Hold a site on real parts."""
    async with open_site(database, tmp_path) as opened:
        yield opened


async def test_job_with_a_picture_by_url_renders_it(site: Site) -> None:
    site.server.on("/photo", answer(png_bytes(8, 8, rgb=(255, 0, 10))))
    submitted = await site.submit(inverting("a.png"), a="http://example.com/photo?secret=1")
    assert submitted.status_code == 202
    assert submitted.json()["queue"] == {"position": None}
    job = await site.final(submitted.json()["id"])
    assert job["status"] == "completed", job
    assert await site.pixels(job) == (0, 255, 245)
    assert site.network.forbidden_dials() == []


async def test_users_with_the_same_workflow_and_file_name_get_their_own_pictures(
    site: Site,
) -> None:
    """The engine is warm and caches: what differs is only what the URL leads to."""
    colours = {"u_1": (255, 0, 0), "u_2": (0, 255, 0), "u_3": (0, 0, 255)}
    jobs = {}
    for user_id, rgb in colours.items():
        site.server.on(f"/{user_id}", answer(png_bytes(8, 8, rgb=rgb)))
        url = f"http://example.com/{user_id}"
        submitted = await site.submit(inverting("photo.png"), user_id, photo=url)
        jobs[user_id] = submitted.json()["id"]
    for user_id, rgb in colours.items():
        job = await site.final(jobs[user_id], user_id)
        assert await site.pixels(job) == tuple(255 - value for value in rgb)


@pytest.mark.parametrize(
    "name",
    ["a.png [output]", "a.png [input]", "a.png [temp]", "../a.png", "/etc/passwd", "input/a.png"],
)
async def test_other_folders_of_the_engine_cannot_be_named(site: Site, name: str) -> None:
    answered = await site.submit(inverting(name))
    assert answered.status_code == 422
    assert answered.json()["code"] == "media_unknown"


async def test_rebound_name_fails_the_job_in_words_that_tell_nothing(site: Site) -> None:
    site.network.names["rebinding.com"] = [["8.8.8.8"], ["127.0.0.1"]]
    submitted = await site.submit(inverting("a.png"), a="http://rebinding.com/x")
    assert submitted.status_code == 202
    job = await site.final(submitted.json()["id"])
    assert job["error"] == {
        "code": "input_refused",
        "message": "Media entry 'a.png': The URL may not be fetched.",
        "node_id": None,
        "node_class": None,
        "retryable": False,
    }
    assert site.network.dialled == []


async def test_forbidden_name_is_refused_at_submit(site: Site) -> None:
    site.network.names["inside.com"] = [["10.0.0.8"]]
    answered = await site.submit(
        inverting("a.png"), b="http://example.com/b", a="http://inside.com/x"
    )
    assert answered.status_code == 422
    assert answered.json()["code"] == "url_not_allowed"
    assert answered.json()["errors"][0]["pointer"] == "/media/1/url"
    assert "10.0.0.8" not in answered.text


async def test_unreachable_file_fails_the_job_as_not_obtainable(site: Site) -> None:
    site.server.on("/gone", answer(status=404))
    submitted = await site.submit(inverting("a.png"), a="http://example.com/gone")
    job = await site.final(submitted.json()["id"])
    assert job["error"]["code"] == "input_unavailable"  # type: ignore[index]
    assert "404" not in str(job["error"])


async def test_page_in_the_place_of_a_picture_is_refused(site: Site) -> None:
    site.server.on("/page", answer(b"<!doctype html><html></html>"))
    submitted = await site.submit(inverting("a.png"), a="http://example.com/page")
    job = await site.final(submitted.json()["id"])
    assert job["error"]["code"] == "input_refused"  # type: ignore[index]
    files = [path for path in (site.data / "artifacts").rglob("*") if path.is_file()]
    assert files == []


async def test_url_is_not_in_the_database_once_fetched(site: Site, database: Database) -> None:
    site.server.on("/photo", answer(png_bytes()))
    submitted = await site.submit(a_workflow(), a="http://example.com/photo?token=hidden")
    await site.final(submitted.json()["id"])
    for table in ("jobs", "ingests", "workflows", "idempotency", "attempts", "slots"):
        rows = await database.execute(f"SELECT t::text AS row FROM genjobs.{table} t")
        assert all("hidden" not in row["row"] for row in rows), table
