"""The whole store and all jobs, held against each other once."""

from __future__ import annotations

import dataclasses

import pytest

from genjobs.application.inventory import Inventory, TakeInventory
from genjobs.application.submission import Submission
from genjobs.application.sweep import GRACE
from genjobs.domain.artifacts import ArtifactKey, output_key
from genjobs.domain.errors import Unavailable
from genjobs.testing import Harness, a_workflow
from genjobs.testing.contracts.artifact_store import stream


def _take(harness: Harness, page: int = 2) -> TakeInventory:
    supervisor = harness.supervisor
    return TakeInventory(
        sweep=dataclasses.replace(supervisor.sweep, page=page),
        reconcile=dataclasses.replace(supervisor.reconcile, page=page),
    )


async def test_everything_that_does_not_fit_is_told_and_removed_if_asked(harness: Harness) -> None:
    for _ in range(5):
        owner = harness.genjobs.owner("u_1")
        job = await harness.genjobs.submit(owner, Submission(workflow=a_workflow()))
        assert await harness.run_one()
    stray = output_key(job.owner, job.id, 9, "out_x")
    await harness.artifacts.put(stray, stream(b"x"), content_type="image/png")
    gone = harness.jobs.rows[job.id].job.outputs[0].key
    del harness.artifacts.files[gone]
    harness.artifacts.files[ArtifactKey("something/else")] = b"x"
    harness.clock.advance(GRACE)

    told = Inventory(files=6, orphans=1, unknown=1, removed=False, jobs=5, newly_missing=1)
    assert await _take(harness)() == told
    assert stray in harness.artifacts.files
    again = dataclasses.replace(told, removed=True, newly_missing=0)
    assert await _take(harness)(remove=True) == again
    assert stray not in harness.artifacts.files
    assert await _take(harness)() == dataclasses.replace(told, files=5, orphans=0, newly_missing=0)
    assert harness.jobs.shared.swept == ""


async def test_store_that_is_away_is_told(harness: Harness) -> None:
    await harness.genjobs.submit(harness.genjobs.owner("u_1"), Submission(workflow=a_workflow()))
    harness.artifacts.available = False
    with pytest.raises(Unavailable):
        await _take(harness)()
