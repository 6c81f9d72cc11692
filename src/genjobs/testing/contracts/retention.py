"""The contract of ``RetentionLedger``: what is due when, taken by one, and forgotten once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from genjobs.domain.attempts import Completed, Failed, Recorded
from genjobs.domain.errors import Unavailable
from genjobs.domain.job import Job
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.ports import RetentionLedger, UploadLedger, UploadStore
from genjobs.domain.retention import ERROR_GONE, RetentionRules
from genjobs.testing.contracts.job_store import reach_of
from genjobs.testing.contracts.jobs_backend import JobsBackend
from genjobs.testing.contracts.ledger_steps import BROKEN, NOW, SECOND, completed, failed, start
from genjobs.testing.factories import a_new_job, an_upload

RETENTION_RULES = RetentionRules()
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionBackend(JobsBackend):
    """All that is kept of jobs, and what is due of it; with the default rules."""

    retention: RetentionLedger
    uploads: UploadStore
    upload_ledger: UploadLedger

    async def ended(self, *, fails: bool = False) -> Job:
        """Return a job with an input that ended at ``NOW``."""
        job = await self.submitted(inputs=["a.png"], key="key")
        execution, _ = await start(self)
        outcome: Completed | Failed = failed() if fails else completed(execution)
        assert await self.ledger.finish(execution, outcome, now=NOW) is Recorded.YOURS
        return await self.read(job)

    async def purged(self, *, fails: bool = False) -> Job:
        """Return a job that ended at ``NOW`` and was purged when its retention ended."""
        job = await self.ended(fails=fails)
        due = await self.retention.take_ended(now=NOW + _WEEK, limit=9)
        assert await self.retention.ended_gone(due, now=NOW + _WEEK) == 1
        return await self.read(job)


class RetentionContract:
    """Needs the fixture ``jobs``: a backend over empty data, with 8 slots."""

    @pytest.fixture
    def jobs(self) -> RetentionBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_inputs_are_due_soon_after_the_end(self, jobs: RetentionBackend) -> None:
        job = await jobs.ended()
        hour = RETENTION_RULES.inputs
        assert await jobs.retention.take_inputs(now=NOW + hour - SECOND, limit=9) == []
        [due] = await jobs.retention.take_inputs(now=NOW + hour, limit=9)
        assert (due.owner, due.job_id) == (job.owner, job.id)
        assert due.inputs == tuple(entry.key for entry in job.inputs)
        assert len(due.inputs) == 1

        assert await jobs.retention.inputs_gone([due], now=NOW + hour) == 1
        after = await jobs.read(job)
        assert after.inputs == ()
        assert (after.outputs, after.metadata, after.purged_at) == (job.outputs, job.metadata, None)
        assert after.version == job.version  # a reader sees no difference
        assert await jobs.retention.inputs_gone([due], now=NOW + hour) == 0
        assert await jobs.retention.take_inputs(now=NOW + 9 * hour, limit=9) == []

    async def test_upload_stays_until_its_last_job_is_purged(self, jobs: RetentionBackend) -> None:
        upload = an_upload(jobs.owner())
        await jobs.uploads.create(upload)
        for seconds in (0, 60):
            new = a_new_job(jobs.owner(), uploads=[upload])
            job = (await jobs.store.create(new)).job
            at = NOW + timedelta(seconds=seconds)
            await jobs.store.request_cancel(reach_of(job.owner), job.id, now=at)
        due = await jobs.retention.take_inputs(now=NOW + timedelta(days=1), limit=9)
        assert await jobs.retention.inputs_gone(due, now=NOW + timedelta(days=1)) == 2
        for late, left in ((timedelta(), []), (timedelta(seconds=60), [upload.id])):
            at = NOW + _WEEK + late
            due = await jobs.retention.take_ended(now=at, limit=9)
            assert await jobs.retention.ended_gone(due, now=at) == 1
            taken = await jobs.upload_ledger.take(now=at, limit=9)
            assert [file.upload_id for file in taken] == left

    async def test_retention_ends_after_the_jobs_own_time(self, jobs: RetentionBackend) -> None:
        job = await jobs.ended()
        assert job.retention == _WEEK
        assert await jobs.retention.take_ended(now=NOW + _WEEK - SECOND, limit=9) == []
        [due] = await jobs.retention.take_ended(now=NOW + _WEEK, limit=9)
        assert (due.owner, due.job_id) == (job.owner, job.id)

    async def test_tombstone_has_no_files_and_no_texts(self, jobs: RetentionBackend) -> None:
        job = await jobs.ended()
        due = await jobs.retention.take_ended(now=NOW + _WEEK, limit=9)
        at = NOW + _WEEK + SECOND
        assert await jobs.retention.ended_gone(due, now=at) == 1
        after = await jobs.read(job)
        assert (after.inputs, after.outputs, after.metadata) == ((), (), {})
        assert after.purged_at == at
        assert after.version != job.version
        kept = ("status", "created_at", "started_at", "finished_at", "attempt", "timings", "owner")
        for name in kept:
            assert getattr(after, name) == getattr(job, name), name

        assert await jobs.retention.ended_gone(due, now=at + SECOND) == 0
        assert await jobs.read(job) == after
        assert await jobs.retention.take_ended(now=NOW + 2 * _WEEK, limit=9) == []
        assert await jobs.retention.take_inputs(now=NOW + 2 * _WEEK, limit=9) == []

    async def test_of_an_error_the_code_is_left(self, jobs: RetentionBackend) -> None:
        after = await jobs.purged(fails=True)
        assert after.status is JobStatus.FAILED
        assert after.error is not None
        assert (after.error.code, after.error.message) == (BROKEN.code, ERROR_GONE)
        assert (after.error.node_id, after.error.node_class) == (None, None)
        assert after.error.retryable is BROKEN.retryable

    async def test_receipt_of_a_cancel_stays(self, jobs: RetentionBackend) -> None:
        job = await jobs.submitted()
        before = await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)
        due = await jobs.retention.take_ended(now=NOW + _WEEK, limit=9)
        assert await jobs.retention.ended_gone(due, now=NOW + _WEEK) == 1
        assert before is not None
        assert (await jobs.read(job)).cancellation == before.cancellation

    async def test_what_is_taken_is_given_to_nobody_else_for_a_while(
        self, jobs: RetentionBackend
    ) -> None:
        for _ in range(3):
            await jobs.submitted()
            execution, _ = await start(jobs)
            await jobs.ledger.finish(execution, completed(execution), now=NOW)
        at = NOW + _WEEK
        for take in (jobs.retention.take_ended, jobs.retention.take_inputs):
            given = await asyncio.gather(*(take(now=at, limit=2) for _ in range(4)))
            named = [job.job_id for part in given for job in part]
            assert len(named) == len(set(named)) == 3
            taken = RETENTION_RULES.taken
            assert await take(now=at + taken - SECOND, limit=9) == []
            # Whoever took them died.
            at += taken
            assert len(await take(now=at, limit=9)) == 3
            at += taken

    async def test_jobs_go_in_the_order_in_which_they_are_due(self, jobs: RetentionBackend) -> None:
        ids = []
        for n in range(3):
            ids.append((await jobs.submitted()).id)
            execution, _ = await start(jobs)
            at = NOW - n * SECOND
            await jobs.ledger.finish(execution, completed(execution), now=at)
        for take in (jobs.retention.take_inputs, jobs.retention.take_ended):
            at = NOW + _WEEK if take == jobs.retention.take_inputs else NOW + 2 * _WEEK
            told = [(await take(now=at, limit=1))[0].job_id for _ in range(3)]
            assert told == ids[::-1]

    async def test_what_has_not_ended_is_never_due(self, jobs: RetentionBackend) -> None:
        await jobs.submitted()
        await jobs.submitted()
        execution, _ = await start(jobs)
        far = NOW + 100 * _WEEK
        assert await jobs.retention.take_inputs(now=far, limit=9) == []
        assert await jobs.retention.take_ended(now=far, limit=9) == []
        assert await jobs.retention.drop_tombstones(now=far, limit=9) == 0
        assert (await jobs.ledger.finish(execution, completed(execution), now=NOW)).value == "yours"

    async def test_tombstone_goes_in_its_time(self, jobs: RetentionBackend) -> None:
        job = await jobs.purged()
        gone = NOW + _WEEK + RETENTION_RULES.tombstone
        assert await jobs.retention.drop_tombstones(now=gone - SECOND, limit=9) == 0
        assert await jobs.read(job) == job
        assert await jobs.retention.drop_tombstones(now=gone, limit=9) == 1
        assert await jobs.store.get(reach_of(job.owner), job.id) is None
        assert await jobs.retention.drop_tombstones(now=gone, limit=9) == 0

    async def test_how_late_a_purge_is_is_told(self, jobs: RetentionBackend) -> None:
        await jobs.ended()
        due = NOW + _WEEK
        seen = await jobs.ledger.overview(now=due - SECOND)
        assert seen.purge_overdue_seconds is None
        seen = await jobs.ledger.overview(now=due + 5 * SECOND)
        assert seen.purge_overdue_seconds == 5
        await jobs.retention.ended_gone(await jobs.retention.take_ended(now=due, limit=9), now=due)
        seen = await jobs.ledger.overview(now=due + 5 * SECOND)
        assert seen.purge_overdue_seconds is None


class RetentionOutageContract:
    """Needs the fixture ``unreachable``: a ledger whose database is away."""

    @pytest.fixture
    def unreachable(self) -> RetentionLedger:
        """Return the ledger under test."""
        raise NotImplementedError

    async def test_outage_is_told(self, unreachable: RetentionLedger) -> None:
        for call in (
            unreachable.take_inputs(now=NOW, limit=1),
            unreachable.inputs_gone([], now=NOW),
            unreachable.take_ended(now=NOW, limit=1),
            unreachable.ended_gone([], now=NOW),
            unreachable.drop_tombstones(now=NOW, limit=1),
        ):
            with pytest.raises(Unavailable):
                await call
