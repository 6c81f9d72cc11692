"""The contract of erasures: how one begins, who is shut out, and an outage."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from genjobs.domain.credentials import TOKEN_LIFE
from genjobs.domain.erasure import Erased, ErasureKind
from genjobs.domain.errors import Unavailable, UserBeingErased
from genjobs.domain.ids import ErasureId, JobId
from genjobs.domain.ports import ErasureLedger, ErasureStore
from genjobs.domain.tenancy import Reach
from genjobs.testing.contracts.erasure_backend import ErasureBackend
from genjobs.testing.contracts.erasure_steps import ErasureSteps
from genjobs.testing.contracts.job_store import reach_of
from genjobs.testing.contracts.ledger_steps import NOW, SECOND
from genjobs.testing.factories import a_new_job, an_owner


class ErasureContract(ErasureSteps):
    """Needs the fixture ``jobs``: a backend over empty data, with 8 slots."""

    @pytest.fixture
    def jobs(self) -> ErasureBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- beginning ----------------------------------------------------------------------------

    async def test_the_same_erasure_is_returned_while_it_goes_on(
        self, jobs: ErasureBackend
    ) -> None:
        first = await jobs.begun()
        assert (first.kind, first.requested_at, first.finished_at) == (ErasureKind.USER, NOW, None)
        assert first.erased == Erased()
        others = await asyncio.gather(*(jobs.begun() for _ in range(4)))
        assert {other.id for other in others} == {first.id}
        assert (await jobs.begun(jobs.owner("u_2"))).id != first.id
        assert (await jobs.begun(jobs.owner("u_1", tenant=1))).id != first.id

        erasing = next(
            item for item in await jobs.erasing.take(now=NOW, limit=9) if item.id == first.id
        )
        assert (erasing.owner, erasing.job_id) == (jobs.owner(), None)
        assert await jobs.erasing.finish(erasing, now=NOW + SECOND)
        again = await jobs.begun()
        assert again.id != first.id

    async def test_job_is_erased_within_reach_alone(self, jobs: ErasureBackend) -> None:
        job = await jobs.submitted()
        tenant, user = job.owner.tenant_id, job.owner.user_id
        for reach in (
            Reach(tenant_id=tenant, user_id="u_2"),
            Reach(tenant_id=jobs.tenants[1], user_id=user),
            Reach(tenant_id=jobs.tenants[1], user_id=None),
        ):
            found = await jobs.erasures.begin_job(reach, job.id, ErasureId(uuid4()), now=NOW)
            assert found is None
        assert (
            await jobs.erasures.begin_job(
                reach_of(job.owner), JobId(uuid4()), ErasureId(uuid4()), now=NOW
            )
            is None
        )
        assert await jobs.erasing.take(now=NOW, limit=9) == []
        whole = Reach(tenant_id=tenant, user_id=None)
        first = await jobs.erasures.begin_job(whole, job.id, ErasureId(uuid4()), now=NOW)
        assert first is not None
        assert first.kind is ErasureKind.JOB
        assert (await jobs.begun_job(job)).id == first.id

    async def test_receipt_is_of_its_tenant(self, jobs: ErasureBackend) -> None:
        erasure = await jobs.begun()
        assert await jobs.erasures.get(jobs.tenants[0], erasure.id) == erasure
        assert await jobs.erasures.get(jobs.tenants[1], erasure.id) is None
        assert await jobs.erasures.get(jobs.tenants[0], ErasureId(uuid4())) is None

    async def test_user_who_is_being_erased_cannot_submit(self, jobs: ErasureBackend) -> None:
        job = await jobs.submitted(key="key")
        await jobs.begun()
        for new in (a_new_job(jobs.owner()), a_new_job(jobs.owner(), key="key")):
            with pytest.raises(UserBeingErased):
                await jobs.store.create(new)
        again = a_new_job(jobs.owner(), key="key")
        assert again.idempotency is not None
        assert await jobs.store.find_submitted(jobs.owner(), again.idempotency, now=NOW) is None
        assert await jobs.read(job)  # it is there until it goes
        await jobs.submitted(jobs.owner("u_2"))
        await jobs.submitted(jobs.owner("u_1", tenant=1))

        erasing = await jobs.taken()
        await jobs.erasing.cancel(erasing, job.id, now=NOW)
        await jobs.erasing.jobs_gone(erasing, {job.id: 0}, now=NOW)
        await jobs.erasing.keys_gone(erasing, limit=9)
        assert await jobs.erasing.finish(erasing, now=NOW)
        fresh = await jobs.submitted(key="key")
        assert (fresh.id, fresh.queue_position) != (job.id, 0)

    async def test_erasure_of_a_job_lets_its_user_submit(self, jobs: ErasureBackend) -> None:
        job = await jobs.submitted()
        await jobs.begun_job(job)
        await jobs.submitted()

    async def test_tokens_of_the_user_are_dead(self, jobs: ErasureBackend) -> None:
        assert (await jobs.directory.standing(jobs.owner())).tokens_since is None
        await jobs.begun()
        assert (await jobs.directory.standing(jobs.owner())).tokens_since == NOW
        assert (await jobs.directory.standing(jobs.owner("u_2"))).tokens_since is None

        end = NOW + 9 * SECOND
        await jobs.erasing.tidy(now=NOW + 2 * TOKEN_LIFE, limit=9)
        assert (await jobs.directory.standing(jobs.owner())).tokens_since == NOW
        assert await jobs.erasing.finish(await jobs.taken(), now=end)
        assert (await jobs.directory.standing(jobs.owner())).tokens_since == end

        # The cutoff names the user: it goes when no token is left that it forbids.
        await jobs.erasing.tidy(now=end + TOKEN_LIFE - SECOND, limit=9)
        assert (await jobs.directory.standing(jobs.owner())).tokens_since == end
        await jobs.erasing.tidy(now=end + TOKEN_LIFE, limit=9)
        assert (await jobs.directory.standing(jobs.owner())).tokens_since is None


class ErasureOutageContract:
    """Needs the fixtures ``store`` and ``ledger`` whose database is away."""

    @pytest.fixture
    def store(self) -> ErasureStore:
        """Return the tenant's side under test."""
        raise NotImplementedError

    @pytest.fixture
    def ledger(self) -> ErasureLedger:
        """Return the supervisors' side under test."""
        raise NotImplementedError

    async def test_outage_is_told(self, store: ErasureStore, ledger: ErasureLedger) -> None:
        owner = an_owner()
        erasure_id = ErasureId(uuid4())
        for call in (
            store.begin_user(owner, erasure_id, now=NOW),
            store.begin_job(reach_of(owner), JobId(uuid4()), erasure_id, now=NOW),
            store.get(owner.tenant_id, erasure_id),
            ledger.take(now=NOW, limit=1),
            ledger.tidy(now=NOW, limit=1),
        ):
            with pytest.raises(Unavailable):
                await call
