"""Files that belong to no job."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from uuid import uuid4

from genjobs.application.submission import InlineMedia, Submission
from genjobs.application.sweep import GRACE, PAGE_EVERY, SWEEP_EVERY
from genjobs.domain.artifacts import ArtifactKey, attempt_prefix, input_key, output_key
from genjobs.domain.ids import JobId
from genjobs.domain.job import Job
from genjobs.testing import Harness, a_workflow, png_bytes
from genjobs.testing.contracts.artifact_store import stream


async def _completed(harness: Harness) -> Job:
    owner = harness.genjobs.owner("u_1")
    photo = InlineMedia(name="photo.png", content=png_bytes())
    workflow = a_workflow() | {"7": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}}
    job = await harness.genjobs.submit(owner, Submission(workflow=workflow, media=[photo]))
    assert await harness.run_one()
    return job


async def _put(harness: Harness, key: ArtifactKey) -> ArtifactKey:
    await harness.artifacts.put(key, stream(b"x"), content_type="image/png")
    return key


async def test_orphans_go_after_the_grace_and_what_is_needed_stays(harness: Harness) -> None:
    job = await _completed(harness)
    assert len(harness.artifacts.files) == 2
    kept = {
        key for key in harness.artifacts.files if "attempt_" in key
    }  # inputs are purged by then
    for key in (
        input_key(job.owner, JobId(uuid4()), 0),
        output_key(job.owner, job.id, 9, "out_x"),
        input_key(job.owner, job.id, 1, claim=3),
    ):
        await _put(harness, key)

    assert (await harness.supervisor.tick()).swept == 0
    harness.clock.advance(GRACE + timedelta(seconds=1))
    tick = await harness.supervisor.tick()
    assert (tick.swept, tick.overview.swept_files) == (3, 3)
    assert set(harness.artifacts.files) == kept


async def test_sweep_goes_page_by_page_and_then_rests(harness: Harness) -> None:
    job = await _completed(harness)
    kept = set(harness.artifacts.files)
    strays = [await _put(harness, output_key(job.owner, job.id, n, "out_x")) for n in range(2, 8)]
    sweep = dataclasses.replace(harness.supervisor.sweep, page=3)
    harness.clock.advance(GRACE)
    removed = []
    for _ in range(3):
        removed.append(await sweep())
        assert await sweep() == 0  # not due
        harness.clock.advance(PAGE_EVERY)

    assert sum(removed) == len(strays)
    assert set(harness.artifacts.files) == kept
    await _put(harness, strays[0])
    harness.clock.advance(SWEEP_EVERY - 2 * PAGE_EVERY)
    assert await sweep() == 0  # the next round is not due
    harness.clock.advance(2 * PAGE_EVERY)
    assert await sweep() == 1


async def test_files_of_another_kind_are_left_alone(harness: Harness) -> None:
    job = await _completed(harness)
    other = ArtifactKey(f"{attempt_prefix(job.owner, job.id, 9)}something_else")
    upload = ArtifactKey(f"{job.id}")
    await _put(harness, other)
    harness.artifacts.files[upload] = b"x"
    harness.clock.advance(2 * GRACE)

    assert await harness.supervisor.sweep() == 0
    assert {other, upload} <= set(harness.artifacts.files)


async def test_store_that_is_away_does_not_stop_the_tick(harness: Harness) -> None:
    owner = harness.genjobs.owner("u_1")
    await harness.genjobs.submit(owner, Submission(workflow=a_workflow()))
    harness.artifacts.available = False
    harness.clock.advance(timedelta(hours=2))
    tick = await harness.supervisor.tick()
    assert (tick.expired, tick.swept) == (1, 0)
