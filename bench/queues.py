"""
Dispatch, start and finish, on queues of different sizes and shapes.

The cost of a job must not depend on how many others wait, nor on whose they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import asyncpg

from bench.fairness import BOUND, crowd, worst_place
from bench.filling import fill
from bench.measuring import Result, result, versus
from genjobs.adapters.local.embedded_postgres import EmbeddedUrls
from genjobs.adapters.postgres import PostgresJobLedger, administration, migrate, open_pool
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.adapters.system import SystemClock
from genjobs.domain.attempts import Assignment, Completed
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Timings

ROUNDS = 5
SECONDS = 1.5
CLIENTS = 4
_WINDOW = 64
_PEER_JOBS = 500
_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Queue:
    """A database of its own with jobs in it."""

    ledger: PostgresJobLedger
    admin: asyncpg.Connection

    async def rate(self, seconds: float = SECONDS, clients: int = CLIENTS) -> float:
        """Return jobs per second that go from queued to completed."""
        until = time.perf_counter() + seconds
        begun = time.perf_counter()
        counts = await asyncio.gather(*(self._client(until) for _ in range(clients)))
        return sum(counts) / (time.perf_counter() - begun)

    async def worker_rate(self, seconds: float = SECONDS, places: int = 10) -> float:
        """Return jobs per second of one dispatcher with so many places, which it keeps full."""
        until = time.perf_counter() + seconds
        begun = time.perf_counter()
        running: set[asyncio.Task[None]] = set()
        count = 0
        while time.perf_counter() < until:
            given = await self._dispatched(places - len(running))
            running |= {asyncio.create_task(self._run(assignment)) for assignment in given}
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            count += len(done)
        await asyncio.gather(*running)
        return (count + len(running)) / (time.perf_counter() - begun)

    async def _client(self, until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            [assignment] = await self._dispatched(1)
            await self._run(assignment)
            count += 1
        return count

    async def _dispatched(self, limit: int) -> Sequence[Assignment]:
        given = await self.ledger.dispatch(now=_CLOCK.now(), limit=limit)
        if not given:
            raise RuntimeError("the queue ran empty: its rate would be that of looking")
        return given

    async def _run(self, assignment: Assignment) -> None:
        started = await self.ledger.start(assignment, ExecutionId(uuid.uuid4()), now=_CLOCK.now())
        outcome = Completed(outputs=(), timings=Timings(gpu_seconds=1.0))
        await self.ledger.finish(started.execution, outcome, now=_CLOCK.now())


@contextlib.asynccontextmanager
async def queue(urls: EmbeddedUrls, name: str, *groups: dict[str, int]) -> AsyncIterator[Queue]:
    """Hold a database with groups of tenants: how many, of how many users, with how many jobs."""
    maintenance = await asyncpg.connect(**connect_arguments(urls.admin))
    try:
        await maintenance.execute(f"CREATE DATABASE {name} OWNER genjobs_owner")
        owner, worker, admin_url = (
            url.replace("/genjobs?", f"/{name}?").replace("/postgres?", f"/{name}?")
            for url in (urls.owner, urls.worker, urls.admin)
        )
        await migrate.upgrade(owner)
        await administration.set_window(owner, _WINDOW)
        admin = await asyncpg.connect(**connect_arguments(admin_url))
        try:
            for number, group in enumerate(groups):
                await fill(admin, name=f"{name}{number}_", **group)
            await admin.execute("VACUUM ANALYZE")
            async with open_pool(worker) as pool:
                yield Queue(PostgresJobLedger(pool, Deadlines()), admin)
        finally:
            await admin.close()
    finally:
        await maintenance.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await maintenance.close()


async def sizes(urls: EmbeddedUrls) -> list[Result]:
    """Return how a long queue compares with a short one, and many tenants and users with few."""
    async with (
        queue(urls, "few", {"tenants": 100, "users": 1, "jobs": 10}) as few,
        queue(urls, "many", {"tenants": 1000, "users": 10, "jobs": 100}) as many,
        queue(
            urls,
            "broad",
            {"tenants": 10_000, "users": 1, "jobs": 5},
            {"tenants": 1, "users": 10_000, "jobs": 5},
        ) as broad,
        queue(urls, "narrow", {"tenants": 100, "users": 1, "jobs": 1000}) as narrow,
    ):
        rates: dict[str, list[float]] = {"few": [], "many": [], "broad": [], "narrow": []}
        for batch in range(ROUNDS + 1):
            # As many again as are taken in a round: the short queue stays about as short as it is.
            await fill(few.admin, name="few0_", tenants=100, users=1, jobs=30, batch=batch + 1)
            for name, under in (("few", few), ("many", many), ("broad", broad), ("narrow", narrow)):
                rates[name].append(await under.rate())
        middle = {name: statistics.median(found[1:]) for name, found in rates.items()}
    return [
        result("dispatch 1M over 1k", "jobs/s", middle["many"], middle["few"], goal=0.67),
        result("dispatch 20k over 100", "jobs/s", middle["broad"], middle["narrow"], goal=0.67),
    ]


async def beside_a_peer(urls: EmbeddedUrls) -> Result:
    """
    Return our rate over that of a worker of procrastinate, ten jobs at a time each.

    Ours is of the three steps of each job: dispatched, started and finished, each durable.
    """
    address = connect_arguments(urls.admin)
    peer = "bench_procrastinate"
    async with queue(urls, "beside", {"tenants": 100, "users": 1, "jobs": 1000}) as ours:
        maintenance = await asyncpg.connect(**address)
        await maintenance.execute(f"CREATE DATABASE {peer}")
        conninfo = f"host={address['host']} user={address['user']} dbname={peer}"

        async def theirs() -> float:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.peer", conninfo, str(_PEER_JOBS)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(60):
                out, _ = await worker.communicate()
            return float(out)

        try:
            return result(
                "dispatch and finish",
                "jobs/s",
                *await versus(ours.worker_rate, theirs),
                goal=4,
            )
        finally:
            await maintenance.execute(f"DROP DATABASE {peer} WITH (FORCE)")
            await maintenance.close()


async def fairness(urls: EmbeddedUrls) -> list[Result]:
    """Return the bound over the worst place at which anyone's first job was dispatched."""
    results = []
    for name, one_tenant in (("fair to tenants", False), ("fair to users", True)):
        worst = 0
        for holding in (1, 32):
            async with queue(urls, "crowd") as under:
                await crowd(under.admin, one_tenant=one_tenant)
                worst = max(worst, await worst_place(under.ledger, holding=holding))
        results.append(result(name, "th", BOUND, worst, goal=1))
    return results
