"""The example of a site's backend against answers that a small demo does not give."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from examples.site_backend import Refused, ask, follow, submit
from genjobs.api.examples import JOB
from tests.documented import DOCUMENT

Answers = Iterator[httpx.Response | Exception]


def problem(code: str, **headers: str) -> httpx.Response:
    """Return a refusal as the document shows it."""
    for operations in DOCUMENT["components"]["responses"].values():
        content = operations["content"]["application/problem+json"]
        if code in content["examples"]:
            body = content["examples"][code]["value"]
            return httpx.Response(
                body["status"],
                content=json.dumps(body),
                headers={"Content-Type": "application/problem+json", **headers},
            )
    raise AssertionError(code)


def site(*answers: httpx.Response | Exception) -> tuple[httpx.Client, list[httpx.Request]]:
    """Return a client that gets these answers, in turn, and what it asks."""
    left, asked = list(answers), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return httpx.Client(
        transport=httpx.MockTransport(answer), base_url="http://genjobs.test"
    ), asked


NOW = {"Retry-After": "0"}
#: Each with a request that may be repeated after it.
PASSING: dict[str, Callable[[], httpx.Response | Exception]] = {
    "409": lambda: problem("user_being_erased", **NOW),
    "429": lambda: problem("rate_limited", **NOW),
    "503": lambda: problem("unavailable", **NOW),
    "a proxy's 502": lambda: httpx.Response(502, html="<h1>Bad gateway</h1>", headers=NOW),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_waited_for_with_the_same_key(name: str) -> None:
    http, asked = site(PASSING[name](), PASSING[name](), httpx.Response(202, json=JOB))
    assert submit(http, "u_42", "order-1", {}) == JOB["id"]
    assert {request.headers["idempotency-key"] for request in asked} == {"order-1"}
    assert len({request.content for request in asked}) == 1
    assert len(asked) == 3


@pytest.mark.parametrize("code", ["workflow_cycle", "idempotency_mismatch", "unauthenticated"])
def test_what_stays_refused_is_told_at_once(code: str) -> None:
    http, asked = site(problem(code))
    with pytest.raises(Refused) as refused:
        submit(http, "u_42", "order-1", {})
    assert refused.value.problem["code"] == code
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem("quota_exceeded", **{"Retry-After": "40000"}), "quota_exceeded"),
        (httpx.ConnectError("refused"), "unreachable"),
    ],
    ids=str,
)
def test_nobody_is_kept_waiting_for_long(answer: httpx.Response | Exception, code: str) -> None:
    http, asked = site(answer)
    with pytest.raises(Refused) as refused:
        ask(http, "GET", "/v1/usage", seconds=0.5)
    assert refused.value.problem["code"] == code
    assert len(asked) == 1


def test_unchanged_job_is_not_told_again_and_its_end_ends_it() -> None:
    def job(status: str, etag: str) -> httpx.Response:
        body: dict[str, Any] = {**JOB, "status": status}
        return httpx.Response(200, json=body, headers={"ETag": etag, **NOW})

    unchanged = httpx.Response(304, headers={"ETag": 'W/"1"', **NOW})
    http, asked = site(job("queued", 'W/"1"'), unchanged, job("completed", 'W/"2"'))
    assert [job["status"] for job in follow(http, "u_42", "job_1")] == ["queued", "completed"]
    matched = [request.headers.get("if-none-match") for request in asked]
    assert matched == [None, 'W/"1"', 'W/"1"']
