"""Everything through PgBouncer in transaction mode: few connections of the server, many of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from genjobs.adapters.postgres import Pool, open_pool
from genjobs.adapters.postgres.pool import connect_arguments, session_arguments
from genjobs.application.supervise import TICK
from genjobs.domain.errors import Unavailable
from genjobs.domain.tenancy import Scope
from genjobs.testing import a_workflow, an_owner
from tests.doctoring import codes, findings
from tests.integration.test_postgres_races import check, make_world
from tests.pgbouncer import Bouncer, bouncing, needs_pgbouncer
from tests.postgres import Database
from tests.worlds import World, postgres_world

pytestmark = needs_pgbouncer
USER = "u_1"


@pytest.fixture
async def bouncer(database: Database) -> AsyncIterator[Bouncer]:
    async with bouncing(database) as opened:
        yield opened


async def served(database: Database) -> int:
    """Return how many connections the server has from our logins."""
    [row] = await database.execute(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = $1 "
        "AND usename IN ('genjobs_api', 'genjobs_worker')",
        database.name,
    )
    return int(row["n"])


async def submit(world: World, key: str, user: str = USER) -> str:
    async with world.client(key) as http:
        answer = await http.post("/v1/jobs", json={"user_id": user, "workflow": a_workflow()})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


async def read(world: World, key: str, job: str, user: str = USER) -> tuple[int, dict[str, Any]]:
    async with world.client(key) as http:
        answer = await http.get(f"/v1/jobs/{job}", params={"user_id": user})
        return answer.status_code, answer.json()


async def test_jobs_of_two_tenants_live_their_whole_lives(bouncer: Bouncer) -> None:
    async with postgres_world(bouncer.database) as world:
        keys = [await world.key(f"key {n}", tenant=n) for n in (0, 1)]
        jobs = [[await submit(world, key) for _ in range(3)] for key in keys]
        for key, mine, theirs in ((keys[0], *jobs), (keys[1], *reversed(jobs))):
            async with world.client(key) as http:
                listed = (await http.get("/v1/jobs", params={"user_id": USER})).json()
                cancelled = await http.delete(f"/v1/jobs/{mine[2]}", params={"user_id": USER})
            assert {job["id"] for job in listed["data"]} == set(mine)
            assert cancelled.json()["status"] == "cancelled"
            assert [(await read(world, key, job))[0] for job in theirs] == [404] * 3
        while await world.run_one():
            await world.supervisor.tick()
        for key, mine in zip(keys, jobs, strict=True):
            ends = [(await read(world, key, job))[1] for job in mine]
            assert [job["status"] for job in ends] == ["completed", "completed", "cancelled"]
            assert all(job["outputs"][0]["url"] for job in ends[:2])
        await world.supervise_for(2 * TICK)
        erased = await world.key("erases", Scope.USERS_ERASE)
        async with world.client(erased) as http:
            assert (await http.delete(f"/v1/users/{USER}")).status_code == 202
        await world.supervisor.tick()
        assert (await read(world, keys[0], jobs[0][0]))[0] == 404
        assert (await read(world, keys[1], jobs[1][0]))[0] == 200
    assert await served(bouncer.database) <= bouncer.size


async def test_fifty_clients_share_four_connections(bouncer: Bouncer, database: Database) -> None:
    owners = [an_owner(), an_owner()]
    for owner in owners:
        await database.make_tenant(owner.tenant_id)
    async with AsyncExitStack() as stack:
        pools: list[tuple[Pool, Pool]] = [
            (
                await stack.enter_async_context(open_pool(bouncer.database.api, size=1)),
                await stack.enter_async_context(open_pool(bouncer.database.worker, size=1)),
            )
            for _ in range(25)
        ]
        # One walk over all of them: each step takes the next client's pools.
        world = make_world(pools[0], owners, seed=5)
        walks = [make_world(pair, owners, seed=n) for n, pair in enumerate(pools)]
        for walk in walks:  # what one began another goes on with
            for shared in ("jobs", "assignments", "executions", "completed", "claims"):
                setattr(walk, shared, getattr(world, shared))
            walk.uploaded, walk.left = world.uploaded, world.left
        most = 0

        async def walk_on(number: int) -> None:
            nonlocal most
            for _ in range(8):
                await walks[number].step()
                if number == 0:
                    most = max(most, await served(database))

        await asyncio.gather(*(walk_on(number) for number in range(25)))
        assert 1 < most <= bouncer.size
        world.now = max(walk.now for walk in walks)
        world.escalated = sum(walk.escalated for walk in walks)
        await check(database, world)


async def test_no_tenant_is_left_behind_on_a_connection(database: Database) -> None:
    """One connection for all of the API: whoever comes next has named no tenant."""
    theirs = an_owner()
    await database.make_tenant(theirs.tenant_id)
    async with bouncing(database, each=1) as bouncer:
        url = bouncer.database.api
        async with postgres_world(bouncer.database) as world:
            key = await world.key("key")
            job = await submit(world, key)
            assert (await read(world, key, job))[0] == 200

            connections = [
                await asyncpg.connect(**connect_arguments(url), **session_arguments(url))
                for _ in range(2)
            ]
            first, second = connections
            try:
                processes = {
                    await connection.fetchval("SELECT pg_backend_pid()")
                    for connection in connections
                }
                assert len(processes) == 1
                named = "SELECT current_setting('genjobs.tenant', true)"
                seen = "SELECT count(*) FROM genjobs.jobs"
                assert await second.fetchval(named) in {None, ""}
                assert await second.fetchval(seen) == 0

                # A statement that fails after it has named its tenant.
                with pytest.raises(asyncpg.PostgresError):
                    await first.fetchval(
                        "SELECT 1 / 0 FROM genjobs.use_tenant($1)", world.tenants[0]
                    )
                assert await second.fetchval(seen) == 0
                # A client that dies in the middle of a transaction.
                await first.execute("BEGIN")
                await first.fetchval("SELECT genjobs.use_tenant($1)::text", world.tenants[0])
                assert await first.fetchval(seen) == 1
                first.terminate()
                async with asyncio.timeout(10):
                    assert await second.fetchval(seen) == 0
                assert await second.fetchval(named) in {None, ""}
            finally:
                for connection in connections:
                    connection.terminate()


async def test_doctor_sees_the_pooler_and_whether_urls_say_so(bouncer: Bouncer) -> None:
    async def looked(**urls: str) -> dict[str, str]:
        wanted = bouncer.database
        given = {
            "database_url": wanted.api,
            "worker_database_url": wanted.worker,
            "owner_database_url": wanted.owner,
        }
        return codes(await findings("database", **(given | urls)))

    assert await looked() == {}
    silent = bouncer.silent_about_it
    assert await looked(database_url=silent.api, worker_database_url=silent.worker) == {
        "database.api.pooler": "pooler_not_declared",
        "database.worker.pooler": "pooler_not_declared",
    }
    assert await looked(owner_database_url=silent.owner) == {
        "database.owner.pooler": "owner_pooled"
    }


async def test_url_that_does_not_say_so_fails_and_harms_nobody(
    bouncer: Bouncer, database: Database
) -> None:
    """Which is why the doctor looks for it: session settings are refused at the door."""
    async with open_pool(bouncer.silent_about_it.api) as pool:
        with pytest.raises(Unavailable):
            await pool.rows("SELECT 1")
    async with open_pool(bouncer.database.api) as pool:
        assert [row[0] for row in await pool.rows("SELECT 1")] == [1]


async def test_cancel_reaches_a_running_job_by_the_heartbeat(bouncer: Bouncer) -> None:
    async with postgres_world(bouncer.database) as world:
        key = await world.key("key")
        job = await submit(world, key)
        [assignment] = await world.ledger.dispatch(now=world.clock.now(), limit=1)
        world.engine.script.gate = asyncio.Event()  # hangs until it is stopped
        running = asyncio.create_task(world.worker.run_job(assignment, asyncio.Event()))
        try:
            async with asyncio.timeout(20):
                while (await read(world, key, job))[1]["phase"] != "rendering":
                    await asyncio.sleep(0.02)
            async with world.client(key) as http:
                answer = await http.delete(f"/v1/jobs/{job}", params={"user_id": USER})
            assert answer.status_code == 202
            world.clock.advance(timedelta(seconds=6))  # the next heartbeat is due
            await asyncio.wait_for(running, 20)
        finally:
            running.cancel()
        end = (await read(world, key, job))[1]
        assert (end["status"], end["cancellation"]["method"]) == ("cancelled", "interrupted")
