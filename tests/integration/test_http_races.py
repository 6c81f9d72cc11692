"""Many requests at once, over HTTP on Postgres: no limit is passed, no key makes two jobs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from genjobs.domain.tenancy import Owner
from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine import loading
from tests.postgres import Database
from tests.two_tenants import PICTURE
from tests.worlds import World, postgres_world

RETRIES = 20


@pytest.fixture
async def worlds(database: Database) -> AsyncIterator[tuple[World, World]]:
    """Two processes of the API, as good as: nothing is shared but the database and the time."""
    async with (
        postgres_world(database) as first,
        postgres_world(database, tenants=first.tenants, clock=first.clock) as second,
    ):
        yield first, second


async def post(http: httpx.AsyncClient, body: dict[str, Any], **headers: str) -> httpx.Response:
    return await http.post("/v1/jobs", json=body, headers=headers)


async def jobs_of(database: Database) -> int:
    [row] = await database.execute("SELECT count(*) AS n FROM genjobs.jobs")
    count: int = row["n"]
    return count


@pytest.mark.parametrize("limit", ["max_queued", "jobs_per_day", "submits"])
async def test_two_hundred_submits_get_fifty_past_a_cap_of_fifty(
    database: Database, worlds: tuple[World, World], limit: str
) -> None:
    changes = (
        {"submits_per_second": 0.001, "submit_burst": 50} if limit == "submits" else {limit: 50}
    )
    await worlds[0].arrange.set_limits(worlds[0].tenants[0], **changes)
    token = await worlds[0].key("racing")
    async with worlds[0].client(token) as first, worlds[1].client(token) as second:
        answers = await asyncio.gather(
            *(
                post(
                    (first, second)[n % 2],
                    {"user_id": f"u_{n % 7}", "workflow": loading(), "media": [PICTURE]},
                )
                for n in range(200)
            )
        )
        used = (await first.get("/v1/usage")).json()["tenant"]["used"]

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {202: 50, 429: 150}
    code = {"max_queued": "queue_full", "jobs_per_day": "quota_exceeded"}.get(limit, "rate_limited")
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.json()["code"] for answer in refused} == {code}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert await jobs_of(database) == 50
    assert (used["queued"], used["jobs_today"]) == (50, 50)
    # What was refused left no file behind.
    assert sum(len(world.artifacts.files) for world in worlds) == 50


async def test_cap_of_one_user_holds_too(database: Database, worlds: tuple[World, World]) -> None:
    owner = Owner(tenant_id=worlds[0].tenants[0], user_id="u_1")
    await worlds[0].arrange.set_plan(owner.tenant_id, "ten", max_queued=10)
    await worlds[0].arrange.assign(owner, "ten")
    token = await worlds[0].key("racing")
    async with worlds[0].client(token) as first, worlds[1].client(token) as second:
        body = {"user_id": owner.user_id, "workflow": a_workflow()}
        answers = await asyncio.gather(*(post((first, second)[n % 2], body) for n in range(60)))
    assert Counter(answer.status_code for answer in answers) == {202: 10, 429: 50}
    assert await jobs_of(database) == 10


async def test_thousand_calls_with_one_key_make_one_job(
    database: Database, worlds: tuple[World, World]
) -> None:
    token = await worlds[0].key("racing")
    body = {"user_id": "u_1", "workflow": a_workflow()}
    key = {"Idempotency-Key": "one"}
    async with worlds[0].client(token) as first, worlds[1].client(token) as second:
        clients = first, second
        answers = await asyncio.gather(*(post(clients[n % 2], body, **key) for n in range(1000)))
        busy = [answer for answer in answers if answer.status_code == 503]
        settled = [answer for answer in answers if answer.status_code == 202]
        assert len(busy) + len(settled) == 1000, Counter(a.status_code for a in answers)
        for answer in busy:
            assert int(answer.headers["retry-after"]) >= 1
            for _ in range(RETRIES):
                again = await post(first, body, **key)
                if again.status_code == 202:
                    break
            settled.append(again)
    print(f"{len(busy)} of 1000 were told to try again")
    assert {answer.status_code for answer in settled} == {202}
    assert len({answer.json()["id"] for answer in settled}) == 1
    assert len({answer.headers["location"] for answer in settled}) == 1
    made = [answer for answer in settled if "idempotency-replayed" not in answer.headers]
    assert len(made) <= 1
    assert await jobs_of(database) == 1


async def test_one_key_of_many_users_makes_a_job_for_each(
    database: Database, worlds: tuple[World, World]
) -> None:
    tokens = [await worlds[0].key("a"), await worlds[0].key("b", tenant=1)]
    async with worlds[0].client(tokens[0]) as a, worlds[1].client(tokens[1]) as b:
        answers = await asyncio.gather(
            *(
                post(
                    http,
                    {"user_id": f"u_{n % 5}", "workflow": a_workflow()},
                    **{"Idempotency-Key": "one"},
                )
                for n in range(50)
                for http in (a, b)
            )
        )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 10
    assert await jobs_of(database) == 10


async def test_cancels_and_submits_at_once_keep_the_counts_right(
    database: Database, worlds: tuple[World, World]
) -> None:
    await worlds[0].arrange.set_limits(worlds[0].tenants[0], max_queued=20)
    token = await worlds[0].key("racing")
    async with worlds[0].client(token) as first, worlds[1].client(token) as second:

        async def come_and_go(n: int) -> None:
            http = (first, second)[n % 2]
            user = {"user_id": f"u_{n % 3}"}
            made = await post(http, {**user, "workflow": a_workflow()})
            if made.status_code == 202:
                gone = await http.delete(made.json()["urls"]["self"], params=user)
                assert gone.status_code == 200

        await asyncio.gather(*(come_and_go(n) for n in range(120)))
        used = (await first.get("/v1/usage")).json()["tenant"]["used"]
    assert (used["queued"], used["in_flight"]) == (0, 0)
