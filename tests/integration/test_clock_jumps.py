"""Clocks that are set forward or back under a running system: on fakes and on Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from genjobs.testing import a_workflow
from tests.postgres import Database
from tests.row_checks import ALL_BROKEN
from tests.worlds import World, memory_world, postgres_world

HOUR = timedelta(hours=1)
USER = {"user_id": "u_1"}
JUMPS = [-HOUR, timedelta(days=2)]


@pytest.fixture(params=["memory", "postgres"])
async def world(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[World]:
    opened = memory_world() if request.param == "memory" else postgres_world(database)
    async with opened as found:
        found.clock.advance(timedelta(days=10))
        yield found
    assert await database.execute(ALL_BROKEN) == []


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(await world.key("site")) as client:
        yield client


async def submit(http: httpx.AsyncClient, **headers: str) -> dict[str, Any]:
    body = {**USER, "workflow": a_workflow()}
    answer = await http.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def read(http: httpx.AsyncClient, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(job["urls"]["self"], params=USER)).json()
    return found


def seconds(job: dict[str, Any]) -> list[float]:
    return [value for value in job["timings"].values() if value is not None]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_job_that_waits_is_run_and_read(
    world: World, http: httpx.AsyncClient, jump: timedelta
) -> None:
    made = await submit(http, **{"Idempotency-Key": "order-1"})
    world.clock.jump(jump)
    assert await world.run_one()
    job = await read(http, made)
    assert job["status"] == "completed"
    assert min(seconds(job)) >= 0, job["timings"]
    [output] = job["outputs"]
    expires = datetime.fromisoformat(output["url_expires_at"])
    assert timedelta(0) < expires - world.clock.now() <= HOUR
    path = output["url"].removeprefix("http://genjobs.test")
    async with world.client() as nobody:
        assert (await nobody.get(path)).status_code == 200
    if jump < timedelta(days=1):  # a key lives a day
        again = await submit(http, **{"Idempotency-Key": "order-1"})
        assert again["id"] == made["id"]


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_job_that_runs_is_left_alone_and_can_be_cancelled(
    world: World, http: httpx.AsyncClient, jump: timedelta
) -> None:
    world.engine.script.gate = asyncio.Event()
    made, other = await submit(http), await submit(http)
    await world.supervisor.tick()
    running = asyncio.create_task(world.run_one())
    await world.engine.begun.wait()
    world.clock.jump(jump)
    for _ in range(2):
        assert (await world.supervisor.tick()).rescued == 0
        world.clock.advance(timedelta(seconds=5))
    job = await read(http, made)
    assert (job["status"], job["attempt"]) == ("running", 1)
    answer = await http.delete(made["urls"]["self"], params=USER)
    assert answer.status_code == 202
    async with asyncio.timeout(20):
        await running
    job = await read(http, made)
    assert job["status"] == "cancelled"
    assert min(seconds(job), default=0) >= 0
    assert (job["cancellation"]["gpu_seconds_after_request"] or 0) >= 0
    # Half an hour of waiting is over when the clock says so; nothing else ends the other one.
    waiting = await read(http, other)
    assert waiting["status"] == ("failed" if jump > HOUR / 2 else "queued")


@pytest.mark.parametrize("jump", JUMPS, ids=str)
async def test_listing_shows_each_job_once(
    world: World, http: httpx.AsyncClient, jump: timedelta
) -> None:
    made = {(await submit(http))["id"] for _ in range(3)}
    world.clock.jump(jump)
    made |= {(await submit(http))["id"] for _ in range(3)}
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await http.get("/v1/jobs", params={**USER, "limit": 2, **cursor})).json()
        seen += [job["id"] for job in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(seen) == sorted(made)


async def test_supervision_goes_on_after_the_clock_was_set_back(
    world: World, http: httpx.AsyncClient
) -> None:
    await world.supervisor.tick()
    world.clock.jump(-HOUR)
    made = await submit(http)
    await world.supervise_for(timedelta(minutes=29))
    assert (await read(http, made))["status"] == "queued"
    await world.supervise_for(timedelta(minutes=2))
    job = await read(http, made)
    assert (job["status"], job["error"]["code"]) == ("failed", "queue_timeout")
    second = await submit(http)
    await world.run_one()
    assert (await read(http, second))["status"] == "completed"
