"""Files that jobs name and the store has not."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from genjobs.application.reconcile import GRACE, PAGE_EVERY, WALK_EVERY, ReconcileFiles
from genjobs.application.submission import Submission
from genjobs.domain.job import Job
from genjobs.domain.reconciliation import JobPlace, Reconciled
from genjobs.testing import Harness, a_workflow

_WEEKS = timedelta(days=60)


async def _completed(harness: Harness) -> Job:
    owner = harness.genjobs.owner("u_1")
    submission = Submission(workflow=a_workflow(), retention=_WEEKS)
    job = await harness.genjobs.submit(owner, submission)
    assert await harness.run_one()
    return (await harness.genjobs.get(harness.genjobs.reach("u_1"), job.id)).job


async def _shown(harness: Harness, job: Job) -> int:
    view = await harness.genjobs.get(harness.genjobs.reach("u_1"), job.id)
    return len(view.outputs)


async def test_missing_file_is_told_at_once_and_given_up_after_the_grace(harness: Harness) -> None:
    job, whole = await _completed(harness), await _completed(harness)
    content = harness.artifacts.files.pop(job.outputs[0].key)
    tick = await harness.supervisor.tick()
    assert tick.reconciled == Reconciled(jobs=2, missing=1)
    assert (await harness.supervisor.tick()).overview.missing_files == 1
    assert await _shown(harness, job) == 1  # it may come back

    harness.clock.advance(GRACE - timedelta(hours=1))
    assert (await harness.supervisor.tick()).reconciled == Reconciled(jobs=2)
    harness.clock.advance(WALK_EVERY)
    tick = await harness.supervisor.tick()
    assert tick.reconciled == Reconciled(jobs=2, lost=1)
    assert (tick.overview.missing_files, tick.overview.lost_files) == (0, 1)
    assert (await _shown(harness, job), await _shown(harness, whole)) == (0, 1)
    assert content


async def test_file_that_comes_back_in_time_stays(harness: Harness) -> None:
    job = await _completed(harness)
    key = job.outputs[0].key
    content = harness.artifacts.files.pop(key)
    await harness.supervisor.tick()
    harness.artifacts.files[key] = content
    harness.clock.advance(GRACE + WALK_EVERY)
    # Looked for once more before it is given up.
    assert (await harness.supervisor.tick()).reconciled == Reconciled(jobs=1)
    assert (await harness.supervisor.tick()).overview.missing_files == 0
    assert await _shown(harness, job) == 1


async def test_walk_goes_page_by_page_and_then_rests(harness: Harness) -> None:
    for _ in range(5):
        await _completed(harness)
    look = dataclasses.replace(harness.supervisor.reconcile, page=2)
    seen = []
    for _ in range(3):
        seen.append((await look()).jobs)
        assert (await look()).jobs == 0  # not due
        harness.clock.advance(PAGE_EVERY)
    assert seen == [2, 2, 1]
    assert (await look()).jobs == 0
    harness.clock.advance(WALK_EVERY)
    assert (await look()).jobs == 2


async def test_store_that_is_away_is_no_news(harness: Harness) -> None:
    job = await _completed(harness)
    harness.artifacts.available = False
    tick = await harness.supervisor.tick()
    assert tick.reconciled == Reconciled()
    assert harness.jobs.missing == {}
    assert harness.jobs.shared.walked == JobPlace()
    harness.artifacts.available = True
    harness.clock.advance(PAGE_EVERY)
    assert (await harness.supervisor.tick()).reconciled == Reconciled(jobs=1)
    assert await _shown(harness, job) == 1


async def test_another_bucket_is_not_taken_for_lost_files(harness: Harness) -> None:
    jobs = [await _completed(harness) for _ in range(3)]
    harness.artifacts.files.clear()
    look = dataclasses.replace(harness.supervisor.reconcile, most_missing=2)
    assert await look() == Reconciled(jobs=3, missing=3)
    harness.clock.advance(GRACE + WALK_EVERY)
    assert await look() == Reconciled(jobs=3)
    assert [await _shown(harness, job) for job in jobs] == [1, 1, 1]


async def test_jobs_with_many_files_are_listed_to_the_end(harness: Harness) -> None:
    job = await _completed(harness)
    [output] = job.outputs
    many = [
        dataclasses.replace(output, key=output.key[:-3] + f"{n:03}", id=f"{output.id}{n}")
        for n in range(5)
    ]
    row = harness.jobs.rows[job.id]
    row.job = dataclasses.replace(job, outputs=tuple(many))
    for item in many[:-1]:
        harness.artifacts.files[item.key] = b"x"  # type: ignore[index]
    look: ReconcileFiles = harness.supervisor.reconcile
    assert (await look()).missing == 1
