"""What jobs are no longer kept for, from submit to a row that is gone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import timedelta

import pytest

from genjobs.application.submission import InlineMedia, Submission
from genjobs.domain.artifacts import ArtifactKey, output_key
from genjobs.domain.errors import NotFound, Unavailable
from genjobs.domain.job import Job
from genjobs.domain.retention import Purged, RetentionRules
from genjobs.testing import Harness, MemoryArtifactStore, a_workflow, png_bytes
from genjobs.testing.contracts.artifact_store import stream

_RULES = RetentionRules()
_SECOND = timedelta(seconds=1)
_WEEK = timedelta(days=7)


async def _completed(harness: Harness, **parts: object) -> Job:
    owner = harness.genjobs.owner("u_1")
    photo = InlineMedia(name="photo.png", content=png_bytes())
    workflow = a_workflow() | {"7": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}}
    submission = Submission(workflow=workflow, media=[photo], metadata={"order": "1"}, **parts)  # type: ignore[arg-type]
    job = await harness.genjobs.submit(owner, submission)
    assert await harness.run_one()
    return (await harness.genjobs.get(harness.genjobs.reach("u_1"), job.id)).job


async def test_job_goes_step_by_step_and_is_counted(harness: Harness) -> None:
    job = await _completed(harness)
    reach = harness.genjobs.reach("u_1")
    [output] = job.outputs
    assert len(harness.artifacts.files) == 2
    assert (await harness.supervisor.tick()).purged == Purged()

    harness.clock.advance(_RULES.inputs)
    assert (await harness.supervisor.tick()).purged == Purged(inputs=1)
    assert set(harness.artifacts.files) == {output.key}
    assert harness.jobs.rows[job.id].workflow == b""
    assert (await harness.genjobs.output(reach, job.id, output.id)).output == output

    harness.clock.advance(_WEEK)
    tick = await harness.supervisor.tick()
    assert tick.purged == Purged(jobs=1)
    assert harness.artifacts.files == {}
    view = await harness.genjobs.get(reach, job.id)
    assert (view.outputs, view.job.metadata, view.job.purged_at) == ((), {}, harness.clock.now())

    harness.clock.advance(_RULES.tombstone)
    tick = await harness.supervisor.tick()
    assert tick.purged == Purged(rows=1)
    seen = tick.overview
    assert (seen.purged_inputs, seen.purged_jobs, seen.purged_rows) == (1, 1, 1)
    with pytest.raises(NotFound):
        await harness.genjobs.get(reach, job.id)


async def test_short_retention_takes_inputs_along(harness: Harness) -> None:
    await _completed(harness, retention=timedelta(minutes=5))
    harness.clock.advance(timedelta(minutes=5))
    assert (await harness.supervisor.tick()).purged == Purged(jobs=1)
    assert harness.artifacts.files == {}
    harness.clock.advance(_RULES.inputs)
    assert (await harness.supervisor.tick()).purged == Purged()


async def test_links_end_with_the_retention_however_late_the_purge_is(harness: Harness) -> None:
    job = await _completed(harness, retention=timedelta(hours=2))
    reach = harness.genjobs.reach("u_1")
    assert job.finished_at is not None
    until = job.finished_at + timedelta(hours=2)
    harness.clock.advance(timedelta(hours=2) - _SECOND)
    view = await harness.genjobs.get(reach, job.id)
    [signed] = view.outputs
    assert signed.expires_at == until

    harness.clock.advance(_SECOND)  # no supervisor looks
    ended = await harness.genjobs.get(reach, job.id)
    assert (ended.outputs, ended.job.purged_at) == ((), None)
    assert ended.revision != view.revision  # so no 304 confirms the link that has expired
    with pytest.raises(NotFound):
        await harness.genjobs.output(reach, job.id, signed.output.id)
    [listed] = (await harness.genjobs.list(reach)).views
    assert listed.outputs == ()


async def test_outage_of_the_store_puts_the_purge_off(harness: Harness) -> None:
    job = await _completed(harness)
    harness.clock.advance(_WEEK)
    harness.artifacts.available = False
    assert (await harness.supervisor.tick()).purged == Purged()
    found = harness.jobs.rows[job.id].job
    assert (found.outputs, found.purged_at) == (job.outputs, None)
    assert (await harness.supervisor.tick()).overview.purge_overdue_seconds == 0

    harness.artifacts.available = True
    harness.clock.advance(_RULES.taken)
    assert (await harness.supervisor.tick()).purged == Purged(jobs=1)
    assert harness.artifacts.files == {}


async def test_files_that_came_late_go_with_the_rest(harness: Harness) -> None:
    job = await _completed(harness)
    stray = output_key(job.owner, job.id, 7, "out_x")
    await harness.artifacts.put(stray, stream(b"x"), content_type="image/png")
    harness.clock.advance(_WEEK)
    await harness.supervisor.tick()
    assert harness.artifacts.files == {}


class _SlowStore(MemoryArtifactStore):
    """A store that takes its time for one job, and is away for another."""

    slow = away = "no such job"

    async def delete_prefix(self, prefix: str) -> int:
        if self.slow in prefix:
            await asyncio.sleep(60)
        if self.away in prefix:
            raise Unavailable
        return await super().delete_prefix(prefix)

    async def delete(self, keys: Sequence[ArtifactKey]) -> None:
        await asyncio.sleep(0)
        await super().delete(keys)


async def test_slow_store_holds_up_neither_the_tick_nor_other_jobs(harness: Harness) -> None:
    jobs = [await _completed(harness) for _ in range(3)]
    harness.clock.advance(_WEEK)
    store = _SlowStore(clock=harness.clock)
    store.files = harness.artifacts.files
    store.slow = jobs[0].id.hex  # keys hold it in another form
    store.slow = next(key for key in store.files if key.startswith("t/")).split("/")[4]
    purge = dataclasses.replace(
        harness.supervisor.purge, artifacts=store, budget=timedelta(seconds=0.2)
    )
    assert (await purge()).jobs == 2
    store.slow = "no such job"
    harness.clock.advance(_RULES.taken)
    assert (await purge()).jobs == 1
    assert store.files == {}


async def test_one_that_cannot_be_removed_does_not_block_the_rest(harness: Harness) -> None:
    for _ in range(4):
        await _completed(harness)
    harness.clock.advance(_WEEK)
    store = _SlowStore(clock=harness.clock)
    store.files = harness.artifacts.files
    store.away = min(store.files).split("/")[4]
    purge = dataclasses.replace(harness.supervisor.purge, artifacts=store, batch=2)
    done = 0
    for _ in range(4):
        done += (await purge()).jobs
        harness.clock.advance(_SECOND)
    assert done == 3
    assert {key.split("/")[4] for key in store.files} == {store.away}


async def test_many_due_jobs_are_purged_in_batches_of_one_tick(harness: Harness) -> None:
    for _ in range(7):
        await _completed(harness)
    harness.clock.advance(_RULES.inputs)
    purge = dataclasses.replace(harness.supervisor.purge, batch=2)
    assert await purge() == Purged(inputs=7)
    harness.clock.advance(_WEEK)
    assert await purge() == Purged(jobs=7)
