"""The run from its beginning to the verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from genjobs.adapters.postgres import administration, migrate
from genjobs.adapters.postgres.credentials import PostgresCredentials
from genjobs.adapters.postgres.tenancy import PostgresTenancy
from genjobs.domain.plans import DefaultLimits
from genjobs.testing import a_key_record, a_key_text, a_tenant_id
from genjobs.testing.clock import BEGINNING
from tests.attack_server import AttackServer
from tests.chaos import checks, file_checks
from tests.chaos.cluster import POSTGRES_AWAY, Cluster, open_cluster
from tests.chaos.figures import print_figures, struck
from tests.chaos.fleet import open_fleet
from tests.chaos.load import Accepted, Load
from tests.chaos.orders import Orders
from tests.chaos.plan import Plan
from tests.chaos.troubles import Troubles

_WINDOW = 16
_SWEEP_EVERY = 3.0  # seconds; the shipped pause is an hour
#: How long the long outage waits for every worker to render, and for one at least.
_GATHER_SECONDS, _FIRST_SECONDS = 8.0, 30.0


async def run(plan: Plan, folder: Path) -> checks.Verdict:
    """Do it all, print the figures, and return the verdict."""
    marks = [time.monotonic()]
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(open_cluster(folder / "postgres"))
        keys = await _prepare(plan, cluster)
        web, port = await stack.enter_async_context(_web())
        fleet = await stack.enter_async_context(open_fleet(plan, cluster, folder, media_port=port))
        await fleet.start()
        load = Load(
            urls=[member.url for member in fleet.of("serve")],
            keys=keys,
            chance=plan.chance("load"),
        )
        stack.push_async_callback(load.close)
        orders = Orders(plan.chance("orders"), web, tenants=plan.tenants, users=plan.users)

        clients: list[asyncio.Task[Any]] = []

        async def lasting(seconds: float) -> str:
            submitting = asyncio.create_task(load.submit(orders.lasting(seconds)))
            clients.append(submitting)  # who asks for it may be called off; the answer is awaited
            accepted = await asyncio.shield(submitting)
            assert accepted is not None, load.wrong
            return accepted.job_id

        troubles = Troubles(plan=plan, fleet=fleet, cluster=cluster, lasting=lasting)
        verdict = checks.Verdict()
        marks.append(time.monotonic())
        # Until the end: what is lost while things settle must have a cause as well.
        await stack.enter_async_context(_beside(fleet.tell_stalls(cluster)))
        await _trouble(plan, load, troubles, verdict, orders, clients)
        await troubles.heal()
        marks.append(time.monotonic())
        await _settle(plan, cluster, clients, verdict)
        marks.append(time.monotonic())

        jobs = await checks.check_rows(verdict, cluster, load)
        await checks.check_links(verdict, load, jobs)
        await fleet.stop()
        await checks.check_attempts(verdict, cluster, fleet)
        store = file_checks.open_store(folder / "artifacts")
        await file_checks.check_files(verdict, cluster, load, jobs, store)
        checks.check_logs(verdict, cluster, fleet)
        checks.check_trouble(verdict, plan, troubles.cuts, struck(fleet))
        marks.append(time.monotonic())
        names = ("start", "trouble", "settling", "checks")
        phases = dict(zip(names, (b - a for a, b in pairwise(marks)), strict=True))
        print_figures(verdict, load, troubles, phases=phases)
    return verdict


async def _prepare(plan: Plan, cluster: Cluster) -> list[str]:
    """Make schema, window, tenants and their keys; return the keys."""
    await migrate.upgrade(cluster.urls.owner)
    await administration.set_window(cluster.urls.owner, _WINDOW)
    await cluster.record_changes()
    tenancy = PostgresTenancy(cluster.urls.owner, DefaultLimits())
    credentials = PostgresCredentials(cluster.urls.owner)
    keys = []
    for number in range(plan.tenants):
        tenant_id, key = a_tenant_id(), a_key_text(f"chaos {number}")
        await tenancy.ensure_tenant(tenant_id, f"chaos {number}", BEGINNING)
        await credentials.add_key(a_key_record(key, tenant_id), "chaos", BEGINNING)
        keys.append(key.reveal())
    return keys


@asynccontextmanager
async def _web() -> AsyncIterator[tuple[AttackServer, int]]:
    """Hold the server that the URLs of orders lead to."""
    web = AttackServer()
    async with await asyncio.start_server(web.handle, "127.0.0.1", 0) as listening:
        yield web, listening.sockets[0].getsockname()[1]
        await web.stop()


async def _trouble(
    plan: Plan,
    load: Load,
    troubles: Troubles,
    verdict: checks.Verdict,
    orders: Orders,
    clients: list[asyncio.Task[Any]],
) -> None:
    """
    Submit all orders while trouble is made, with the long outage half way.

    Some of the clients still wait for an answer then.
    """
    half = plan.jobs // 2
    sweeps = _sweep_often(troubles.cluster)
    async with _beside(*troubles.all(), load.read_on(), load.read_on(), sweeps):
        await _submit(plan, load, orders, troubles, clients, half)
        await _long_outage(plan, load, orders, troubles, verdict)
        await _submit(plan, load, orders, troubles, clients, plan.jobs - half)


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do all of this meanwhile; what fails of it is raised at the end."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def _submit(
    plan: Plan,
    load: Load,
    orders: Orders,
    troubles: Troubles,
    clients: list[asyncio.Task[Any]],
    count: int,
) -> None:
    """Submit so many orders in half of the time, with short outages in between."""
    seconds = plan.seconds / 2
    chance = plan.chance(f"outages {len(clients)}")
    at = sorted(chance.uniform(0.1, 0.9) * seconds for _ in range(plan.outages // 2))

    async def outages() -> None:
        for moment in at:
            await asyncio.sleep(max(0.0, begun + moment - time.monotonic()))
            await troubles.outage(chance.uniform(0, 1.5))

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(outages())
        for moment in sorted(chance.uniform(0, seconds) for _ in range(count)):
            await asyncio.sleep(begun + moment - time.monotonic())
            clients.append(asyncio.create_task(load.see_through(orders.next())))


async def _long_outage(
    plan: Plan, load: Load, orders: Orders, troubles: Troubles, verdict: checks.Verdict
) -> None:
    """
    Stop Postgres for three leases while renders go on that outlast it.

    Nothing else is done to anybody meanwhile; nobody may lose an attempt for it. Then, in the same
    peace, a worker comes back to a job that another one has by now.
    """
    away, fleet, cluster = 3 * plan.lease, troubles.fleet, troubles.cluster
    with troubles.truce():
        await troubles.calm()
        lasting = [
            accepted
            for number in range(plan.workers)
            if (
                accepted := await load.submit(
                    orders.lasting(away + plan.lease, tenant=number % plan.tenants)
                )
            )
        ]
        rendering = await _rendering(cluster, lasting, plan.workers)
        verdict.need(bool(rendering), "no render went on when the long outage began")
        await asyncio.sleep(plan.heartbeat)
        await troubles.outage(away)
        await asyncio.sleep(1.3 * plan.lease)  # whoever is rescued for it is rescued by now
        healthy = {member.pid for member in fleet.members}
        kept = 0
        for job_id, attempt, pid in rendering:
            [row] = await cluster.rows(
                "SELECT end_reason FROM genjobs.attempts WHERE job_id = $1 AND attempt = $2",
                job_id,
                attempt,
            )
            if pid in healthy:
                kept += 1
                verdict.need(
                    row["end_reason"] in {None, "completed"},
                    f"attempt {attempt} of {job_id} was {row['end_reason']} for the outage",
                )
        back = await troubles.freeze()
        await asyncio.sleep(plan.lease)  # whatever the worker that came back has to say is said
    verdict.counts["renders through the long outage"] = kept
    verdict.counts["fence tried in peace"] = back


async def _rendering(
    cluster: Cluster, lasting: list[Accepted], wanted: int
) -> list[tuple[object, int, int]]:
    """Return which of the jobs are rendered, once all are or it takes too long."""
    orders = [accepted.order.key for accepted in lasting]
    begun = time.monotonic()
    while True:
        rows = await cluster.rows(
            "SELECT s.job_id, s.attempt, s.call_id FROM genjobs.slots s"
            " JOIN genjobs.jobs j ON (j.tenant_id, j.id) = (s.tenant_id, s.job_id)"
            " WHERE s.phase = 'rendering' AND j.metadata ->> 'order' = ANY ($1)",
            orders,
        )
        waited = time.monotonic() - begun
        if len(rows) >= wanted or waited > (_GATHER_SECONDS if rows else _FIRST_SECONDS):
            return [
                (row["job_id"], row["attempt"], int(row["call_id"].rpartition(":")[2]))
                for row in rows
            ]
        await asyncio.sleep(0.2)


async def _sweep_often(cluster: Cluster) -> None:
    """Let the sweep be due much more often than it ships, so that it meets what goes on."""
    while True:
        await asyncio.sleep(_SWEEP_EVERY)
        try:
            await cluster.rows("UPDATE genjobs.supervision SET sweep_due = '-infinity'")
        except (OSError, *POSTGRES_AWAY):
            continue  # the database is away


async def _settle(
    plan: Plan, cluster: Cluster, clients: list[asyncio.Task[Any]], verdict: checks.Verdict
) -> None:
    """Wait until every client was answered and every job has ended."""
    until = time.monotonic() + plan.settle
    _, waiting = await asyncio.wait(clients, timeout=plan.settle)
    for task in waiting:
        task.cancel()
    for end in await asyncio.gather(*clients, return_exceptions=True):
        verdict.need(not isinstance(end, BaseException), f"a client was not answered: {end!r}")
    while True:
        open_jobs = await cluster.rows(
            "SELECT id, status, eligible, attempt, charged, spared, not_before, slot_no"
            " FROM genjobs.jobs WHERE status IN ('queued', 'running')"
        )
        if not open_jobs:
            return
        if time.monotonic() > until:
            break
        await asyncio.sleep(0.3)
    verdict.faults.append(f"not ended after {plan.settle} s: {[dict(row) for row in open_jobs]}")
