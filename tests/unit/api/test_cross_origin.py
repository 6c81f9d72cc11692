"""Pages of other origins: shut out unless they are named, and then told of refusals too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from genjobs.testing import a_workflow
from tests.worlds import World, memory_world

SITE = "https://site.test"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
}


def allowed(answer: httpx.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


@pytest.fixture
async def shut() -> AsyncIterator[World]:
    async with memory_world() as opened:
        yield opened


@pytest.fixture
async def named() -> AsyncIterator[World]:
    async with memory_world(cors_origins=[SITE]) as opened:
        yield opened


async def test_no_page_is_let_in_unless_its_origin_is_named(shut: World) -> None:
    async with shut.client(await shut.key("key")) as http:
        preflight = await http.options("/v1/jobs", headers={"Origin": SITE, **PREFLIGHT})
        assert preflight.status_code == 405
        answer = await http.get("/v1/jobs", headers={"Origin": SITE})
        assert allowed(preflight) == allowed(answer) == set()


async def test_named_origin_may_ask_for_what_the_api_has(named: World) -> None:
    async with named.client() as http:
        for method in ("GET", "POST", "PUT", "DELETE"):
            asked = {"Origin": SITE, **PREFLIGHT, "Access-Control-Request-Method": method}
            answer = await http.options("/v1/jobs", headers=asked)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == SITE
            assert "access-control-allow-credentials" not in answer.headers
        wrong = [
            {"Origin": SITE, **PREFLIGHT, "Access-Control-Request-Method": "PATCH"},
            {"Origin": SITE, **PREFLIGHT, "Access-Control-Request-Headers": "x-other"},
        ]
        for asked in wrong:
            assert (await http.options("/v1/jobs", headers=asked)).status_code == 400


@pytest.mark.parametrize(
    "origin",
    [
        "https://other.test",
        "http://site.test",
        "https://site.test.evil.test",
        "null",
        "*",
        "https://site.test:444",
        "https://SITE.test",
    ],
)
async def test_other_origins_stay_shut_out(named: World, origin: str) -> None:
    async with named.client(await named.key("key")) as http:
        preflight = await http.options("/v1/jobs", headers={"Origin": origin, **PREFLIGHT})
        assert "access-control-allow-origin" not in preflight.headers
        answer = await http.get("/v1/jobs", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in (await http.get("/v1/jobs", headers={"Origin": SITE})).headers["vary"]


async def test_page_may_read_answers_and_refusals_alike(
    named: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = {"Origin": SITE}
    async with named.client(await named.key("key")) as http, named.client() as nobody:
        job = {"user_id": "u_1", "workflow": a_workflow()}
        big = b"x" * (8 * 1024 * 1024 + 1)
        answers = {
            202: await http.post("/v1/jobs", json=job, headers=origin),
            401: await nobody.get("/v1/jobs", headers=origin),
            404: await http.get("/v1/jobs/x", headers=origin),
            405: await http.put("/v1/jobs", headers=origin),
            413: await http.post("/v1/jobs", content=big, headers=origin),
            415: await http.post("/v1/jobs", content=b"", headers=origin),
            422: await http.get("/v1/jobs", params={"limit": "x"}, headers=origin),
        }
        for _ in range(31):
            answers[429] = await nobody.get(
                "/v1/jobs", headers={**origin, "Authorization": "Bearer gj_wrong"}
            )

        def broken(*_: object) -> None:
            raise RuntimeError

        monkeypatch.setattr("genjobs.testing.memory_store.MemoryJobStore.list_jobs", broken)
        answers[500] = await http.get("/v1/jobs", headers=origin)
        named.artifacts.available = False
        answers[503] = await nobody.get("/readyz", headers=origin)
    for status, answer in answers.items():
        assert answer.status_code == status, answer.text
        assert answer.headers["access-control-allow-origin"] == SITE, status
        shown = {
            name.strip().lower()
            for name in answer.headers["access-control-expose-headers"].split(",")
        }
        assert {"etag", "location", "retry-after", "x-request-id", "ratelimit"} <= shown
