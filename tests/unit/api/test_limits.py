"""Limits as a caller meets them: codes, waiting times, what is left, and what costs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.tenancy import Owner, Scope
from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine import loading
from tests.structured_fields import parse
from tests.two_tenants import PICTURE
from tests.worlds import World, memory_world

USER = "u_1"
SECOND = timedelta(seconds=1)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with memory_world(requests_per_second=5, user_requests_per_second=4) as opened:
        yield opened


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(await world.key("limited")) as client:
        yield client


async def submit(http: httpx.AsyncClient, user: str = USER, **parts: Any) -> httpx.Response:
    headers = parts.pop("headers", {})
    body = {"user_id": user, "workflow": a_workflow(), **parts}
    return await http.post("/v1/jobs", json=body, headers=headers)


def assert_limited(answer: httpx.Response, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (429, code), answer.text
    assert problem["retryable"] is True
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    return problem


def left(answer: httpx.Response, policy: str) -> int:
    """Return what the fields say is left, and check that they make sense."""
    said = parse(answer.headers["ratelimit"])[policy]
    assert said["r"] >= 0
    assert said["t"] >= 0
    if "ratelimit-policy" in answer.headers:
        rule = parse(answer.headers["ratelimit-policy"])[policy]
        assert said["r"] <= rule["q"]
        assert said["t"] <= rule["w"] + 1
    return said["r"]


# -- submits ----------------------------------------------------------------------------------


async def test_submits_over_the_rate_wait_as_they_are_told(
    world: World, http: httpx.AsyncClient
) -> None:
    await world.arrange.set_plan(world.tenants[0], "slow", submits_per_second=0.25, submit_burst=3)
    rests = [left(await submit(http, plan="slow"), "submits") for _ in range(3)]
    assert rests == [2, 1, 0]
    refused = await submit(http)
    assert_limited(refused, "rate_limited")
    assert refused.headers["retry-after"] == "4"
    assert left(refused, "submits") == 0

    world.clock.advance(3.999 * SECOND)
    assert_limited(await submit(http), "rate_limited")
    world.clock.advance(0.001 * SECOND)
    assert (await submit(http)).status_code == 202


async def test_full_queue_and_used_up_day_have_codes_of_their_own(
    world: World, http: httpx.AsyncClient
) -> None:
    await world.arrange.set_plan(world.tenants[0], "one", max_queued=1)
    await world.arrange.set_plan(world.tenants[0], "daily", jobs_per_day=1)
    await submit(http, plan="one")
    assert_limited(await submit(http), "queue_full")
    await submit(http, "u_2", plan="daily")
    over = await submit(http, "u_2")
    assert_limited(over, "quota_exceeded")
    assert int(over.headers["retry-after"]) == 86_400  # the clock stands at midnight
    world.clock.advance(timedelta(days=1))
    assert (await submit(http, "u_2")).status_code == 202


@pytest.mark.parametrize(
    ("limit", "most", "asked"),
    [
        ("max_priority", 3, {"priority": 4}),
        ("max_run_seconds", 60, {"run_timeout_seconds": 61}),
        ("max_retention_seconds", 3600, {"retention_seconds": 3601}),
    ],
)
async def test_beyond_the_plan_is_refused_with_a_pointer(
    world: World, http: httpx.AsyncClient, limit: str, most: int, asked: dict[str, int]
) -> None:
    await world.arrange.set_plan(world.tenants[0], "small", **{limit: most})
    [(name, value)] = asked.items()
    refused = await submit(http, plan="small", **asked)
    assert (refused.status_code, refused.json()["code"]) == (422, "plan_limit")
    assert refused.json()["errors"][0]["pointer"] == f"/{name}"
    assert (await submit(http, plan="small", **{name: value - 1})).status_code == 202


@pytest.mark.parametrize("plan", ["none", "UPPER", "", "a" * 41, "../x", "a b", "\u0000"])
async def test_plan_that_is_not_there_is_refused_with_a_pointer(
    http: httpx.AsyncClient, plan: str
) -> None:
    refused = await submit(http, plan=plan)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_plan")
    assert refused.json()["errors"][0]["pointer"] == "/plan"


async def test_refused_submit_leaves_no_file_and_burns_no_key(
    world: World, http: httpx.AsyncClient
) -> None:
    await world.arrange.set_plan(
        world.tenants[0], "one", submits_per_second=0.1, submit_burst=1, max_priority=0
    )
    await submit(http, plan="one")
    key = {"Idempotency-Key": "k"}
    picture: dict[str, Any] = {"workflow": loading(), "media": [PICTURE]}
    for _ in range(2):  # refused by the database, and by what is remembered of that
        assert_limited(await submit(http, headers=key, **picture), "rate_limited")
    assert (await submit(http, headers=key, plan="none", **picture)).json()["code"] == (
        "unknown_plan"
    )
    assert world.artifacts.files == {}

    world.clock.advance(10 * SECOND)
    other = await submit(http, headers=key, metadata={"a": "b"})
    assert other.status_code == 202
    assert "idempotency-replayed" not in other.headers


async def test_replay_costs_nothing_and_is_never_refused(
    world: World, http: httpx.AsyncClient
) -> None:
    await world.arrange.set_plan(
        world.tenants[0],
        "one",
        submits_per_second=0.01,
        submit_burst=1,
        max_queued=1,
        jobs_per_day=1,
    )
    key = {"Idempotency-Key": "k"}
    first = await submit(http, headers=key, plan="one")
    refused = await submit(http)
    assert refused.status_code == 429
    for _ in range(5):
        again = await submit(http, headers=key, plan="one")
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        assert again.headers["idempotency-replayed"] == "true"
    used = (await http.get("/v1/usage", params={"user_id": USER})).json()
    assert used["user"]["used"]["jobs_today"] == 1


async def test_better_plan_is_not_denied_by_what_is_remembered_of_the_old_one(
    world: World, http: httpx.AsyncClient
) -> None:
    tenant = world.tenants[0]
    await world.arrange.set_plan(tenant, "slow", submits_per_second=0.01, submit_burst=1)
    await world.arrange.set_plan(tenant, "fast", submits_per_second=1000.0, submit_burst=1000)
    await submit(http, plan="slow")
    assert_limited(await submit(http), "rate_limited")
    assert (await submit(http, plan="fast")).status_code == 202
    assert (await submit(http)).status_code == 202  # the plan is the user's now


async def test_plan_that_is_changed_is_effective_within_five_seconds(
    world: World, http: httpx.AsyncClient
) -> None:
    tenant = world.tenants[0]
    await world.arrange.set_plan(tenant, "plan", submits_per_second=0.01, submit_burst=1)
    await submit(http, plan="plan")
    assert_limited(await submit(http), "rate_limited")
    await world.arrange.set_plan(tenant, "plan", submits_per_second=100.0, submit_burst=100)
    world.clock.advance(5 * SECOND)
    assert (await submit(http)).status_code == 202


async def test_class_that_a_tenant_does_without_is_refused_to_it_alone(
    world: World, http: httpx.AsyncClient
) -> None:
    assert (await submit(http)).status_code == 202
    await world.arrange.narrow(world.tenants[0], Narrowing(denied=frozenset({"ImageInvert"})))
    world.clock.advance(5 * SECOND)
    refused = await submit(http)
    assert (refused.status_code, refused.json()["code"]) == (422, "workflow_node_not_allowed")
    async with world.client(await world.key("other", tenant=1)) as other:
        assert (await submit(other)).status_code == 202


# -- other requests ---------------------------------------------------------------------------


async def test_requests_over_the_rate_wait_as_they_are_told(
    world: World, http: httpx.AsyncClient
) -> None:
    params = {"user_id": USER}
    rests = [left(await http.get("/v1/jobs", params=params), "requests") for _ in range(10)]
    assert rests == list(range(9, -1, -1))
    refused = await http.get("/v1/jobs", params=params)
    assert_limited(refused, "rate_limited")
    assert left(refused, "requests") == 0
    assert "ratelimit-policy" in refused.headers
    world.clock.advance(0.2 * SECOND)
    assert (await http.get("/v1/jobs", params=params)).status_code == 200


async def test_submits_are_of_no_bucket_but_their_own(
    world: World, http: httpx.AsyncClient
) -> None:
    for _ in range(30):
        assert (await submit(http)).status_code == 202
    answer = await http.get("/v1/usage", params={"user_id": USER})
    assert left(answer, "requests") == 9
    for _ in range(9):
        await http.get("/v1/usage", params={"user_id": USER})
    assert_limited(await http.get("/v1/usage", params={"user_id": USER}), "rate_limited")
    assert (await submit(http)).status_code == 202


async def test_not_modified_costs_a_tenth(world: World, http: httpx.AsyncClient) -> None:
    path = (await submit(http)).json()["urls"]["self"]
    params = {"user_id": USER}
    etag = (await http.get(path, params=params)).headers["etag"]
    for _ in range(80):
        answer = await http.get(path, params=params, headers={"If-None-Match": etag})
        assert answer.status_code == 304
    assert left(answer, "requests") == 1


async def test_keys_and_end_users_have_buckets_of_their_own(
    world: World, http: httpx.AsyncClient
) -> None:
    tokens = [
        (await http.post("/v1/tokens", json={"user_id": user})).json()["token"]
        for user in (USER, USER, "u_2")
    ]
    clients = [world.client(token) for token in tokens]
    for _ in range(8):
        assert (await clients[0].get("/v1/jobs")).status_code == 200
    assert_limited(await clients[1].get("/v1/jobs"), "rate_limited")  # the same user
    assert left(await clients[2].get("/v1/jobs"), "requests") == 7
    assert left(await http.get("/v1/jobs"), "requests") == 6
    async with world.client(await world.key("second")) as second:
        assert left(await second.get("/v1/jobs"), "requests") == 9
    for client in clients:
        await client.aclose()


async def test_failures_of_one_address_are_limited_and_others_are_not(
    world: World, http: httpx.AsyncClient
) -> None:
    await http.get("/v1/jobs", params={"user_id": USER})
    async with world.client("gj_wrong") as wrong, world.client("gj_wrong", address="::2") as other:
        answers = [await wrong.get("/v1/jobs") for _ in range(31)]
        assert {answer.status_code for answer in answers[:30]} == {401}
        assert_limited(answers[30], "rate_limited")
        assert (await other.get("/v1/jobs")).status_code == 401
    # A key that is known passes from the very same address.
    assert (await http.get("/v1/jobs", params={"user_id": USER})).status_code == 200


# -- usage ------------------------------------------------------------------------------------

LIMITS = {
    *("submits_per_second", "submit_burst", "max_queued", "max_in_flight", "jobs_per_day"),
    *("bytes_per_day", "max_priority", "max_run_seconds", "retention_seconds"),
    *("max_retention_seconds", "weight", "max_uploads", "browser_writes"),
}
USED = {"queued", "in_flight", "jobs_today", "bytes_today", "uploads"}


async def test_usage_tells_each_caller_what_is_theirs_to_know(
    world: World, http: httpx.AsyncClient
) -> None:
    await world.arrange.set_plan(world.tenants[0], "pro", max_queued=7)
    await submit(http, plan="pro")
    await submit(http, "u_2")
    user = {"user_id": USER}
    both = (await http.get("/v1/usage", params=user)).json()
    whole = (await http.get("/v1/usage")).json()
    async with world.client(await world.key("narrow", Scope.JOBS_READ)) as narrow:
        unnamed = await narrow.get("/v1/usage")
        part = (await narrow.get("/v1/usage", params=user)).json()
    token = (await http.post("/v1/tokens", json=user)).json()["token"]
    async with world.client(token) as browser:
        mine = (await browser.get("/v1/usage")).json()
        others = await browser.get("/v1/usage", params={"user_id": "u_2"})

    assert set(both) == {"object", "tenant", "user"}
    assert both["object"] == "usage"
    assert set(both["user"]) == {"plan", "limits", "used"}
    assert set(both["tenant"]) == {"limits", "used"}
    for part_of in (both["user"], both["tenant"]):
        assert set(part_of["limits"]) == LIMITS
        assert set(part_of["used"]) == USED
    assert (both["user"]["plan"], both["user"]["limits"]["max_queued"]) == ("pro", 7)
    assert (both["user"]["used"]["queued"], both["tenant"]["used"]["queued"]) == (1, 2)
    assert (whole["user"], whole["tenant"]) == (None, both["tenant"])
    assert (unnamed.status_code, unnamed.json()["errors"][0]["pointer"]) == (422, "/user_id")
    assert part == mine == {"object": "usage", "tenant": None, "user": both["user"]}
    assert (others.status_code, others.json()["code"]) == (404, "not_found")


async def test_usage_of_a_user_who_never_came_is_nothing(http: httpx.AsyncClient) -> None:
    user = (await http.get("/v1/usage", params={"user_id": "u_new"})).json()["user"]
    assert user["plan"] is None
    assert set(user["used"].values()) == {0}


# -- tokens -----------------------------------------------------------------------------------


@pytest.fixture
async def browser(world: World, http: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """What a token of u_1 reaches, one that may submit."""
    owner = Owner(tenant_id=world.tenants[0], user_id=USER)
    await world.arrange.set_plan(owner.tenant_id, "web", browser_writes=True, max_queued=3)
    await world.arrange.assign(owner, "web")
    wanted = {"user_id": USER, "ttl_seconds": 60, "scopes": ["jobs:read", "jobs:write"]}
    made = await http.post("/v1/tokens", json=wanted)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert set(made.json()) == {"object", "token", "user_id", "scopes", "expires_at"}
    assert made.json()["scopes"] == wanted["scopes"]
    async with world.client(made.json()["token"]) as client:
        yield client


async def test_token_submits_within_the_limits_of_its_user(browser: httpx.AsyncClient) -> None:
    made = await browser.post("/v1/jobs", json={"workflow": a_workflow()})
    assert (made.status_code, made.json()["user_id"]) == (202, USER)
    for _ in range(2):
        await browser.post("/v1/jobs", json={"workflow": a_workflow(), "user_id": USER})
    full = await browser.post("/v1/jobs", json={"workflow": a_workflow()})
    assert_limited(full, "queue_full")


async def test_token_reaches_no_other_user_and_nothing_of_the_tenant(
    browser: httpx.AsyncClient, http: httpx.AsyncClient
) -> None:
    other = (await submit(http, "u_2")).json()
    theirs = {"user_id": "u_2"}
    for answer in (
        await browser.get("/v1/jobs", params=theirs),
        await browser.get("/v1/usage", params=theirs),
        await browser.get(other["urls"]["self"], params=theirs),
        await browser.get(other["urls"]["self"]),
        await browser.delete(other["urls"]["self"], params=theirs),
        await browser.post("/v1/jobs", json={"workflow": a_workflow(), **theirs}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    listed = (await http.get("/v1/jobs", params=theirs)).json()["data"]
    assert [job["status"] for job in listed] == ["queued"]


async def test_token_makes_no_tokens_and_names_no_plan(browser: httpx.AsyncClient) -> None:
    for answer in (
        await browser.post("/v1/tokens", json={"user_id": USER}),
        await browser.post("/v1/jobs", json={"workflow": a_workflow(), "plan": "web"}),
        await browser.post("/v1/jobs", json={"workflow": a_workflow(), "plan": "none"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


@pytest.mark.parametrize(
    ("wrong", "code", "pointer"),
    [
        ({"ttl_seconds": 29}, "invalid_request", "/ttl_seconds"),
        ({"ttl_seconds": 3601}, "invalid_request", "/ttl_seconds"),
        ({"ttl_seconds": 60.5}, "invalid_request", "/ttl_seconds"),
        ({"ttl_seconds": 10**400}, "invalid_request", "/ttl_seconds"),
        ({"ttl_seconds": "60"}, "invalid_request", "/ttl_seconds"),
        ({"user_id": "a b"}, "invalid_request", "/user_id"),
        ({"user_id": None}, "invalid_request", "/user_id"),
        ({"scopes": []}, "invalid_request", "/scopes"),
        ({"scopes": ["tenant:read"]}, "invalid_request", "/scopes"),
        ({"scopes": ["jobs:read", "tokens:write"]}, "invalid_request", "/scopes"),
        ({"scopes": ["nobody:knows"]}, "invalid_request", "/scopes/0"),
        ({"scopes": ["jobs:write"]}, "plan_limit", "/scopes"),
        ({"aud": "x"}, "invalid_request", "/aud"),
    ],
)
async def test_token_that_may_not_be_is_refused_with_a_pointer(
    http: httpx.AsyncClient, wrong: dict[str, Any], code: str, pointer: str
) -> None:
    import json

    body = json.dumps({"user_id": USER, **wrong})
    answer = await http.post(
        "/v1/tokens", content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
