"""The contract of ``ErasureLedger``: the steps of an erasure, what goes by each and what stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from genjobs.domain.erasure import Erased
from genjobs.domain.errors import UserBeingErased
from genjobs.domain.job import Job, JobError, JobQuery
from genjobs.domain.lifecycle import JobStatus
from genjobs.testing.contracts.erasure_backend import ErasureBackend
from genjobs.testing.contracts.job_store import reach_of
from genjobs.testing.contracts.ledger_steps import NOW, SECOND, completed, start
from genjobs.testing.contracts.retention import RETENTION_RULES
from genjobs.testing.factories import a_new_job, an_upload


class ErasureSteps:
    """Part of ``ErasureContract``."""

    @pytest.fixture
    def jobs(self) -> ErasureBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_erasure_is_taken_by_one_and_again_later(self, jobs: ErasureBackend) -> None:
        for n in range(3):
            await jobs.begun(jobs.owner(f"u_{n}"))
        given = await asyncio.gather(*(jobs.erasing.take(now=NOW, limit=2) for _ in range(4)))
        named = [item.id for part in given for item in part]
        assert len(named) == len(set(named)) == 3
        later = NOW + RETENTION_RULES.taken
        assert await jobs.erasing.take(now=later - SECOND, limit=9) == []
        again = await jobs.erasing.take(now=later, limit=9)
        assert {item.id for item in again} == set(named)

        await jobs.erasing.put_off(again[0], until=later + SECOND, busy_at=later)
        [early] = await jobs.erasing.take(now=later + SECOND, limit=9)
        assert (early.id, early.busy_at) == (again[0].id, later)
        await jobs.erasing.put_off(early, until=later + SECOND)
        [early] = await jobs.erasing.take(now=later + SECOND, limit=9)
        assert early.busy_at == later

    async def test_jobs_in_every_state_are_found_and_cancelled(self, jobs: ErasureBackend) -> None:
        running = await jobs.submitted()
        await start(jobs)
        dispatched = await jobs.submitted()
        await jobs.ledger.dispatch(now=NOW, limit=1)
        queued = await jobs.submitted()
        waiting = (await jobs.store.create(a_new_job(jobs.owner(), pending=["a.png"]))).job
        claimed = (await jobs.claimed_by())[0]  # of u_9
        paused = await self._paused(jobs)
        others = [await jobs.submitted(jobs.owner("u_2"))]
        await jobs.begun()
        erasing = await jobs.taken()
        found = await jobs.erasing.open_jobs(erasing, limit=9)
        expected = {job.id for job in (running, dispatched, queued, waiting, *paused)}
        assert set(found) == expected
        assert len(await jobs.erasing.open_jobs(erasing, limit=2)) == 2

        for job_id in (*found, claimed.id, others[0].id):
            await jobs.erasing.cancel(erasing, job_id, now=NOW)
            await jobs.erasing.cancel(erasing, job_id, now=NOW + SECOND)
        for job in (dispatched, queued, waiting):
            assert (await jobs.read(job)).status is JobStatus.CANCELLED
        assert (await jobs.read(running)).cancellation is not None
        # Not its user's.
        assert (await jobs.read(claimed)).status is JobStatus.QUEUED
        assert (await jobs.read(others[0])).status is JobStatus.QUEUED
        assert set(await jobs.erasing.open_jobs(erasing, limit=9)) == {running.id}

    async def _paused(self, jobs: ErasureBackend) -> list[Job]:
        job = await jobs.submitted(priority=100)
        execution, _ = await start(jobs)
        fell = JobError(code="engine_failed", message="It fell over.", retryable=True)
        await jobs.ledger.crash(execution, fell, now=NOW)
        found = await jobs.read(job)
        assert found.status is JobStatus.QUEUED
        return [found]

    async def test_claimed_ingest_is_found(self, jobs: ErasureBackend) -> None:
        job, _, execution = await jobs.claimed_by()
        await jobs.begun(job.owner)
        erasing = await jobs.taken()
        assert await jobs.erasing.open_jobs(erasing, limit=9) == [job.id]
        await jobs.erasing.cancel(erasing, job.id, now=NOW)
        assert await jobs.erasing.open_jobs(erasing, limit=9) == []
        assert await jobs.ingests.heartbeat([execution], now=NOW) == set()

    async def test_only_ended_jobs_of_the_user_go(self, jobs: ErasureBackend) -> None:
        ended = await jobs.ended()
        other = await jobs.ended(jobs.owner("u_2"))
        running = await jobs.submitted()
        execution, _ = await start(jobs)
        erasure = await jobs.begun()
        erasing = await jobs.taken()
        assert set(await jobs.erasing.jobs(erasing, limit=9)) == {ended.id, running.id}
        assert len(await jobs.erasing.jobs(erasing, limit=1)) == 1
        files = {ended.id: 5, running.id: 1, other.id: 2}
        assert await jobs.erasing.jobs_gone(erasing, files, now=NOW) == 1
        assert await jobs.store.get(reach_of(ended.owner), ended.id) is None
        assert await jobs.read(other) == other
        assert await jobs.erased(erasure) == Erased(jobs=1, files=5)
        assert not await jobs.erasing.finish(erasing, now=NOW)

        await jobs.erasing.cancel(erasing, running.id, now=NOW)
        recorded = await jobs.ledger.finish(execution, completed(execution), now=NOW)
        assert recorded.value == "yours"
        # Of a supervisor that died after it had removed the files: what the row names counts.
        assert await jobs.erasing.jobs_gone(erasing, {running.id: 0}, now=NOW) == 1
        assert await jobs.erasing.jobs_gone(erasing, {running.id: 0}, now=NOW) == 0
        assert await jobs.erased(erasure) == Erased(jobs=2, files=6)
        assert await jobs.erasing.finish(erasing, now=NOW)

    async def test_keys_go_in_batches(self, jobs: ErasureBackend) -> None:
        for n in range(3):
            await jobs.submitted(key=f"key {n}")
        await jobs.submitted(jobs.owner("u_2"), key="key 0")
        erasure = await jobs.begun()
        erasing = await jobs.taken()
        assert [await jobs.erasing.keys_gone(erasing, limit=2) for _ in range(3)] == [2, 1, 0]
        assert (await jobs.erased(erasure)).idempotency_keys == 3
        other = a_new_job(jobs.owner("u_2"), key="key 0")
        assert other.idempotency is not None
        assert await jobs.store.find_submitted(other.owner, other.idempotency, now=NOW)

    async def test_single_job_goes_with_its_keys_alone(self, jobs: ErasureBackend) -> None:
        job = await jobs.ended(key="its")
        beside = await jobs.ended(key="other")
        erasure = await jobs.begun_job(job)
        erasing = await jobs.taken()
        assert erasing.job_id == job.id
        assert await jobs.erasing.jobs(erasing, limit=9) == [job.id]
        await jobs.erasing.cancel(erasing, beside.id, now=NOW)
        gone = await jobs.erasing.jobs_gone(erasing, {job.id: 2, beside.id: 2}, now=NOW)
        assert gone == 1
        assert await jobs.erasing.finish(erasing, now=NOW)
        assert await jobs.read(beside) == beside
        assert await jobs.erased(erasure) == Erased(jobs=1, files=2, idempotency_keys=1)
        fresh = await jobs.submitted(key="its")
        assert fresh.id != job.id

    async def test_uploads_of_the_user_go(self, jobs: ErasureBackend) -> None:
        unused, used = await jobs.uploaded(), await jobs.uploaded()
        other = await jobs.uploaded(jobs.owner("u_2"))
        job = await jobs.using(used)
        erasure = await jobs.begun()
        with pytest.raises(UserBeingErased):
            await jobs.uploads.create(an_upload(jobs.owner()))
        erasing = await jobs.taken()
        await jobs.erasing.jobs_gone(erasing, {job.id: 0}, now=NOW)
        assert not await jobs.erasing.finish(erasing, now=NOW)
        assert await jobs.upload_ledger.take(now=NOW, limit=9) == []  # it goes with the others

        assert len(await jobs.erasing.uploads(erasing, now=NOW, limit=1)) == 1
        found = await jobs.erasing.uploads(erasing, now=NOW, limit=9)
        assert found == {unused.id: unused.key, used.id: used.key}
        usage = await jobs.directory.usage(reach_of(jobs.owner()), now=NOW)
        assert usage.tenant is not None
        assert usage.tenant.uploads == 1  # no job gets them any more, so they count no more
        ids = [unused.id, used.id, other.id]
        assert await jobs.uploads.find(jobs.owner(), ids, now=NOW) == {}
        assert await jobs.erasing.uploads_gone(erasing, ids) == 2
        assert await jobs.erasing.uploads_gone(erasing, ids) == 0
        assert await jobs.erasing.uploads(erasing, now=NOW, limit=9) == {}
        assert (await jobs.erased(erasure)).uploads == 2
        assert await jobs.erasing.finish(erasing, now=NOW)
        assert await jobs.uploads.find(other.owner, ids, now=NOW) == {other.id: other}

    async def test_job_that_goes_lets_go_of_its_uploads(self, jobs: ErasureBackend) -> None:
        upload = await jobs.uploaded()
        job, beside = await jobs.using(upload), await jobs.using(upload)
        for goes, left in ((job, []), (beside, [upload.id])):
            await jobs.begun_job(goes)
            erasing = await jobs.taken()
            await jobs.erasing.jobs_gone(erasing, {goes.id: 0}, now=NOW)
            due = await jobs.upload_ledger.take(now=NOW, limit=9)
            assert [file.upload_id for file in due] == left
            assert await jobs.erasing.finish(erasing, now=NOW)

    async def test_receipt_ends_and_goes_in_its_time(self, jobs: ErasureBackend) -> None:
        await jobs.ended()
        erasure = await jobs.begun()
        erasing = await jobs.taken()
        [job_id] = await jobs.erasing.jobs(erasing, limit=9)
        await jobs.erasing.jobs_gone(erasing, {job_id: 2}, now=NOW)
        await jobs.erasing.strays_gone(erasing, 4)
        seen = await jobs.ledger.overview(now=NOW + SECOND)
        assert (seen.open_erasures, seen.oldest_erasure_seconds) == (1, 1)
        end = NOW + SECOND
        assert await jobs.erasing.finish(erasing, now=end)
        assert await jobs.erasing.finish(erasing, now=end + SECOND)  # a repeat
        receipt = await jobs.erasures.get(erasure.tenant_id, erasure.id)
        assert receipt is not None
        assert (receipt.finished_at, receipt.requested_at) == (end, NOW)
        assert receipt.erased == Erased(jobs=1, files=6)
        assert await jobs.erasing.take(now=NOW + 9 * timedelta(hours=1), limit=9) == []
        seen = await jobs.ledger.overview(now=NOW + SECOND)
        assert (seen.open_erasures, seen.oldest_erasure_seconds) == (0, None)

        await jobs.erasing.tidy(now=end + RETENTION_RULES.receipts - SECOND, limit=9)
        assert await jobs.erasures.get(erasure.tenant_id, erasure.id) == receipt
        await jobs.erasing.tidy(now=end + RETENTION_RULES.receipts, limit=9)
        assert await jobs.erasures.get(erasure.tenant_id, erasure.id) is None

    async def test_nothing_is_left_of_the_user(self, jobs: ErasureBackend) -> None:
        await jobs.ended(key="key")
        await jobs.begun()
        erasing = await jobs.taken()
        for job_id in await jobs.erasing.jobs(erasing, limit=9):
            await jobs.erasing.jobs_gone(erasing, {job_id: 2}, now=NOW)
        await jobs.erasing.keys_gone(erasing, limit=9)
        assert await jobs.erasing.finish(erasing, now=NOW)
        reach = reach_of(jobs.owner())
        assert await jobs.store.list_jobs(reach, JobQuery(limit=9)) == []
        usage = await jobs.directory.usage(reach, now=NOW)
        assert usage.user is not None
        assert (usage.user.jobs_today, usage.user.bytes_today, usage.user.plan) == (0, 0, None)
        assert usage.tenant is not None
        assert (usage.tenant.queued, usage.tenant.in_flight) == (0, 0)
        assert usage.tenant.jobs_today == 1  # the tenant's own counts stay
