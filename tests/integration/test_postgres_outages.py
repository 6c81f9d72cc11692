"""
Connections that fail at the worst moments: a step's outcome is then unknown; a repeat settles it.

The proxy lets a statement be carried out and cuts its answer off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest

from genjobs.adapters.postgres import (
    PostgresIngestLedger,
    PostgresJobLedger,
    PostgresJobStore,
    PostgresSupervision,
    open_pool,
)
from genjobs.domain.attempts import Assignment, Beat, BeatReply, Recorded
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ingests import IngestRules
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.testing import a_new_job, an_input, an_owner
from genjobs.testing.contracts.jobs_backend import reach_of
from genjobs.testing.contracts.ledger_steps import BROKEN, NOW, completed
from genjobs.testing.contracts.supervision_backend import SupervisionBackend
from tests.postgres import Database
from tests.proxy import Proxy, proxied


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    jobs: SupervisionBackend
    api: Proxy
    worker: Proxy

    async def cut(
        self, proxy: Proxy, statement: bytes, step: Callable[[], Awaitable[object]]
    ) -> None:
        """Take a step whose answer is cut off after the server has committed it."""
        before = proxy.cut
        proxy.cut_reply_of = statement
        with pytest.raises(Unavailable):
            await step()
        assert proxy.cut == before + 1


@pytest.fixture
async def scene(database: Database) -> AsyncIterator[Scene]:
    tenants = (an_owner().tenant_id, an_owner().tenant_id)
    for tenant in tenants:
        await database.make_tenant(tenant)
    async with (
        proxied(database.api) as api_proxy,
        proxied(database.worker) as worker_proxy,
        # Statements are sent as text every time, so that the proxy can tell them.
        open_pool(f"{api_proxy.url}&pooler=transaction", command_seconds=2) as api,
        open_pool(f"{worker_proxy.url}&pooler=transaction", command_seconds=2) as worker,
    ):
        yield Scene(
            jobs=SupervisionBackend(
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
                ingests=PostgresIngestLedger(worker, IngestRules()),
                supervision=PostgresSupervision(worker, Deadlines()),
                tenants=tenants,
            ),
            api=api_proxy,
            worker=worker_proxy,
        )


async def _dispatched(jobs: SupervisionBackend) -> tuple[Job, Assignment]:
    job = await jobs.submitted()
    [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
    return job, assignment


async def test_create_whose_answer_was_cut_is_replayed(scene: Scene) -> None:
    new = a_new_job(scene.jobs.owner(), key="k")
    await scene.cut(scene.api, b"create_job", lambda: scene.jobs.store.create(new))

    again = await scene.jobs.store.create(a_new_job(scene.jobs.owner(), key="k"))
    assert (again.replayed, again.job.id) == (True, new.id)
    assert (await scene.jobs.ledger.overview(now=NOW)).queued == 1


async def test_start_whose_answer_was_cut_is_the_same_when_repeated(scene: Scene) -> None:
    job, given = await _dispatched(scene.jobs)
    ledger, execution = scene.jobs.ledger, ExecutionId(uuid4())
    await scene.cut(scene.worker, b"start_attempt", lambda: ledger.start(given, execution, now=NOW))
    assert (await scene.jobs.read(job)).status is JobStatus.RUNNING

    started = await ledger.start(given, execution, now=NOW)
    assert started.execution.execution_id == execution
    assert b"EmptyImage" in started.workflow


@pytest.mark.parametrize("ending", ["finish", "release", "crash"])
async def test_end_whose_answer_was_cut_is_yours_when_repeated(scene: Scene, ending: str) -> None:
    job, given = await _dispatched(scene.jobs)
    ledger = scene.jobs.ledger
    run = (await ledger.start(given, ExecutionId(uuid4()), now=NOW)).execution
    steps: dict[str, Callable[[], Awaitable[Recorded]]] = {
        "finish": lambda: ledger.finish(run, completed(run), now=NOW),
        "release": lambda: ledger.release(run, now=NOW),
        "crash": lambda: ledger.crash(run, BROKEN, now=NOW),
    }
    name = b"crash_execution" if ending == "crash" else b"end_execution"
    await scene.cut(scene.worker, name, steps[ending])
    ended = await scene.jobs.read(job)
    assert ended.status is (JobStatus.COMPLETED if ending == "finish" else JobStatus.QUEUED)

    assert await steps[ending]() is Recorded.YOURS
    assert await scene.jobs.read(job) == ended
    assert (await ledger.overview(now=NOW)).slots_free == 8


async def test_cancel_whose_answer_was_cut_is_the_same_when_repeated(scene: Scene) -> None:
    job = await scene.jobs.submitted()
    store, reach = scene.jobs.store, reach_of(job.owner)
    await scene.cut(
        scene.api, b"request_cancel", lambda: store.request_cancel(reach, job.id, now=NOW)
    )
    cancelled = await scene.jobs.read(job)
    assert cancelled.status is JobStatus.CANCELLED
    assert await store.request_cancel(reach, job.id, now=NOW) == cancelled


async def test_ingest_finish_whose_answer_was_cut_is_yours_when_repeated(scene: Scene) -> None:
    job, _, execution = await scene.jobs.claimed_by()
    fetched = [an_input(job.owner, job.id, index=1, name="late.png")]
    ingests = scene.jobs.ingests
    await scene.cut(
        scene.worker, b"finish_ingest", lambda: ingests.finish(execution, fetched, now=NOW)
    )
    assert (await scene.jobs.read(job)).eligible

    assert await ingests.finish(execution, fetched, now=NOW) is Recorded.YOURS
    assert len((await scene.jobs.read(job)).inputs) == 2


async def test_dispatch_whose_answer_was_cut_is_taken_back_uncharged(scene: Scene) -> None:
    job = await scene.jobs.submitted()
    ledger = scene.jobs.ledger
    await scene.cut(scene.worker, b"genjobs.dispatch", lambda: ledger.dispatch(now=NOW, limit=1))
    missed = NOW + Deadlines().start

    [reclaimed] = await ledger.reclaim_unstarted(now=missed, limit=9)
    assert (reclaimed.job_id, reclaimed.status) == (job.id, JobStatus.QUEUED)
    [again] = await ledger.dispatch(now=missed, limit=1)
    assert again.attempt == 2


async def test_pause_whose_answer_was_cut_holds(scene: Scene) -> None:
    await scene.jobs.submitted()
    shared = scene.jobs.supervision
    await scene.cut(scene.worker, b"pause_dispatch", lambda: shared.pause(now=NOW))
    assert await scene.jobs.ledger.dispatch(now=NOW, limit=1) == []


@pytest.mark.parametrize("how", ["reset", "black hole"])
async def test_worker_comes_back_after_its_connections_were_lost(scene: Scene, how: str) -> None:
    _, given = await _dispatched(scene.jobs)
    ledger = scene.jobs.ledger
    run = (await ledger.start(given, ExecutionId(uuid4()), now=NOW)).execution
    beat = Beat(execution=run, phase=Phase.RENDERING, progress=None)
    if how == "reset":
        scene.worker.reset()
    else:
        scene.worker.silent.set()
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            await ledger.heartbeat([beat], now=NOW)
        assert time.monotonic() - begun < 20  # a bound on waiting, not a speed
        scene.worker.reset()
        scene.worker.silent.clear()
    async with asyncio.timeout(30):
        while True:
            try:
                replies = await ledger.heartbeat([beat], now=NOW)
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    assert replies == {run.execution_id: BeatReply.GO_ON}


async def test_connections_that_were_forgotten_cost_one_time_out(scene: Scene) -> None:
    """As by a firewall that drops idle connections without a word: all of them at once."""
    _, given = await _dispatched(scene.jobs)
    ledger = scene.jobs.ledger
    run = (await ledger.start(given, ExecutionId(uuid4()), now=NOW)).execution
    beat = Beat(execution=run, phase=Phase.RENDERING, progress=None)
    await asyncio.gather(*(ledger.overview(now=NOW) for _ in range(4)))  # four connections
    scene.worker.forget()

    with pytest.raises(Unavailable):
        await ledger.heartbeat([beat], now=NOW)
    assert await ledger.heartbeat([beat], now=NOW) == {run.execution_id: BeatReply.GO_ON}


async def test_slow_network_changes_nothing(scene: Scene) -> None:
    scene.worker.latency = scene.api.latency = 0.02
    job, given = await _dispatched(scene.jobs)
    ledger = scene.jobs.ledger
    run = (await ledger.start(given, ExecutionId(uuid4()), now=NOW)).execution
    assert await ledger.finish(run, completed(run), now=NOW) is Recorded.YOURS
    assert (await scene.jobs.read(job)).status is JobStatus.COMPLETED
