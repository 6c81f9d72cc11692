"""The contract of ``JobStore``: limits of rate, count and day, and the ages of keys."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from genjobs.domain.errors import (
    QueueFull,
    QuotaExceeded,
    RateLimited,
)
from genjobs.domain.job import Created
from genjobs.domain.plans import Allowance
from genjobs.testing.contracts.jobs_backend import reach_of
from genjobs.testing.contracts.limit_steps import (
    NOW,
    complete,
    rate,
    refused,
    submit,
    whole,
)
from genjobs.testing.contracts.tenancy_backend import TenancyBackend
from genjobs.testing.factories import a_new_job

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)


class JobLimitsContract:
    """Needs the fixture ``backend``; its job backend has 8 slots."""

    @pytest.fixture
    def backend(self) -> TenancyBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- rates --------------------------------------------------------------------------------

    async def test_burst_is_accepted_and_then_one_at_a_time(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "slow", **rate(2.0, 3))
        owner = backend.jobs.owner()
        left = [await submit(backend, owner, plan="slow") for _ in range(3)]
        assert [created.allowance for created in left] == [
            Allowance(burst=3, window_seconds=1.5, remaining=2, reset_seconds=0.5),
            Allowance(burst=3, window_seconds=1.5, remaining=1, reset_seconds=1.0),
            Allowance(burst=3, window_seconds=1.5, remaining=0, reset_seconds=1.5),
        ]

        limited = await refused(backend, owner)
        assert isinstance(limited, RateLimited)
        assert limited.retry_after == pytest.approx(0.5)
        await submit(backend, owner, at=NOW + _SECOND / 2)
        assert isinstance(await refused(backend, owner, at=NOW + _SECOND / 2), RateLimited)
        for _ in range(3):
            await submit(backend, owner, at=NOW + _HOUR)
        assert isinstance(await refused(backend, owner, at=NOW + _HOUR), RateLimited)

    async def test_rate_of_the_tenant_holds_for_all_its_users(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_limits(backend.tenant, **rate(1.0, 3))
        for n in range(3):
            await submit(backend, backend.jobs.owner(f"u_{n}"))

        assert isinstance(await refused(backend, backend.jobs.owner("u_9")), RateLimited)
        await submit(backend, backend.jobs.owner("u_9", tenant=1))

    async def test_another_plan_begins_with_its_whole_burst(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "slow", **rate(0.01, 1))
        await backend.arrange.set_plan(backend.tenant, "fast", **rate(10.0, 3))
        named, assigned, changed = (backend.jobs.owner(name) for name in "abc")
        for owner in (named, assigned, changed):
            await submit(backend, owner, plan="slow")
            assert isinstance(await refused(backend, owner), RateLimited)

        assert (await submit(backend, named, plan="fast")).allowance is not None
        await backend.arrange.assign(assigned, "fast")
        await backend.arrange.set_plan(backend.tenant, "slow", **rate(10.0, 4))
        for owner, more in ((named, 2), (assigned, 3), (changed, 4)):
            for _ in range(more):
                await submit(backend, owner)
            limited = await refused(backend, owner)
            assert isinstance(limited, RateLimited)
            assert limited.retry_after == pytest.approx(0.1)

    async def test_refused_submit_leaves_plan_and_rate_as_they_were(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_plan(backend.tenant, "slow", **rate(0.01, 1))
        await backend.arrange.set_plan(backend.tenant, "full", max_queued=1)
        owner = backend.jobs.owner()
        await submit(backend, owner, plan="slow")
        assert isinstance(await refused(backend, owner, plan="full"), QueueFull)
        assert isinstance(await refused(backend, owner), RateLimited)

    async def test_clock_that_was_set_back_keeps_nobody_out(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "slow", **rate(2.0, 3))
        await backend.arrange.set_limits(backend.tenant, **rate(100.0, 1000))
        owner = backend.jobs.owner()
        for _ in range(3):
            await submit(backend, owner, plan="slow", at=NOW + _HOUR)
        assert isinstance(await refused(backend, owner, at=NOW + _HOUR), RateLimited)
        # By a process whose clock is a little slow they are not taken for more than they are.
        limited = await refused(backend, owner, at=NOW + _HOUR - 2 * _SECOND)
        assert isinstance(limited, RateLimited)
        assert limited.retry_after == pytest.approx(2.5)

        created = await submit(backend, owner)
        assert created.allowance == Allowance(
            burst=3, window_seconds=1.5, remaining=2, reset_seconds=0.5
        )
        for _ in range(2):
            await submit(backend, owner)
        limited = await refused(backend, owner)
        assert isinstance(limited, RateLimited)
        assert limited.retry_after == pytest.approx(0.5)

    async def test_another_rate_of_the_tenant_begins_with_its_whole_burst(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_limits(backend.tenant, **rate(0.01, 1))
        owner = backend.jobs.owner()
        await submit(backend, owner)
        assert isinstance(await refused(backend, owner), RateLimited)
        await backend.arrange.set_limits(backend.tenant, **rate(10.0, 2))
        for _ in range(2):
            await submit(backend, owner)
        assert isinstance(await refused(backend, owner), RateLimited)

    # -- counts -------------------------------------------------------------------------------

    async def test_no_number_of_submits_at_once_gets_past_a_cap(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_limits(backend.tenant, max_queued=50)
        owners = [backend.jobs.owner(f"u_{n % 7}") for n in range(200)]
        results = await asyncio.gather(
            *(submit(backend, owner) for owner in owners), return_exceptions=True
        )

        assert sum(isinstance(result, Created) for result in results) == 50
        assert sum(isinstance(result, QueueFull) for result in results) == 150
        usage = await backend.directory.usage(whole(backend), now=NOW)
        assert usage.tenant is not None
        assert (usage.tenant.queued, usage.tenant.jobs_today) == (50, 50)

    async def test_queue_has_room_again_once_a_job_leaves_it(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "two", max_queued=2)
        owner = backend.jobs.owner()
        first = await submit(backend, owner, plan="two")
        await submit(backend, owner)
        assert isinstance(await refused(backend, owner), QueueFull)

        await backend.jobs.store.request_cancel(reach_of(owner), first.job.id, now=NOW)
        await submit(backend, owner)
        assert isinstance(await refused(backend, owner), QueueFull)
        await backend.jobs.ledger.dispatch(now=NOW, limit=1)
        await submit(backend, owner)

    async def test_jobs_of_a_day_end_with_the_day(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "daily", jobs_per_day=2)
        owner = backend.jobs.owner()
        for _ in range(2):
            created = await submit(backend, owner, plan="daily")
            await backend.jobs.store.request_cancel(reach_of(owner), created.job.id, now=NOW)
        over = await refused(backend, owner)
        assert isinstance(over, QuotaExceeded)

        tomorrow = NOW + timedelta(seconds=over.retry_after)
        assert (tomorrow.hour, tomorrow.minute, tomorrow.second) == (0, 0, 0)
        assert isinstance(await refused(backend, owner, at=tomorrow - _SECOND), QuotaExceeded)
        await submit(backend, owner, at=tomorrow)

    async def test_bytes_of_a_day_count_inputs_and_outputs(self, backend: TenancyBackend) -> None:
        size = a_new_job(backend.jobs.owner(), inputs=["a.png"]).inputs[0].bytes
        await backend.arrange.set_plan(backend.tenant, "thin", bytes_per_day=2 * size)
        owner = backend.jobs.owner()
        await submit(backend, owner, plan="thin", inputs=["a.png"])
        assert isinstance(await refused(backend, owner, inputs=["a.png", "b.png"]), QuotaExceeded)
        await submit(backend, owner, inputs=["a.png"])
        assert isinstance(await refused(backend, owner, inputs=["a.png"]), QuotaExceeded)

        other = backend.jobs.owner("u_2")
        created = await submit(backend, other, plan="thin")
        await complete(backend, created.job, size)
        used = (await backend.directory.usage(reach_of(other), now=NOW)).user
        assert used is not None
        assert used.bytes_today == size

    async def test_what_is_refused_leaves_nothing(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "one", max_queued=1)
        owner = backend.jobs.owner()
        first = await submit(backend, owner, plan="one")
        unwanted = a_new_job(owner, key="k")
        with pytest.raises(QueueFull):
            await backend.jobs.store.create(unwanted)

        assert await backend.jobs.store.get(reach_of(owner), unwanted.id) is None
        await backend.jobs.store.request_cancel(reach_of(owner), first.job.id, now=NOW)
        # The key is not burned, not even for another request.
        again = await backend.jobs.store.create(a_new_job(owner, key="k", fingerprint=b"o" * 32))
        assert not again.replayed

    async def test_replay_costs_nothing_and_is_never_refused(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(
            backend.tenant, "one", max_queued=1, jobs_per_day=1, **rate(0.001, 1)
        )
        owner = backend.jobs.owner()
        first = await submit(backend, owner, plan="one", key="k")
        for _ in range(5):
            again = await submit(backend, owner, key="k")
            assert (again.replayed, again.job.id) == (True, first.job.id)
        used = (await backend.directory.usage(reach_of(owner), now=NOW)).user
        assert used is not None
        assert used.jobs_today == 1

    async def test_key_is_free_again_after_a_day(self, backend: TenancyBackend) -> None:
        owner, day = backend.jobs.owner(), timedelta(hours=24)
        first = await submit(backend, owner, key="k")
        assert (await submit(backend, owner, key="k", at=NOW + day - _SECOND)).replayed

        later = await submit(backend, owner, key="k", at=NOW + day)
        assert (later.replayed, later.job.id == first.job.id) == (False, False)
        pruned = await backend.jobs.ledger.prune(now=NOW + 2 * day, limit=10)
        assert pruned.keys == 1
