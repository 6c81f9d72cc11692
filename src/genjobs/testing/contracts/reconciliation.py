"""The contract of ``Reconciliation``: the walk through all jobs, and what is noted as missing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.errors import Unavailable
from genjobs.domain.job import Job
from genjobs.domain.ports import Reconciliation
from genjobs.domain.reconciliation import JobPlace, MissingFile, NamedFiles
from genjobs.testing.contracts.ledger_steps import NOW, SECOND, completed, start
from genjobs.testing.contracts.retention import RetentionBackend

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationBackend(RetentionBackend):
    """All that is kept of jobs, and what they name."""

    reconciliation: Reconciliation

    async def completed(self) -> Job:
        """Return a completed job with an input and an output."""
        job = await self.submitted(inputs=["a.png"])
        execution, _ = await start(self)
        await self.ledger.finish(execution, completed(execution), now=NOW)
        return await self.read(job)


def _named(job: Job) -> NamedFiles:
    keys = [*(item.key for item in job.inputs), *(item.key for item in job.outputs)]
    return NamedFiles(owner=job.owner, job_id=job.id, keys=frozenset(keys))


def _file(job: Job, key: str) -> MissingFile:
    return MissingFile(tenant_id=job.owner.tenant_id, job_id=job.id, key=ArtifactKey(key))


class ReconciliationContract:
    """Needs the fixture ``jobs``: a backend over empty data, with 8 slots."""

    @pytest.fixture
    def jobs(self) -> ReconciliationBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_page_of_the_walk_is_given_to_one(self, jobs: ReconciliationBackend) -> None:
        port = jobs.reconciliation
        told = await asyncio.gather(*(port.take_walk(now=NOW, every=_MINUTE) for _ in range(5)))
        assert [place for place in told if place is not None] == [JobPlace()]
        place = _named(await jobs.submitted()).place
        await port.keep_walk(place, due=NOW + _MINUTE)
        assert await port.take_walk(now=NOW + _MINUTE - SECOND, every=_MINUTE) is None
        assert await port.take_walk(now=NOW + _MINUTE, every=_MINUTE) == place
        assert await port.take_walk(now=NOW + 2 * _MINUTE, every=_MINUTE) == place

    async def test_every_job_is_passed_once(self, jobs: ReconciliationBackend) -> None:
        made = [await jobs.completed() for _ in range(3)]
        made += [await jobs.submitted(jobs.owner("u_2", tenant=1)) for _ in range(2)]
        place = JobPlace()
        seen: list[NamedFiles] = []
        while page := await jobs.reconciliation.named(place, limit=2):
            seen += page
            place = page[-1].place
        assert {job.job_id: job for job in seen} == {job.id: _named(job) for job in made}
        assert len(seen) == 5
        assert len(seen[0].keys) == 2 or seen[0].owner.tenant_id == jobs.tenants[1]

    async def test_missing_files_are_noted_once_and_forgotten_when_back(
        self, jobs: ReconciliationBackend
    ) -> None:
        job, port = await jobs.completed(), jobs.reconciliation
        [key, other] = sorted(_named(job).keys)
        missing = [_file(job, key), _file(job, other)]
        assert await port.note([_named(job)], missing, now=NOW) == 2
        assert await port.note([_named(job)], missing, now=NOW + SECOND) == 0
        assert set(await port.missing_since(NOW, limit=9)) == set(missing)
        assert len(await port.missing_since(NOW, limit=1)) == 1
        assert await port.missing_since(NOW - SECOND, limit=9) == []
        assert (await jobs.ledger.overview(now=NOW)).missing_files == 2

        assert await port.note([_named(job)], missing[:1], now=NOW + SECOND) == 0
        assert await port.missing_since(NOW + SECOND, limit=9) == missing[:1]
        assert await port.note([_named(job)], [], now=NOW + SECOND) == 0
        assert await port.missing_since(NOW + SECOND, limit=9) == []

    async def test_what_no_job_names_is_not_noted(self, jobs: ReconciliationBackend) -> None:
        job, port = await jobs.completed(), jobs.reconciliation
        assert await port.note([_named(job)], [_file(job, "t/elsewhere")], now=NOW) == 0
        # One that is being purged has lost its files on purpose.
        week = NOW + timedelta(days=7)
        missing = [_file(job, key) for key in _named(job).keys]
        due = await jobs.retention.take_ended(now=week, limit=9)
        assert await port.note([_named(job)], missing, now=week) == 0
        await jobs.retention.ended_gone(due, now=week)
        assert await port.note([_named(job)], missing, now=week) == 0

    async def test_lost_files_are_named_no_more(self, jobs: ReconciliationBackend) -> None:
        job, port = await jobs.completed(), jobs.reconciliation
        [output] = job.outputs
        lost = _file(job, output.key)
        await port.note([_named(job)], [lost], now=NOW)
        assert await port.give_up([lost], [], now=NOW) == 1
        after = await jobs.read(job)
        assert (after.outputs, after.inputs, after.purged_at) == ((), job.inputs, None)
        assert after.version != job.version
        assert await port.missing_since(NOW, limit=9) == []
        assert await port.give_up([lost], [], now=NOW) == 0
        assert (await jobs.read(job)).version == after.version

    async def test_what_is_back_is_forgotten(self, jobs: ReconciliationBackend) -> None:
        job, port = await jobs.completed(), jobs.reconciliation
        missing = [_file(job, key) for key in _named(job).keys]
        await port.note([_named(job)], missing, now=NOW)
        assert await port.give_up([], missing, now=NOW) == 0
        assert await port.missing_since(NOW, limit=9) == []
        assert await jobs.read(job) == job

    async def test_inputs_of_a_job_that_has_not_ended_are_left(
        self, jobs: ReconciliationBackend
    ) -> None:
        job, port = await jobs.submitted(inputs=["a.png"]), jobs.reconciliation
        [lost] = [_file(job, key) for key in _named(job).keys]
        assert await port.note([_named(job)], [lost], now=NOW) == 1
        assert await port.give_up([lost], [], now=NOW + SECOND) == 0
        assert (await jobs.read(job)).inputs == job.inputs
        assert await port.missing_since(NOW, limit=9) == []
        assert await port.missing_since(NOW + SECOND, limit=9) == [lost]


class ReconciliationOutageContract:
    """Needs the fixture ``unreachable``: a port whose database is away."""

    @pytest.fixture
    def unreachable(self) -> Reconciliation:
        """Return the port under test."""
        raise NotImplementedError

    async def test_outage_is_told(self, unreachable: Reconciliation) -> None:
        for call in (
            unreachable.take_walk(now=NOW, every=_MINUTE),
            unreachable.keep_walk(JobPlace(), due=NOW),
            unreachable.named(JobPlace(), limit=1),
            unreachable.note([], [], now=NOW),
            unreachable.missing_since(NOW, limit=1),
            unreachable.give_up([], [], now=NOW),
        ):
            with pytest.raises(Unavailable):
                await call
