"""``POST /v1/uploads`` and the PUT that follows, over HTTP on fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import Request

from genjobs.api.files import received
from genjobs.domain.errors import UploadMismatch
from genjobs.domain.tenancy import Scope
from genjobs.testing import Harness, png_bytes
from genjobs.testing.contracts.engine import loading
from tests.unit.api.test_refusals import assert_problem
from tests.worlds import World, memory_world

PICTURE = png_bytes()
SITE = "https://site.test"


def declaration(**changes: Any) -> dict[str, Any]:
    plain = {"user_id": "u_1", "filename": "photo.png", "content_type": "image/png"}
    return {**plain, "bytes": len(PICTURE), **changes}


async def declare(http: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await http.post("/v1/uploads", json=declaration(**changes))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def put(
    http: httpx.AsyncClient,
    made: Mapping[str, Any],
    content: bytes = PICTURE,
    **headers: str,
) -> httpx.Response:
    url = made["url"].replace("https://files.test", "http://genjobs.test")
    return await http.request(
        made["method"],
        url,
        content=content,
        headers={**made["headers"], "Authorization": "", **headers},
    )


@asynccontextmanager
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(await world.key("all")) as http:
        yield http


def job(made: Mapping[str, Any], user: str = "u_1") -> dict[str, Any]:
    media = [{"name": "photo.png", "upload_id": made["id"]}]
    return {"user_id": user, "workflow": loading(), "media": media}


async def test_answer_is_as_promised(http: httpx.AsyncClient, harness: Harness) -> None:
    answer = await http.post("/v1/uploads", json=declaration(filename="größe 映画.png"))
    made = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert made.pop("url").startswith("https://files.test/files/uploads/")
    assert made.pop("id").startswith("upl_")
    assert made == {
        "object": "upload",
        "user_id": "u_1",
        "filename": "größe 映画.png",
        "content_type": "image/png",
        "bytes": len(PICTURE),
        "method": "PUT",
        "headers": {"Content-Type": "image/png"},
        "url_expires_at": "2026-01-01T00:15:00.000Z",
        "created_at": "2026-01-01T00:00:00.000Z",
        "expires_at": "2026-01-02T00:00:00.000Z",
    }


async def test_upload_becomes_the_input_of_a_job(http: httpx.AsyncClient, harness: Harness) -> None:
    made = await declare(http)
    stored = await put(http, made)
    assert (stored.status_code, stored.content) == (200, b"")
    assert stored.headers["cache-control"] == "no-store"

    submitted = await http.post("/v1/jobs", json=job(made))
    assert (submitted.status_code, submitted.json()["queue"]) == (202, {"position": None})
    await harness.ingester.run_due()
    await harness.run_one()
    read = await http.get(submitted.headers["location"], params={"user_id": "u_1"})
    assert read.json()["status"] == "completed"
    usage = (await http.get("/v1/usage", params={"user_id": "u_1"})).json()
    assert usage["user"]["used"]["uploads"] == 0
    assert usage["user"]["used"]["bytes_today"] >= len(PICTURE)


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"bytes": 0}, "invalid_request", "/bytes"),
        ({"bytes": 2**63}, "invalid_request", "/bytes"),
        ({"bytes": 1.5}, "invalid_request", "/bytes"),
        ({"bytes": "5"}, "invalid_request", "/bytes"),
        ({"bytes": True}, "invalid_request", "/bytes"),
        ({"bytes": None}, "invalid_request", "/bytes"),
        ({"content_type": "text/html"}, "media_type_refused", "/content_type"),
        ({"content_type": "x" * 101}, "invalid_request", "/content_type"),
        ({"content_type": None}, "invalid_request", "/content_type"),
        ({"filename": "../../etc/passwd"}, "media_invalid", "/filename"),
        ({"filename": "a" * 129}, "media_invalid", "/filename"),
        ({"filename": 1}, "invalid_request", "/filename"),
        ({"user_id": "a b"}, "invalid_request", "/user_id"),
        ({"user_id": None}, "invalid_request", "/user_id"),
        ({"key": "uploads/x"}, "invalid_request", "/key"),
    ],
)
async def test_bad_declaration_is_refused_precisely(
    http: httpx.AsyncClient, harness: Harness, changes: dict[str, Any], code: str, pointer: str
) -> None:
    problem = assert_problem(await http.post("/v1/uploads", json=declaration(**changes)), 422, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert harness.jobs.uploads == {}


async def test_body_must_be_json(http: httpx.AsyncClient) -> None:
    assert_problem(await http.post("/v1/uploads", content=b"{}"), 415, "unsupported_media_type")
    json = {"Content-Type": "application/json"}
    assert_problem(
        await http.post("/v1/uploads", content=b"{", headers=json), 400, "malformed_json"
    )


async def test_too_many_unused_uploads_are_429() -> None:
    async with memory_world(user_limits={"max_uploads": 1}) as world, client(world) as http:
        await declare(http)
        answer = await http.post("/v1/uploads", json=declaration())
        problem = assert_problem(answer, 429, "uploads_full")
        assert problem["retryable"]
        assert int(answer.headers["retry-after"]) >= 1


async def test_declared_bytes_are_of_the_day() -> None:
    limits = {"bytes_per_day": 2 * len(PICTURE)}
    async with memory_world(user_limits=limits) as world, client(world) as http:
        for _ in range(2):
            await declare(http)
        answer = await http.post("/v1/uploads", json=declaration())
        assert_problem(answer, 429, "quota_exceeded")


async def test_only_who_may_submit_may_upload() -> None:
    async with memory_world() as world:
        for scope in Scope:
            async with world.client(await world.key(f"only {scope}", scope)) as http:
                answer = await http.post("/v1/uploads", json=declaration())
                assert answer.status_code == (201 if scope is Scope.JOBS_WRITE else 403)
        async with world.client() as nobody:
            assert_problem(
                await nobody.post("/v1/uploads", json=declaration()), 401, "unauthenticated"
            )


async def test_browser_with_a_token_uploads_for_its_user_alone() -> None:
    async with memory_world(cors_origins=[SITE]) as world, client(world) as http:
        await world.arrange.set_plan(world.tenants[0], "pro", browser_writes=True)
        for user in ("u_1", "u_2"):
            plain = {"user_id": user, "workflow": loading(), "plan": "pro"}
            media = [{"name": "photo.png", "upload_id": (await declared(http, user))["id"]}]
            await http.post("/v1/jobs", json={**plain, "media": media})
        wanted = {"user_id": "u_1", "scopes": ["jobs:read", "jobs:write"]}
        made = await http.post("/v1/tokens", json=wanted)
        assert made.status_code == 201, made.text
        async with world.client(made.json()["token"]) as browser:
            unnamed = declaration()
            del unnamed["user_id"]
            mine = await browser.post("/v1/uploads", json=unnamed, headers={"Origin": SITE})
            assert (mine.status_code, mine.json()["user_id"]) == (201, "u_1")
            theirs = await browser.post("/v1/uploads", json=declaration(user_id="u_2"))
            assert_problem(theirs, 404, "not_found")
            await put(browser, mine.json())
            assert (await browser.post("/v1/jobs", json=job(mine.json()))).status_code == 202


async def declared(http: httpx.AsyncClient, user: str) -> dict[str, Any]:
    made = await declare(http, user_id=user)
    assert (await put(http, made)).status_code == 200
    return made


async def test_page_of_a_named_origin_may_put() -> None:
    async with memory_world(cors_origins=[SITE]) as world, client(world) as http:
        made = await declare(http)
        path = urlsplit(made["url"]).path
        asked = {
            "Origin": SITE,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type,if-none-match",
        }
        preflight = await http.options(path, headers=asked)
        assert preflight.status_code == 200
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        stored = await put(http, made, Origin=SITE)
        assert stored.headers["access-control-allow-origin"] == SITE
        refused = await put(http, made, Origin=SITE)
        assert refused.headers["access-control-allow-origin"] == SITE


async def test_foreign_upload_looks_like_a_missing_one(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    theirs = await declared(http, "u_2")
    missing = {**theirs, "id": theirs["id"][:-1] + ("0" if theirs["id"][-1] != "0" else "1")}
    same = {"X-Request-Id": "the-same-request-id"}
    answers = [
        await http.post("/v1/jobs", json=job(made), headers=same) for made in (theirs, missing)
    ]
    assert_problem(answers[0], 422, "upload_unknown")
    assert answers[0].content == answers[1].content
    assert harness.jobs.rows == {}


async def test_upload_without_its_file_is_refused(http: httpx.AsyncClient) -> None:
    made = await declare(http)
    problem = assert_problem(await http.post("/v1/jobs", json=job(made)), 422, "upload_incomplete")
    assert problem["errors"][0]["pointer"] == "/media/0/upload_id"


async def test_expired_upload_is_unknown(http: httpx.AsyncClient, harness: Harness) -> None:
    made = await declared(http, "u_1")
    harness.clock.advance(timedelta(days=1))
    assert_problem(await http.post("/v1/jobs", json=job(made)), 422, "upload_unknown")


async def test_put_says_what_is_wrong(http: httpx.AsyncClient, harness: Harness) -> None:
    made = await declare(http)
    forged = {**made, "url": made["url"] + "0"}
    assert_problem(await put(http, forged), 404, "not_found")
    for content, headers in (
        (PICTURE[:-1], {}),
        (PICTURE + b"x", {}),
        (b"", {}),
        (PICTURE, {"Content-Type": "image/jpeg"}),
        (PICTURE, {"Content-Encoding": "gzip"}),
    ):
        answer = await put(http, made, content, **headers)
        assert_problem(answer, 422, "upload_mismatch")
        assert answer.headers["connection"] == "close"
    assert (await put(http, made)).status_code == 200
    assert_problem(await put(http, made), 412, "upload_exists")
    harness.clock.advance(timedelta(minutes=15))
    assert_problem(await put(http, made), 404, "not_found")
    assert list(harness.artifacts.files.values()) == [PICTURE]


async def test_body_that_is_not_what_its_length_says_stores_nothing(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    made = await declare(http)
    for pieces in ([PICTURE, b"x"], [PICTURE[:9]], [PICTURE] * 99):
        answer = await _put_pieces(http, made, pieces)
        assert_problem(answer, 422, "upload_mismatch")
    assert harness.artifacts.files == {}
    assert (await _put_pieces(http, made, [PICTURE[:9], PICTURE[9:]])).status_code == 200


async def _put_pieces(
    http: httpx.AsyncClient, made: Mapping[str, Any], pieces: list[bytes]
) -> httpx.Response:
    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)

    return await http.put(
        made["url"],
        content=body(),
        headers={**made["headers"], "Content-Length": str(len(PICTURE))},
    )


async def test_file_may_be_larger_than_other_bodies(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    large = PICTURE + bytes(9 * 1024 * 1024)
    made = await declare(http, bytes=len(large))
    assert (await put(http, made, large)).status_code == 200
    assert_problem(await http.put("/v1/uploads", content=large), 413, "body_too_large")
    unsigned = await http.put("/files/uploads/x", content=large)
    assert_problem(unsigned, 404, "not_found")


async def test_put_to_a_store_that_is_away_is_503(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    made = await declare(http)
    harness.artifacts.available = False
    assert_problem(await put(http, made), 503, "unavailable")
    harness.artifacts.available = True
    assert harness.artifacts.files == {}
    assert (await put(http, made)).status_code == 200


@pytest.mark.parametrize(("pause", "expected"), [(5.0, 1), (0.02, 9)])
async def test_body_that_trickles_or_stops_is_given_up(pause: float, expected: int) -> None:
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        await asyncio.sleep(pause if sent else 0)
        sent += 1
        return {"type": "http.request", "body": b"x", "more_body": True}

    request = Request({"type": "http", "method": "PUT", "headers": []}, receive)
    came: list[bytes] = []

    async def take_all() -> None:
        async for chunk in received(request, silence=0.15, most=0.3):
            came.append(chunk)  # noqa: PERF401  (what came before the end counts)

    with pytest.raises(UploadMismatch, match="in time"):
        await take_all()
    assert 1 <= len(came) <= 2 * expected
