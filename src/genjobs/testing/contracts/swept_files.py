"""The contract of ``Supervision``: the sweep's pages, and which files no job needs."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.artifacts import ArtifactKey, input_key, output_key
from genjobs.domain.ids import JobId
from genjobs.domain.job_files import job_file
from genjobs.domain.supervision import JobFile
from genjobs.domain.tenancy import Owner
from genjobs.testing.contracts.ledger_steps import LOST, NOW, SECOND, completed, start
from genjobs.testing.contracts.supervision_backend import SupervisionBackend
from genjobs.testing.factories import an_input, an_owner


def file_of(key: str) -> JobFile:
    """Return the file of a key that a job's steps make."""
    found = job_file(ArtifactKey(key))
    assert found is not None
    return found


class SweptFiles:
    """Part of ``SupervisionContract``."""

    @pytest.fixture
    def jobs(self) -> SupervisionBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_page_of_the_sweep_is_given_to_one(self, jobs: SupervisionBackend) -> None:
        minute = timedelta(minutes=1)
        told = await asyncio.gather(
            *(jobs.supervision.take_sweep(now=NOW, every=minute) for _ in range(5))
        )
        assert sorted(told, key=str) == ["", None, None, None, None]
        await jobs.supervision.keep_sweep("t/x", due=NOW + minute)
        assert await jobs.supervision.take_sweep(now=NOW + 59 * SECOND, every=minute) is None
        assert await jobs.supervision.take_sweep(now=NOW + minute, every=minute) == "t/x"
        # Whoever took it died: it is given again.
        assert await jobs.supervision.take_sweep(now=NOW + 2 * minute, every=minute) == "t/x"

    async def test_files_that_a_job_needs_are_no_orphans(self, jobs: SupervisionBackend) -> None:
        inline = await jobs.submitted(inputs=["a.png"])
        execution, _ = await start(jobs)
        running = output_key(inline.owner, inline.id, execution.attempt, "out_1")
        waiting, claim = await jobs.claimed()
        fetched = input_key(waiting.owner, waiting.id, 1, claim=claim)
        needed = [
            file_of(str(key)) for key in (*(entry.key for entry in inline.inputs), running, fetched)
        ]
        assert len(needed) == 3
        assert await jobs.supervision.orphans(needed) == frozenset()

        await jobs.ledger.finish(execution, completed(execution), now=NOW)
        assert await jobs.supervision.orphans(needed) == frozenset()

    async def test_files_that_no_job_needs_are_orphans(self, jobs: SupervisionBackend) -> None:
        job = await jobs.submitted(inputs=["a.png"])
        lost, _ = await start(jobs)
        await jobs.ledger.rescue_lost(now=NOW + LOST, limit=1)
        again, _ = await start(jobs, at=NOW + timedelta(minutes=5))
        await jobs.ledger.finish(again, completed(again), now=NOW)
        waiting, claim = await jobs.claimed()
        unborn = JobId(uuid4())
        stray = [
            file_of(str(key))
            for key in (
                output_key(job.owner, job.id, lost.attempt, "out_1"),
                output_key(job.owner, job.id, again.attempt, "out_2"),  # not among its outputs
                input_key(job.owner, job.id, 5),
                input_key(waiting.owner, waiting.id, 1, claim=claim + 1),
                input_key(job.owner, unborn, 0),
                output_key(job.owner, unborn, 1, "out_1"),
            )
        ]
        kept = file_of(str(output_key(job.owner, job.id, again.attempt, "out_1")))

        found = await jobs.supervision.orphans([*stray, kept])
        assert found == {file.key for file in stray}
        assert await jobs.supervision.orphans([]) == frozenset()

    async def test_files_under_another_tenant_are_left_alone(
        self, jobs: SupervisionBackend
    ) -> None:
        stranger: Owner = an_owner()
        file = file_of(str(input_key(stranger, JobId(uuid4()), 0)))
        assert await jobs.supervision.orphans([file]) == frozenset()

    async def test_claim_that_ended_well_keeps_its_files(self, jobs: SupervisionBackend) -> None:
        job, claim, execution = await jobs.claimed_by()
        key = input_key(job.owner, job.id, 1, claim=claim)
        fetched = dataclasses.replace(an_input(job.owner, job.id, index=1), key=key)
        await jobs.ingests.finish(execution, [fetched], now=NOW)
        other = input_key(job.owner, job.id, 2, claim=claim)

        found = await jobs.supervision.orphans([file_of(str(key)), file_of(str(other))])
        assert found == {other}
