"""The contract of ``IngestLedger``."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from genjobs.domain.attempts import Recorded
from genjobs.domain.errors import InputRefused
from genjobs.domain.ids import ExecutionId
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.tenancy import Owner
from genjobs.testing.clock import BEGINNING as NOW
from genjobs.testing.contracts.ingest_backend import IngestBackend
from genjobs.testing.contracts.ingest_fencing import IngestFencing
from genjobs.testing.contracts.jobs_backend import reach_of
from genjobs.testing.factories import an_input

SECOND: Final = timedelta(seconds=1)


class IngestLedgerContract(IngestFencing):
    """Every test here is a "must" of the port."""

    @pytest.fixture
    def backend(self) -> IngestBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_job_with_media_to_fetch_is_not_dispatched(self, backend: IngestBackend) -> None:
        job = await backend.submitted()
        assert (job.status, job.eligible, job.queue_position) == (JobStatus.QUEUED, False, None)
        assert await backend.ledger.dispatch(now=NOW, limit=5) == []
        read = await backend.read(job)
        assert (read.eligible, read.queue_position, read.queue_deadline) == (
            False,
            None,
            job.queue_deadline,
        )
        assert await backend.ingests.backlog() == 1

    async def test_claim_has_what_is_to_be_fetched(self, backend: IngestBackend) -> None:
        job = await backend.submitted()
        [ingest] = await backend.claim(3)
        assert (ingest.execution.owner, ingest.execution.job_id) == (job.owner, job.id)
        assert ingest.execution.claim == 1
        assert [media.name for media in ingest.media] == ["late.png"]
        assert ingest.deadline == NOW + timedelta(minutes=15)
        assert await backend.claim() == []

    async def test_finish_makes_the_job_eligible_with_all_inputs(
        self, backend: IngestBackend
    ) -> None:
        job = await backend.submitted()
        [ingest] = await backend.claim()
        late = an_input(job.owner, job.id, index=1, name="late.png")
        at = NOW + timedelta(minutes=2)

        for _ in range(2):  # a repeat after a lost answer is told the same
            recorded = await backend.ingests.finish(ingest.execution, [late], now=at)
            assert recorded is Recorded.YOURS
        ready = await backend.read(job)
        assert (ready.eligible, ready.queue_position) == (True, 1)
        assert [entry.name for entry in ready.inputs] == ["early.png", "late.png"]
        assert ready.queue_deadline == at + timedelta(minutes=30)
        assert ready.version != job.version
        [assignment] = await backend.ledger.dispatch(now=at, limit=5)
        started = await backend.ledger.start(assignment, ExecutionId(uuid4()), now=at + 3 * SECOND)
        assert len(started.inputs) == 2
        assert (await backend.read(job)).timings.queue_seconds == 3.0
        assert await backend.ingests.backlog() == 0

    async def test_refused_job_fails_with_its_reason(self, backend: IngestBackend) -> None:
        job = await backend.submitted()
        [ingest] = await backend.claim()
        failure = InputRefused("The picture is broken.")
        for _ in range(2):
            recorded = await backend.ingests.refuse(ingest.execution, failure, now=NOW + SECOND)
            assert recorded is Recorded.YOURS
        failed = await backend.read(job)
        assert (failed.status, failed.finished_at) == (JobStatus.FAILED, NOW + SECOND)
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == ("input_refused", failure.message)
        assert await backend.ingests.backlog() == 0

    async def test_failed_tries_are_paused_and_the_last_one_fails_the_job(
        self, backend: IngestBackend
    ) -> None:
        job = await backend.submitted()
        later = timedelta()
        for pause in (5, 10):
            [ingest] = await backend.claim(later=later)
            for _ in range(2):
                recorded = await backend.ingests.retry(ingest.execution, now=NOW + later)
                assert recorded is Recorded.YOURS
            assert await backend.claim(later=later + (pause - 1) * SECOND) == []
            later += pause * SECOND
        [last] = await backend.claim(later=later)
        assert last.execution.claim == 3
        await backend.ingests.retry(last.execution, now=NOW + later)
        failed = await backend.read(job)
        assert failed.error is not None
        assert failed.error.code == "input_unavailable"

    async def test_released_claim_is_due_at_once_and_no_try(self, backend: IngestBackend) -> None:
        job = await backend.submitted()
        for number in range(1, 6):
            [ingest] = await backend.claim()
            assert ingest.execution.claim == number
            recorded = await backend.ingests.release(ingest.execution, now=NOW)
            assert recorded is Recorded.YOURS
        assert (await backend.read(job)).status is JobStatus.QUEUED

    async def test_lost_claim_is_rescued_and_its_late_end_changes_nothing(
        self, backend: IngestBackend
    ) -> None:
        job = await backend.submitted()
        [lost] = await backend.claim()
        assert await backend.ingests.rescue(now=NOW + 29 * SECOND, limit=10) == []
        [rescue] = await backend.ingests.rescue(now=NOW + 30 * SECOND, limit=10)
        assert (rescue.job_id, rescue.status) == (job.id, JobStatus.QUEUED)
        [again] = await backend.claim(later=35 * SECOND)
        assert again.execution.claim == 2

        late = an_input(job.owner, job.id, index=1, name="late.png")
        at = NOW + 36 * SECOND
        for recorded in (
            await backend.ingests.finish(lost.execution, [late], now=at),
            await backend.ingests.refuse(lost.execution, InputRefused(), now=at),
            await backend.ingests.retry(lost.execution, now=at),
            await backend.ingests.release(lost.execution, now=at),
        ):
            assert recorded is Recorded.STALE
        assert not (await backend.read(job)).eligible
        assert await backend.ingests.heartbeat([lost.execution, again.execution], now=at) == {
            again.execution.execution_id
        }

    async def test_heartbeat_keeps_a_claim(self, backend: IngestBackend) -> None:
        await backend.submitted()
        [ingest] = await backend.claim()
        await backend.ingests.heartbeat([ingest.execution], now=NOW + 20 * SECOND)
        assert await backend.ingests.rescue(now=NOW + 49 * SECOND, limit=10) == []

    async def test_claims_lost_again_and_again_fail_the_job(self, backend: IngestBackend) -> None:
        job = await backend.submitted()
        later = timedelta()
        for _ in range(3):
            assert len(await backend.claim(later=later)) == 1
            later += timedelta(minutes=1)
            await backend.ingests.rescue(now=NOW + later, limit=10)
            later += timedelta(minutes=1)
        failed = await backend.read(job)
        assert failed.error is not None
        assert failed.error.code == "input_unavailable"

    @pytest.mark.parametrize("claimed", [True, False])
    async def test_deadline_ends_the_job(self, backend: IngestBackend, claimed: bool) -> None:
        job = await backend.submitted()
        if claimed:
            [ingest] = await backend.claim()
            at = NOW + timedelta(minutes=14, seconds=50)
            await backend.ingests.heartbeat([ingest.execution], now=at)
        assert await backend.claim(later=timedelta(minutes=15)) == []
        [rescue] = await backend.ingests.rescue(now=NOW + timedelta(minutes=15), limit=10)
        assert rescue.status is JobStatus.FAILED
        failed = await backend.read(job)
        assert failed.error is not None
        assert failed.error.code == "input_unavailable"
        if claimed:
            recorded = await backend.ingests.finish(ingest.execution, [], now=NOW)
            assert recorded is Recorded.STALE
            assert not (await backend.read(job)).eligible

    async def test_queue_deadline_does_not_run_while_media_are_fetched(
        self, backend: IngestBackend
    ) -> None:
        job = await backend.submitted(queue_timeout=SECOND)
        later = NOW + timedelta(days=1)
        assert await backend.ledger.expire_queued(now=later, limit=10) == []
        assert (await backend.read(job)).status is JobStatus.QUEUED

    async def test_cancelled_job_is_held_by_nobody(self, backend: IngestBackend) -> None:
        job = await backend.submitted()
        [ingest] = await backend.claim()
        cancelled = await backend.store.request_cancel(reach_of(job.owner), job.id, now=NOW)
        assert cancelled is not None
        assert cancelled.status is JobStatus.CANCELLED
        assert await backend.ingests.heartbeat([ingest.execution], now=NOW) == frozenset()
        recorded = await backend.ingests.finish(ingest.execution, [], now=NOW)
        assert recorded is Recorded.STALE
        assert (await backend.read(job)).status is JobStatus.CANCELLED
        assert await backend.ingests.backlog() == 0

    async def test_users_take_turns(self, backend: IngestBackend) -> None:
        for user_id in ("u_1", "u_1", "u_1", "u_2", "u_3"):
            await backend.submitted(user_id)
        served = [ingest.execution.owner.user_id for ingest in await backend.claim(3)]
        assert sorted(served) == ["u_1", "u_2", "u_3"]

    async def test_share_of_a_user_and_of_a_tenant_is_bounded(self, backend: IngestBackend) -> None:
        for _ in range(4):
            await backend.submitted("u_1")
        assert len(await backend.claim(4)) == 2
        await backend.submitted("u_2")
        await backend.submitted("u_3")
        await backend.submitted("u_1", tenant=1)
        claimed = await backend.claim(5)
        assert len(claimed) == 2  # one place is left in the first tenant, one job in the second
        assert {ingest.execution.owner.tenant_id for ingest in claimed} == set(backend.tenants)

    async def test_older_job_of_a_user_goes_first(self, backend: IngestBackend) -> None:
        young = await backend.submitted(at=NOW)
        old = await backend.submitted(at=NOW - SECOND)
        claimed = await backend.claim(2)
        assert [ingest.execution.job_id for ingest in claimed] == [old.id, young.id]

    async def test_many_claimers_at_once_claim_no_job_twice(self, backend: IngestBackend) -> None:
        for number in range(8):
            await backend.submitted(f"u_{number}", tenant=number % 2)
        batches = await asyncio.gather(*(backend.claim(2) for _ in range(6)))
        claimed = [ingest.execution.job_id for batch in batches for ingest in batch]
        assert len(claimed) == len(set(claimed)) == 6  # three for each tenant

    async def test_ends_and_creates_at_once_leave_nobody_without_a_turn(
        self, backend: IngestBackend
    ) -> None:
        for _ in range(10):
            await backend.submitted()
            [ingest] = await backend.claim()
            await asyncio.gather(
                backend.ingests.finish(ingest.execution, [], now=NOW), backend.submitted()
            )
            [other] = await backend.claim()
            await backend.ingests.finish(other.execution, [], now=NOW)

    async def test_foreign_tenant_does_not_hold_the_claim(self, backend: IngestBackend) -> None:
        job = await backend.submitted()
        [ingest] = await backend.claim()
        stranger = Owner(tenant_id=backend.tenants[1], user_id=job.owner.user_id)
        forged = dataclasses.replace(ingest.execution, owner=stranger)
        assert await backend.ingests.finish(forged, [], now=NOW) is Recorded.STALE
        assert not (await backend.read(job)).eligible
