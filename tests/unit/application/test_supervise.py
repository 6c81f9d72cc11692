"""What time does to jobs."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from genjobs.application.submission import Submission
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.ports import Pruned
from genjobs.testing import Harness, a_workflow


async def test_tick_expires_what_waited_too_long(harness: Harness) -> None:
    owner = harness.genjobs.owner("u_1")
    for _ in range(120):  # more than one batch
        await harness.genjobs.submit(owner, Submission(workflow=a_workflow()))
    harness.clock.advance(timedelta(minutes=29))
    assert (await harness.supervisor.tick()).expired == 0
    harness.clock.advance(timedelta(minutes=2))
    tick = await harness.supervisor.tick()

    assert (tick.expired, tick.overview.queued) == (120, 0)
    assert (await harness.supervisor.tick()).expired == 0


async def test_reads_expire_nothing(harness: Harness) -> None:
    owner = harness.genjobs.owner("u_1")
    job = await harness.genjobs.submit(owner, Submission(workflow=a_workflow()))
    harness.clock.advance(timedelta(days=1))
    reach = harness.genjobs.reach("u_1")

    assert (await harness.genjobs.get(reach, job.id)).job.status is JobStatus.QUEUED
    assert (await harness.genjobs.list(reach)).views[0].job.status is JobStatus.QUEUED


async def test_unstarted_job_is_taken_back(harness: Harness) -> None:
    await harness.genjobs.submit(harness.genjobs.owner("u_1"), Submission(workflow=a_workflow()))
    await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    harness.clock.advance(timedelta(minutes=11))

    assert (await harness.supervisor.tick()).reclaimed == 1
    assert await harness.run_one()


async def test_tick_after_a_gap_rescues_nobody(harness: Harness) -> None:
    owner = harness.genjobs.owner("u_1")
    await harness.genjobs.submit(owner, Submission(workflow=a_workflow()))
    await harness.supervise_for(timedelta(seconds=40))
    now = harness.clock.now()
    [given] = await harness.ledger.dispatch(now=now, limit=1)
    await harness.ledger.start(given, ExecutionId(uuid4()), now=now)
    harness.clock.advance(timedelta(seconds=90))  # the database was away
    tick = await harness.supervisor.tick()

    assert (tick.grace, tick.rescued) == (True, 0)
    ticks = await harness.supervise_for(timedelta(seconds=30))
    assert [tick.rescued for tick in ticks] == [0] * 6 + [1]
    assert ticks[-1].overview.rescues == 1


async def test_paused_dispatch_is_told(harness: Harness) -> None:
    await harness.supervisor.supervision.pause(now=harness.clock.now())
    assert (await harness.supervisor.tick()).overview.paused


async def test_run_with_a_length_begins_no_tick_after_it(harness: Harness) -> None:
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1
            harness.clock.advance(timedelta(seconds=5))

    passing = asyncio.create_task(ticking())
    async with asyncio.timeout(10):
        await harness.supervisor.run(every=timedelta(seconds=0.02), length=timedelta(seconds=55))
    passing.cancel()
    assert ticks >= 11
    assert (await harness.supervisor.tick()).overview.last_tick_seconds is not None


class _GoneBeforePruning:
    """A ledger whose database goes away in the middle of a tick."""

    def __init__(self, ledger: object) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def prune(self, *, now: datetime, limit: int) -> Pruned:
        raise Unavailable


async def test_what_a_tick_did_before_it_failed_is_added_up(harness: Harness) -> None:
    owner = harness.genjobs.owner("u_1")
    await harness.genjobs.submit(owner, Submission(workflow=a_workflow()))
    await harness.supervise_for(timedelta(seconds=40))
    now = harness.clock.now()
    [given] = await harness.ledger.dispatch(now=now, limit=1)
    await harness.ledger.start(given, ExecutionId(uuid4()), now=now)
    await harness.supervise_for(timedelta(seconds=25))
    harness.clock.advance(timedelta(seconds=5))
    cut_short = dataclasses.replace(
        harness.supervisor, ledger=_GoneBeforePruning(harness.supervisor.ledger)
    )
    with pytest.raises(Unavailable):
        await cut_short.tick()

    found = await harness.ledger.overview(now=harness.clock.now())
    assert (found.running, found.rescues) == (0, 1)


async def test_store_that_hangs_does_not_hold_up_the_tick(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    await harness.genjobs.submit(harness.genjobs.owner("u_1"), Submission(workflow=a_workflow()))
    assert await harness.run_one()
    await harness.genjobs.erase_user(harness.genjobs.owner("u_1"))
    harness.clock.advance(timedelta(days=8))
    for name in ("list_files", "delete", "delete_prefix", "stat"):
        monkeypatch.setattr(harness.artifacts, name, hang)
    short, supervisor = timedelta(seconds=0.05), harness.supervisor
    hurried = dataclasses.replace(
        supervisor,
        erase=dataclasses.replace(supervisor.erase, budget=short),
        purge=dataclasses.replace(supervisor.purge, budget=short),
        reconcile=dataclasses.replace(supervisor.reconcile, budget=short),
        store_seconds=0.05,
    )
    async with asyncio.timeout(5):
        tick = await hurried.tick()
    assert (tick.erased, tick.purged.jobs, tick.swept) == (0, 0, 0)
    assert len(harness.jobs.rows) == 1
