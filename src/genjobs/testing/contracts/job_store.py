"""The contract of ``JobStore``."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.attempts import Beat, Completed
from genjobs.domain.errors import IdempotencyMismatch
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import CancelMethod, Idempotency, JobQuery, Progress, Timings
from genjobs.domain.lifecycle import JobStatus, Phase
from genjobs.domain.tenancy import Reach
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts.jobs_backend import JobsBackend, reach_of
from genjobs.testing.factories import a_new_job, a_workflow

NOW = BEGINNING
_MINUTE = timedelta(minutes=1)
_NONE = Timings()


__all__ = ["JobStoreContract", "JobsBackend", "reach_of"]


class JobStoreContract:
    """Needs the fixture ``jobs``: a :class:`JobsBackend` with a window of at least 8 slots."""

    @pytest.fixture
    def jobs(self) -> JobsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_created_job_is_queued_and_eligible(self, jobs: JobsBackend) -> None:
        new = a_new_job(jobs.owner(), priority=5)
        created = await jobs.store.create(new)
        job = created.job

        assert not created.replayed
        assert job == await jobs.read(job)
        assert (job.id, job.owner, job.status) == (new.id, new.owner, JobStatus.QUEUED)
        assert job.eligible
        assert (job.attempt, job.priority, job.queue_position) == (0, 5, 1)
        assert (job.created_at, job.queue_deadline) == (NOW, NOW + timedelta(minutes=30))
        assert (job.run_timeout, job.retention) == (timedelta(minutes=10), timedelta(days=7))
        assert job.metadata == {"order": "1"}
        assert job.started_at is None
        assert job.finished_at is None
        assert job.cancellation is None
        assert job.outputs == ()

    async def test_job_of_another_tenant_or_user_is_not_there(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted(jobs.owner("u_1"))
        foreign = [
            reach_of(jobs.owner("u_2")),
            reach_of(jobs.owner("u_1", tenant=1)),
            Reach(tenant_id=jobs.tenants[1], user_id=None),
        ]

        for reach in foreign:
            assert await jobs.store.get(reach, job.id) is None
            assert await jobs.store.request_cancel(reach, job.id, now=NOW) is None
            assert await jobs.store.list_jobs(reach, JobQuery(limit=10)) == []
        assert (await jobs.read(job)).status is JobStatus.QUEUED

    async def test_tenant_wide_reach_sees_all_its_users(self, jobs: JobsBackend) -> None:
        first = await jobs.submitted(jobs.owner("u_1"))
        second = await jobs.submitted(jobs.owner("u_2"), at=NOW + _MINUTE)
        await jobs.submitted(jobs.owner("u_1", tenant=1))
        reach = Reach(tenant_id=jobs.tenants[0], user_id=None)

        listed = await jobs.store.list_jobs(reach, JobQuery(limit=10))
        assert [job.id for job in listed] == [second.id, first.id]
        assert await jobs.store.get(reach, first.id) is not None

    async def test_missing_job_is_none(self, jobs: JobsBackend) -> None:
        assert await jobs.store.get(reach_of(jobs.owner()), JobId(uuid4())) is None

    async def test_same_key_and_request_is_a_replay(self, jobs: JobsBackend) -> None:
        first = await jobs.submitted(key="k")
        again = await jobs.store.create(a_new_job(jobs.owner(), key="k"))

        assert again.replayed
        assert again.job.id == first.id
        listed = await jobs.store.list_jobs(reach_of(jobs.owner()), JobQuery(limit=10))
        assert [job.id for job in listed] == [first.id]

    async def test_replay_shows_the_job_as_it_is_now(self, jobs: JobsBackend) -> None:
        first = await jobs.submitted(key="k")
        await jobs.store.request_cancel(reach_of(first.owner), first.id, now=NOW)

        again = (await jobs.store.create(a_new_job(jobs.owner(), key="k"))).job
        found = await jobs.store.find_submitted(
            jobs.owner(), Idempotency(key="k", fingerprint=b"f" * 32), now=NOW
        )
        assert again.status is JobStatus.CANCELLED
        assert found == again

    async def test_same_key_other_request_is_a_mismatch(self, jobs: JobsBackend) -> None:
        await jobs.submitted(key="k")

        with pytest.raises(IdempotencyMismatch):
            await jobs.store.create(a_new_job(jobs.owner(), key="k", fingerprint=b"o" * 32))
        with pytest.raises(IdempotencyMismatch):
            await jobs.store.find_submitted(
                jobs.owner(), Idempotency(key="k", fingerprint=b"o" * 32), now=NOW
            )

    async def test_keys_of_other_users_do_not_meet(self, jobs: JobsBackend) -> None:
        mine = await jobs.submitted(jobs.owner("u_1"), key="k")
        theirs = await jobs.submitted(jobs.owner("u_2"), key="k")
        other = await jobs.submitted(jobs.owner("u_1", tenant=1), key="k")

        assert len({mine.id, theirs.id, other.id}) == 3

    async def test_unknown_key_finds_nothing(self, jobs: JobsBackend) -> None:
        key = Idempotency(key="k", fingerprint=b"f" * 32)
        assert await jobs.store.find_submitted(jobs.owner(), key, now=NOW) is None

    async def test_twenty_creates_at_once_under_one_key_make_one_job(
        self, jobs: JobsBackend
    ) -> None:
        results = await asyncio.gather(
            *(jobs.store.create(a_new_job(jobs.owner(), key="k")) for _ in range(20))
        )

        assert len({result.job.id for result in results}) == 1
        assert sum(not result.replayed for result in results) == 1
        assert len(await jobs.store.list_jobs(reach_of(jobs.owner()), JobQuery(limit=50))) == 1

    async def test_listing_pages_newest_first(self, jobs: JobsBackend) -> None:
        made = [await jobs.submitted(at=NOW + _MINUTE * n) for n in range(5)]
        reach = reach_of(jobs.owner())

        first = await jobs.store.list_jobs(reach, JobQuery(limit=2))
        rest = await jobs.store.list_jobs(reach, JobQuery(limit=10, before=first[-1].id))
        assert [job.id for job in [*first, *rest]] == [job.id for job in reversed(made)]
        assert all(job.queue_position is None for job in first)

    async def test_listing_filters_by_status_and_time(self, jobs: JobsBackend) -> None:
        made = [await jobs.submitted(at=NOW + _MINUTE * n) for n in range(4)]
        reach = reach_of(jobs.owner())
        await jobs.store.request_cancel(reach, made[1].id, now=NOW)

        async def ids(query: JobQuery) -> list[JobId]:
            return [job.id for job in await jobs.store.list_jobs(reach, query)]

        cancelled = frozenset({JobStatus.CANCELLED})
        assert await ids(JobQuery(limit=10, statuses=cancelled)) == [made[1].id]
        assert await ids(JobQuery(limit=10, created_after=made[2].created_at)) == [
            made[3].id,
            made[2].id,
        ]
        assert await ids(JobQuery(limit=10, created_before=made[2].created_at)) == [
            made[1].id,
            made[0].id,
        ]

    async def test_position_counts_the_same_users_jobs_by_priority_and_age(
        self, jobs: JobsBackend
    ) -> None:
        await jobs.submitted(jobs.owner("u_2"))
        old = await jobs.submitted(at=NOW + _MINUTE)
        new = await jobs.submitted(at=NOW + 2 * _MINUTE)
        urgent = await jobs.submitted(at=NOW + 3 * _MINUTE, priority=1)

        positions = [(await jobs.read(job)).queue_position for job in (urgent, old, new)]
        assert positions == [1, 2, 3]

    async def test_cancel_of_a_queued_job_is_final_at_once(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        later = NOW + _MINUTE
        cancelled = await jobs.store.request_cancel(reach_of(job.owner), job.id, now=later)

        assert cancelled is not None
        assert cancelled == await jobs.read(job)
        assert (cancelled.status, cancelled.finished_at) == (JobStatus.CANCELLED, later)
        assert cancelled.version != job.version
        receipt = cancelled.cancellation
        assert receipt is not None
        assert (receipt.requested_at, receipt.method) == (later, CancelMethod.DEQUEUED)
        assert (receipt.stopped_at, receipt.gpu_seconds_after_request) == (later, 0.0)
        assert await jobs.ledger.dispatch(now=later, limit=1) == []

    async def test_cancel_of_a_dispatched_job_frees_its_slot(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        await jobs.ledger.dispatch(now=NOW, limit=1)
        before = await jobs.ledger.overview(now=NOW)
        await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)

        after = await jobs.ledger.overview(now=NOW)
        assert after.slots_free == before.slots_free + 1
        assert (await jobs.read(job)).status is JobStatus.CANCELLED

    async def test_cancel_of_a_running_job_is_a_request(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=NOW)
        running = await jobs.read(job)
        asked = await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)

        assert asked is not None
        assert asked.status is JobStatus.RUNNING
        assert asked.cancellation is not None
        assert (asked.cancellation.requested_at, asked.cancellation.method) == (NOW, None)
        assert asked.version != running.version

    async def test_second_cancel_changes_nothing(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        reach = reach_of(job.owner)
        first = await jobs.store.request_cancel(reach, job.id, now=NOW)
        second = await jobs.store.request_cancel(reach, job.id, now=NOW + _MINUTE)

        assert first == second

    async def test_cancel_of_a_completed_job_changes_nothing(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        started = await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=NOW)
        await jobs.ledger.finish(started.execution, Completed(outputs=(), timings=_NONE), now=NOW)
        done = await jobs.read(job)

        assert await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW) == done
        assert (await jobs.read(job), done.cancellation) == (done, None)

    async def test_what_was_submitted_reaches_the_worker_unchanged(self, jobs: JobsBackend) -> None:
        text = {"text": "a \u2028 cät 🐈 \\u0000", "big": 2**70, "small": 1e-300, "none": None}
        new = a_new_job(
            jobs.owner(),
            workflow=a_workflow(**text),
            inputs=["photo.png", "mäsk.png"],
            metadata={"ünicode": "🐈", "empty": ""},
        )
        job = (await jobs.store.create(new)).job
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        started = await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=NOW)

        assert (started.workflow, started.inputs) == (new.workflow, new.inputs)
        assert (job.inputs, job.metadata) == (new.inputs, new.metadata)
        assert ((await jobs.read(job)).inputs, len(new.inputs)) == (new.inputs, 2)

    async def test_position_does_not_count_who_is_through(self, jobs: JobsBackend) -> None:
        first, second, third = [await jobs.submitted(at=NOW + _MINUTE * n) for n in range(3)]
        [assignment] = await jobs.ledger.dispatch(now=NOW + 5 * _MINUTE, limit=1)
        await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=NOW + 5 * _MINUTE)
        await jobs.store.request_cancel(reach_of(second.owner), second.id, now=NOW)

        assert assignment.job_id == first.id
        assert (await jobs.read(first)).queue_position is None
        assert (await jobs.read(third)).queue_position == 1

    async def test_reads_change_nothing(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted(queue_timeout=timedelta(seconds=1))
        reach = reach_of(job.owner)
        for _ in range(3):
            assert await jobs.store.get(reach, job.id) == job
            [listed] = await jobs.store.list_jobs(reach, JobQuery(limit=1))
            await jobs.ledger.overview(now=NOW + _MINUTE)
            assert dataclasses.replace(listed, queue_position=1) == job

    async def test_version_is_new_with_each_visible_change(self, jobs: JobsBackend) -> None:
        job = await jobs.submitted()
        versions = [job.version]
        [assignment] = await jobs.ledger.dispatch(now=NOW, limit=1)
        versions.append((await jobs.read(job)).version)
        started = await jobs.ledger.start(assignment, ExecutionId(uuid4()), now=NOW)
        versions.append((await jobs.read(job)).version)
        for fraction in (0.1, 0.2):
            progress = Progress(fraction=fraction)
            beat = Beat(execution=started.execution, phase=Phase.RENDERING, progress=progress)
            await jobs.ledger.heartbeat([beat], now=NOW)
            versions.append((await jobs.read(job)).version)
        await jobs.store.request_cancel(reach_of(job.owner), job.id, now=NOW)
        versions.append((await jobs.read(job)).version)
        await jobs.ledger.release(started.execution, now=NOW)
        versions.append((await jobs.read(job)).version)

        assert len(set(versions)) == len(versions) == 7

    async def test_ready_store_passes_its_check(self, jobs: JobsBackend) -> None:
        await jobs.store.check()
