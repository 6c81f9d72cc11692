"""Bad input of every kind: the exact status, code and pointer, and nothing stored."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from genjobs.testing import Harness, a_workflow, png_bytes
from genjobs.testing.contracts.engine import loading
from genjobs.testing.harness import TEST_KEY

USER = "u_42"
PICTURE = base64.b64encode(png_bytes()).decode()
JSON = {"Content-Type": "application/json"}


def job(**parts: Any) -> dict[str, Any]:
    return {"user_id": USER, "workflow": a_workflow(), **parts}


def media(count: int = 1, **parts: Any) -> list[dict[str, Any]]:
    return [{"name": f"p{n}.png", "data": PICTURE, **parts} for n in range(count)]


def graph(**nodes: Any) -> dict[str, Any]:
    return {**a_workflow(), **nodes}


def node(**inputs: Any) -> dict[str, Any]:
    return {"class_type": "ImageInvert", "inputs": inputs}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


BAD: dict[str, tuple[Any, int, str, str]] = {
    "unknown field": (job(nope=1), 422, "invalid_request", "/nope"),
    "no workflow": ({"user_id": USER}, 422, "invalid_request", "/workflow"),
    "no user": ({"workflow": a_workflow()}, 422, "invalid_request", "/user_id"),
    "bad user": (job(user_id="a b"), 422, "invalid_request", "/user_id"),
    "long user": (job(user_id="u" * 129), 422, "invalid_request", "/user_id"),
    "number for a user": (job(user_id=42), 422, "invalid_request", "/user_id"),
    "text for a number": (job(priority="1"), 422, "invalid_request", "/priority"),
    "true for a number": (job(priority=True), 422, "invalid_request", "/priority"),
    "fraction for a number": (job(priority=1.5), 422, "invalid_request", "/priority"),
    "huge priority": (job(priority=10**9), 422, "invalid_request", "/priority"),
    "no time": (job(run_timeout_seconds=0), 422, "invalid_request", "/run_timeout_seconds"),
    "too long": (job(run_timeout_seconds=1e300), 422, "invalid_request", "/run_timeout_seconds"),
    "body is a list": ([], 422, "invalid_request", ""),
    "metadata number": (job(metadata={"a": 1}), 422, "invalid_request", "/metadata/a"),
    "21 metadata": (
        job(metadata={str(n): "" for n in range(21)}),
        422,
        "invalid_request",
        "/metadata",
    ),
    "long metadata": (job(metadata={"a": "x" * 501}), 422, "invalid_request", "/metadata/a"),
    "NUL in metadata": (job(metadata={"a": "\x00"}), 422, "invalid_request", "/metadata/a"),
    "empty workflow": (job(workflow={}), 422, "workflow_invalid", "/workflow"),
    "workflow is text": (job(workflow="{}"), 422, "invalid_request", "/workflow"),
    "editor's format": (
        job(workflow={"nodes": [], "links": [], "version": 0.4}),
        422,
        "workflow_ui_format",
        "/workflow",
    ),
    "node is text": (job(workflow=graph(x="y")), 422, "workflow_invalid", "/workflow/x"),
    "no class": (
        job(workflow=graph(x={"inputs": {}})),
        422,
        "workflow_invalid",
        "/workflow/x/class_type",
    ),
    "no inputs": (
        job(workflow=graph(x={"class_type": "A"})),
        422,
        "workflow_invalid",
        "/workflow/x/inputs",
    ),
    "NUL in a node id": (
        job(workflow=graph(**{"a\x00": node()})),
        422,
        "workflow_invalid",
        "/workflow/a\x00",
    ),
    "cycle": (
        job(workflow=graph(x=node(image=["y", 0]), y=node(image=["x", 0]))),
        422,
        "workflow_cycle",
        "/workflow/x",
    ),
    "dangling link": (
        job(workflow=graph(x=node(image=["77", 0]))),
        422,
        "workflow_dangling_link",
        "/workflow/x/inputs/image",
    ),
    "not a link": (
        job(workflow=graph(x=node(image=["1", 0, 0]))),
        422,
        "workflow_invalid",
        "/workflow/x/inputs/image",
    ),
    "no output": (
        job(workflow={"1": a_workflow()["1"]}),
        422,
        "workflow_no_output",
        "/workflow",
    ),
    "too many nodes": (
        job(workflow={str(n): node() for n in range(1001)}),
        413,
        "workflow_too_large",
        "/workflow",
    ),
    "1 MB workflow": (
        job(workflow=graph(x=node(text="x" * 1_100_000))),
        413,
        "workflow_too_large",
        "/workflow",
    ),
    "11 media": (job(media=media(11)), 422, "media_too_many", "/media"),
    "same name twice": (
        job(media=media(1) + media(1)),
        422,
        "media_invalid",
        "/media/1/name",
    ),
    "folder in a name": (
        job(media=[{"name": "../p.png", "data": PICTURE}]),
        422,
        "media_invalid",
        "/media/0/name",
    ),
    "no source": (job(media=[{"name": "p.png"}]), 422, "invalid_request", "/media/0"),
    "two sources": (job(media=media(1, url="https://x.test")), 422, "invalid_request", "/media/0"),
    "bad base64": (job(media=media(data="***")), 422, "media_not_base64", "/media/0/data"),
    "base64 with spaces": (
        job(media=media(data=f" {PICTURE}")),
        422,
        "media_not_base64",
        "/media/0/data",
    ),
    "text as a picture": (
        job(media=media(data=base64.b64encode(b"hello").decode())),
        422,
        "media_type_refused",
        "/media/0/data",
    ),
    "svg": (
        job(media=media(data=base64.b64encode(b"<svg xmlns='x'/>").decode())),
        422,
        "media_type_refused",
        "/media/0/data",
    ),
    "audio for a picture": (
        job(
            workflow=loading("p0.png"),
            media=media(data=base64.b64encode(b"RIFF0000WAVEfmt ").decode()),
        ),
        422,
        "media_type_refused",
        "/media/0/data",
    ),
    "unknown media": (
        job(workflow=loading("other.png"), media=media()),
        422,
        "media_unknown",
        "/workflow/1/inputs/image",
    ),
    "path for a file": (
        job(workflow=loading("../../secret.png")),
        422,
        "media_unknown",
        "/workflow/1/inputs/image",
    ),
    "number for a file": (
        job(workflow=graph(x={"class_type": "LoadImage", "inputs": {"image": 5}})),
        422,
        "media_unknown",
        "/workflow/x/inputs/image",
    ),
    "by url of this machine": (
        job(media=[{"name": "p.png", "url": "http://localhost:9000/p.png"}]),
        422,
        "url_not_allowed",
        "/media/0/url",
    ),
    "by url of metadata, as the second": (
        job(
            media=[
                {"name": "p.png", "url": "https://example.com/p.png"},
                {"name": "q.png", "url": "http://169.254.169.254/latest/meta-data/"},
            ]
        ),
        422,
        "url_not_allowed",
        "/media/1/url",
    ),
    "by an upload that is none": (
        job(media=[{"name": "p.png", "upload_id": "upl_1"}]),
        422,
        "upload_unknown",
        "/media/0/upload_id",
    ),
    "4 MB inline": (
        job(media=media(data=base64.b64encode(png_bytes() + b"x" * 4_300_000).decode())),
        413,
        "media_too_large",
        "/media",
    ),
}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail", "retryable"} <= problem.keys()
    return problem


@pytest.mark.parametrize("case", BAD)
async def test_bad_request_is_refused_precisely(
    http: httpx.AsyncClient, harness: Harness, case: str
) -> None:
    body, status, code, pointer = BAD[case]
    answer = await http.post("/v1/jobs", json=body)

    problem = assert_problem(answer, status, code)
    assert problem["errors"][0]["pointer"] == pointer
    assert harness.jobs.rows == {}
    assert harness.artifacts.files == {}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{nope", "malformed_json"),
        (b"", "malformed_json"),
        (b'{"user_id": "\xff"}', "malformed_json"),
        (b'{"a": ' * 5000, "malformed_json"),
        (b'{"user_id": "\\ud800"}', "malformed_json"),
    ],
)
async def test_what_is_not_json_is_refused(
    http: httpx.AsyncClient, content: bytes, code: str
) -> None:
    assert_problem(await http.post("/v1/jobs", content=content, headers=JSON), 400, code)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "-1e999"])
async def test_numbers_that_json_has_not_are_refused(http: httpx.AsyncClient, value: str) -> None:
    body = json.dumps(job(workflow=graph(x=node(strength="HERE")))).replace('"HERE"', value)
    answer = await http.post("/v1/jobs", content=body, headers=JSON)
    assert answer.status_code in {400, 422}
    assert_problem(answer, answer.status_code, answer.json()["code"])


async def test_deep_nesting_is_refused_or_stored_but_never_an_error(
    http: httpx.AsyncClient,
) -> None:
    for levels in (100, 190, 300, 2000):
        body = f'{{"user_id": "u", "workflow": {{"1": {{"class_type": "A", "inputs": {"{" * 0}'
        value = '{"a":' * levels + "1" + "}" * levels
        body = f'{{"user_id":"u","workflow":{{"1":{{"class_type":"A","inputs":{{"x":{value}}}}}}}}}'
        answer = await http.post("/v1/jobs", content=body, headers=JSON)
        assert answer.status_code in {202, 400, 422}, (levels, answer.text)


async def test_huge_integers_are_no_error(http: httpx.AsyncClient) -> None:
    for digits in (30, 400, 5000):
        body = json.dumps(job(workflow=graph(x=node(seed="HERE")))).replace('"HERE"', "9" * digits)
        answer = await http.post("/v1/jobs", content=body, headers=JSON)
        assert answer.status_code in {202, 400, 422}, (digits, answer.text)


async def test_body_over_the_limit_is_413(http: httpx.AsyncClient) -> None:
    body = b'{"a":"' + b"x" * (8 * 1024 * 1024) + b'"}'
    assert_problem(await http.post("/v1/jobs", content=body, headers=JSON), 413, "body_too_large")

    async def chunked() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b"x" * 1024 * 1024

    assert_problem(
        await http.post("/v1/jobs", content=chunked(), headers=JSON), 413, "body_too_large"
    )


async def test_length_that_no_number_holds_is_a_body_too_large(http: httpx.AsyncClient) -> None:
    # uvicorn's parser refuses it; other servers hand it on.
    headers = {**JSON, "Content-Length": "9" * 5_000}
    answer = await http.post("/v1/jobs", content=b"{}", headers=headers)
    assert_problem(answer, 413, "body_too_large")


async def test_caller_who_goes_away_is_no_crash(harness: Harness) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    token = f"Bearer {TEST_KEY}".encode()
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"},
        **{"path": "/v1/jobs", "raw_path": b"/v1/jobs", "query_string": b"", "root_path": ""},
        **{"scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)},
        "headers": [(b"authorization", token), (b"content-type", b"application/json")],
    }
    await harness.api(scope, receive, send)  # type: ignore[arg-type]
    assert sent == []


async def test_body_must_be_sent_as_json(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/jobs", content=json.dumps(job()), headers={"Content-Type": "text/plain"}
    )
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9"])
async def test_bad_idempotency_key_is_refused(http: httpx.AsyncClient, key: str) -> None:
    answer = await http.post(
        "/v1/jobs", json=job(), headers={"Idempotency-Key": key.encode("latin-1")}
    )
    assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"status": "nope"},
        {"created_after": "yesterday"},
        {"created_after": "1764252000"},
        {"created_before": "0.5"},
        {"created_after": "2026-01-01T00:00:00"},
        {"created_before": "9999-12-31T23:59:59-14:00"},
        {"created_after": "0001-01-01T00:00:00+14:00"},
        {"user_id": "a b"},
    ],
)
async def test_bad_listing_is_refused(http: httpx.AsyncClient, params: dict[str, str]) -> None:
    answer = await http.get("/v1/jobs", params={"user_id": USER, **params})
    problem = assert_problem(answer, 422, "invalid_request")
    assert problem["errors"][0]["pointer"].startswith(f"/{next(iter(params))}")


async def test_foreign_and_garbled_cursors_are_refused(http: httpx.AsyncClient) -> None:
    for _ in range(3):
        await http.post("/v1/jobs", json=job())
    mine = {"user_id": USER, "limit": "1"}
    cursor = (await http.get("/v1/jobs", params=mine)).json()["next_cursor"]
    foreign = [
        {**mine, "user_id": "u_other", "cursor": cursor},
        {"limit": "1", "cursor": cursor},
        {**mine, "status": "queued", "cursor": cursor},
        {**mine, "cursor": cursor[:-2]},
        {**mine, "cursor": "x"},
        {**mine, "cursor": "é" * 40},
        {**mine, "cursor": ""},
    ]
    for params in foreign:
        assert_problem(await http.get("/v1/jobs", params=params), 422, "invalid_cursor")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/{id}"),
        ("DELETE", "/v1/jobs/{id}"),
        ("POST", "/v1/jobs/{id}/cancel"),
        ("GET", "/v1/jobs/{id}/outputs/out_1"),
    ],
)
async def test_foreign_is_answered_as_missing_to_the_byte(
    http: httpx.AsyncClient, harness: Harness, method: str, path: str
) -> None:
    made = (await http.post("/v1/jobs", json=job())).json()["id"]
    await harness.run_one()
    same = {"X-Request-Id": "same-request-id"}
    answers = [
        await http.request(method, path.format(id=job_id), params={"user_id": user}, headers=same)
        for job_id, user in [
            (made, "u_other"),
            ("job_01kb3v9m2xf0wtq7m8e5n4d3rc", USER),
            ("not-an-id", USER),
            (made.upper(), USER),
            (made.replace("job_", "out_"), USER),
        ]
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1


async def test_without_a_valid_key_there_is_nothing(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v1/jobs", json=job())).json()["id"]
    for header in ("", "Bearer", "Bearer ", "Bearer wrong", "Basic abc", "Bearer a b"):
        answer = await http.get(
            f"/v1/jobs/{made}", params={"user_id": USER}, headers={"Authorization": header}
        )
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_unknown_routes_and_methods_are_problems(http: httpx.AsyncClient) -> None:
    assert_problem(await http.get("/nope"), 404, "not_found")
    answer = await http.put("/v1/jobs")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


async def test_crash_is_a_problem_that_tells_nothing(
    http: httpx.AsyncClient, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(harness.jobs, "within", broken)
    answer = await http.get("/v1/jobs/job_01kb3v9m2xf0wtq7m8e5n4d3rc", params={"user_id": USER})

    assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text


async def test_request_id_is_taken_or_made(http: httpx.AsyncClient) -> None:
    taken = await http.get("/livez", headers={"X-Request-Id": "abc-12345"})
    assert taken.headers["x-request-id"] == "abc-12345"
    for bad in ("short", "x" * 65, "with space 1"):
        made = await http.get("/livez", headers={"X-Request-Id": bad})
        assert made.headers["x-request-id"].startswith("req_")
