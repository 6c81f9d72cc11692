"""Cancels at random moments among neighbours that must not notice: thirty, and a thousand."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from genjobs.domain.job import CancelMethod, Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing.contracts.engine import sampling
from tests.integration.test_cancel_ladder import Ladder, open_ladder
from tests.postgres import Database

_ENDED_BEFORE = None
#: From the start of a job until most have ended: it waits for a render like its own first.
_LONGEST = 1.1  # seconds


async def cancels_at_random(ladder: Ladder, count: int) -> dict[CancelMethod | None, int]:
    """Cancel every second of twice ``count`` jobs; return how they ended, by method."""
    seen: dict[CancelMethod | None, int] = {}
    chosen = random.Random(count)
    room = asyncio.Semaphore(6)

    async def neighbour() -> None:
        async with room:
            job = await ladder.submit(sampling(8))
            done = await ladder.ends(job, JobStatus.COMPLETED)
            assert (done.attempt, done.cancellation, len(done.outputs)) == (1, None, 1)

    async def victim(after_start: float) -> None:
        async with room:
            job = await ladder.submit(sampling(8))
            if after_start >= 0:
                await _started(ladder, job)
                await asyncio.sleep(after_start)
            await ladder.cancel(job)
            while not (done := await ladder.read(job)).status.final:
                await asyncio.sleep(0.02)
            method = done.cancellation.method if done.cancellation else _ENDED_BEFORE
            seen[method] = seen.get(method, 0) + 1
            expected = (
                JobStatus.COMPLETED
                if method in {CancelMethod.TOO_LATE, _ENDED_BEFORE}
                else JobStatus.CANCELLED
            )
            assert done.status is expected, done

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(neighbour())
            group.create_task(victim(chosen.uniform(-0.2, _LONGEST)))
    assert ladder.keeper.life == 1
    charged = await ladder.database.execute("SELECT count(*) FROM genjobs.jobs WHERE charged > 0")
    assert charged[0][0] == 0
    return seen


async def _started(ladder: Ladder, job: Job) -> None:
    while (await ladder.read(job)).status is JobStatus.QUEUED:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("count", [30, pytest.param(1000, marks=pytest.mark.slow)])
async def test_cancels_at_random_moments_touch_no_neighbour(
    database: Database, tmp_path: Path, count: int
) -> None:
    unlimited = {"submits_per_second": None, "submit_burst": None, "max_queued": None}
    async with open_ladder(
        database, tmp_path, cancel_grace_seconds=30, user_limits=unlimited, tenant_limits=unlimited
    ) as ladder:
        seen = await cancels_at_random(ladder, count)

    assert sum(seen.values()) == count
    assert CancelMethod.INTERRUPTED in seen
    every = {
        CancelMethod.DEQUEUED,
        CancelMethod.INTERRUPTED,
        CancelMethod.TOO_LATE,
        _ENDED_BEFORE,
    }
    assert set(seen) <= every
    if count >= 1000:  # so many meet every moment
        assert set(seen) == every
    print(f"cancels: {seen}")
