"""The contract of ``JobStore`` and ``TenantDirectory``: limits, plans, usage, ages of keys."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from genjobs.domain.attempts import Completed
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.errors import (
    GenjobsError,
    LimitReached,
    PlanLimit,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    UnknownPlan,
)
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Created, Job, Timings
from genjobs.domain.plans import Allowance, Used
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing.clock import BEGINNING, SequentialIds
from genjobs.testing.contracts.jobs_backend import reach_of
from genjobs.testing.contracts.ledger_steps import completed
from genjobs.testing.contracts.tenancy_backend import TenancyBackend
from genjobs.testing.factories import a_new_job

NOW = BEGINNING
_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_ids = SequentialIds()


class JobLimitsContract:
    """Needs the fixture ``backend``; its job backend has 8 slots."""

    @pytest.fixture
    def backend(self) -> TenancyBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- rates --------------------------------------------------------------------------------

    async def test_burst_is_accepted_and_then_one_at_a_time(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "slow", **_rate(2.0, 3))
        owner = backend.jobs.owner()
        left = [await _submit(backend, owner, plan="slow") for _ in range(3)]
        assert [created.allowance for created in left] == [
            Allowance(burst=3, window_seconds=1.5, remaining=2, reset_seconds=0.5),
            Allowance(burst=3, window_seconds=1.5, remaining=1, reset_seconds=1.0),
            Allowance(burst=3, window_seconds=1.5, remaining=0, reset_seconds=1.5),
        ]

        refused = await _refused(backend, owner)
        assert isinstance(refused, RateLimited)
        assert refused.retry_after == pytest.approx(0.5)
        await _submit(backend, owner, at=NOW + _SECOND / 2)
        assert isinstance(await _refused(backend, owner, at=NOW + _SECOND / 2), RateLimited)
        for _ in range(3):
            await _submit(backend, owner, at=NOW + _HOUR)
        assert isinstance(await _refused(backend, owner, at=NOW + _HOUR), RateLimited)

    async def test_rate_of_the_tenant_holds_for_all_its_users(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_limits(backend.tenant, **_rate(1.0, 3))
        for n in range(3):
            await _submit(backend, backend.jobs.owner(f"u_{n}"))

        assert isinstance(await _refused(backend, backend.jobs.owner("u_9")), RateLimited)
        await _submit(backend, backend.jobs.owner("u_9", tenant=1))

    # -- counts -------------------------------------------------------------------------------

    async def test_no_number_of_submits_at_once_gets_past_a_cap(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_limits(backend.tenant, max_queued=50)
        owners = [backend.jobs.owner(f"u_{n % 7}") for n in range(200)]
        results = await asyncio.gather(
            *(_submit(backend, owner) for owner in owners), return_exceptions=True
        )

        assert sum(isinstance(result, Created) for result in results) == 50
        assert sum(isinstance(result, QueueFull) for result in results) == 150
        usage = await backend.directory.usage(_whole(backend), now=NOW)
        assert usage.tenant is not None
        assert (usage.tenant.queued, usage.tenant.jobs_today) == (50, 50)

    async def test_queue_has_room_again_once_a_job_leaves_it(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "two", max_queued=2)
        owner = backend.jobs.owner()
        first = await _submit(backend, owner, plan="two")
        await _submit(backend, owner)
        assert isinstance(await _refused(backend, owner), QueueFull)

        await backend.jobs.store.request_cancel(reach_of(owner), first.job.id, now=NOW)
        await _submit(backend, owner)
        assert isinstance(await _refused(backend, owner), QueueFull)
        await backend.jobs.ledger.dispatch(now=NOW, limit=1)
        await _submit(backend, owner)

    async def test_jobs_of_a_day_end_with_the_day(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "daily", jobs_per_day=2)
        owner = backend.jobs.owner()
        for _ in range(2):
            created = await _submit(backend, owner, plan="daily")
            await backend.jobs.store.request_cancel(reach_of(owner), created.job.id, now=NOW)
        refused = await _refused(backend, owner)
        assert isinstance(refused, QuotaExceeded)

        tomorrow = NOW + timedelta(seconds=refused.retry_after)
        assert (tomorrow.hour, tomorrow.minute, tomorrow.second) == (0, 0, 0)
        assert isinstance(await _refused(backend, owner, at=tomorrow - _SECOND), QuotaExceeded)
        await _submit(backend, owner, at=tomorrow)

    async def test_bytes_of_a_day_count_inputs_and_outputs(self, backend: TenancyBackend) -> None:
        size = a_new_job(backend.jobs.owner(), inputs=["a.png"]).inputs[0].bytes
        await backend.arrange.set_plan(backend.tenant, "thin", bytes_per_day=2 * size)
        owner = backend.jobs.owner()
        await _submit(backend, owner, plan="thin", inputs=["a.png"])
        assert isinstance(await _refused(backend, owner, inputs=["a.png", "b.png"]), QuotaExceeded)
        await _submit(backend, owner, inputs=["a.png"])
        assert isinstance(await _refused(backend, owner, inputs=["a.png"]), QuotaExceeded)

        other = backend.jobs.owner("u_2")
        created = await _submit(backend, other, plan="thin")
        await _complete(backend, created.job, size)
        used = (await backend.directory.usage(reach_of(other), now=NOW)).user
        assert used is not None
        assert used.bytes_today == size

    async def test_what_is_refused_leaves_nothing(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "one", max_queued=1)
        owner = backend.jobs.owner()
        first = await _submit(backend, owner, plan="one")
        refused = a_new_job(owner, key="k")
        with pytest.raises(QueueFull):
            await backend.jobs.store.create(refused)

        assert await backend.jobs.store.get(reach_of(owner), refused.id) is None
        await backend.jobs.store.request_cancel(reach_of(owner), first.job.id, now=NOW)
        # The key is not burned, not even for another request.
        again = await backend.jobs.store.create(a_new_job(owner, key="k", fingerprint=b"o" * 32))
        assert not again.replayed

    async def test_replay_costs_nothing_and_is_never_refused(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(
            backend.tenant, "one", max_queued=1, jobs_per_day=1, **_rate(0.001, 1)
        )
        owner = backend.jobs.owner()
        first = await _submit(backend, owner, plan="one", key="k")
        for _ in range(5):
            again = await _submit(backend, owner, key="k")
            assert (again.replayed, again.job.id) == (True, first.job.id)
        used = (await backend.directory.usage(reach_of(owner), now=NOW)).user
        assert used is not None
        assert used.jobs_today == 1

    async def test_key_is_free_again_after_a_day(self, backend: TenancyBackend) -> None:
        owner, day = backend.jobs.owner(), timedelta(hours=24)
        first = await _submit(backend, owner, key="k")
        assert (await _submit(backend, owner, key="k", at=NOW + day - _SECOND)).replayed

        later = await _submit(backend, owner, key="k", at=NOW + day)
        assert (later.replayed, later.job.id == first.job.id) == (False, False)
        pruned = await backend.jobs.ledger.prune(now=NOW + 2 * day, limit=10)
        assert pruned.keys == 1

    # -- plans --------------------------------------------------------------------------------

    async def test_unknown_plan_is_refused_and_changes_nothing(
        self, backend: TenancyBackend
    ) -> None:
        owner = backend.jobs.owner()
        await backend.arrange.set_plan(backend.jobs.tenants[1], "theirs", max_queued=1)
        for name in ("none", "theirs"):
            assert isinstance(await _refused(backend, owner, plan=name), UnknownPlan)
        assert (await _submit(backend, owner)).allowance is None

    async def test_plan_named_last_holds_until_another_is_named(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_plan(backend.tenant, "small", max_queued=1)
        await backend.arrange.set_plan(backend.tenant, "large", max_queued=3)
        owner = backend.jobs.owner()
        await _submit(backend, owner, plan="small")
        assert isinstance(await _refused(backend, owner), QueueFull)
        await _submit(backend, owner, plan="large")
        await _submit(backend, owner)
        assert isinstance(await _refused(backend, owner), QueueFull)

        await backend.arrange.assign(owner, None)
        await _submit(backend, owner)
        await backend.arrange.assign(owner, "small")
        assert isinstance(await _refused(backend, owner), QueueFull)

    @pytest.mark.parametrize(
        ("limit", "field", "allowed", "beyond"),
        [
            ({"max_priority": 5}, "priority", 5, 6),
            ({"max_run_seconds": 60.0}, "run_timeout", timedelta(minutes=1), timedelta(minutes=2)),
            ({"max_retention_seconds": 3600.0}, "retention", _HOUR, 2 * _HOUR),
        ],
    )
    @pytest.mark.parametrize("whose", ["user", "tenant"])
    async def test_wish_beyond_the_plan_is_refused_and_a_default_bows_to_it(
        self,
        backend: TenancyBackend,
        limit: dict[str, Any],
        field: str,
        allowed: Any,
        beyond: Any,
        whose: str,
    ) -> None:
        plan = None
        if whose == "user":
            plan = "held"
            await backend.arrange.set_plan(backend.tenant, plan, **limit)
        else:
            await backend.arrange.set_limits(backend.tenant, **limit)
        new = dataclasses.replace(a_new_job(backend.jobs.owner()), plan=plan)
        asked = {} if field == "priority" else {f"{field}_asked": True}

        with pytest.raises(PlanLimit) as refused:
            await backend.jobs.store.create(
                dataclasses.replace(new, **{field: beyond}, **asked)  # type: ignore[arg-type]
            )
        pointer = f"/{field}" if field == "priority" else f"/{field}_seconds"
        assert refused.value.pointer == pointer
        wished = dataclasses.replace(new, **{field: allowed}, **asked)  # type: ignore[arg-type]
        created = await backend.jobs.store.create(wished)
        assert getattr(created.job, field) == allowed
        if field != "priority":
            other = dataclasses.replace(
                new, id=a_new_job(backend.jobs.owner()).id, **{field: beyond}
            )
            created = await backend.jobs.store.create(other)
            assert getattr(created.job, field) == allowed
            assert getattr(await backend.jobs.read(created.job), field) == allowed

    # -- the fair share -----------------------------------------------------------------------

    async def test_slots_go_round_tenants_and_then_users(self, backend: TenancyBackend) -> None:
        many = [await _submit(backend, backend.jobs.owner("u_1")) for _ in range(6)]
        other = await _submit(backend, backend.jobs.owner("u_2"))
        theirs = await _submit(backend, backend.jobs.owner("u_1", tenant=1))

        given = await backend.jobs.ledger.dispatch(now=NOW, limit=4)
        assert [item.job_id for item in given] == [
            many[0].job.id,
            theirs.job.id,
            other.job.id,
            many[1].job.id,
        ]

    async def test_heavier_user_has_more_of_the_slots(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "pro", weight=3.0)
        free, paying = backend.jobs.owner("free"), backend.jobs.owner("paying")
        for _ in range(8):
            await _submit(backend, free)
            await _submit(backend, paying, plan="pro")

        given = await backend.jobs.ledger.dispatch(now=NOW, limit=8)
        assert [item.owner for item in given].count(paying) == 6

    async def test_who_is_at_a_cap_is_passed_over(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "two", max_in_flight=2)
        await backend.arrange.set_limits(backend.tenant, max_in_flight=3)
        held, free = backend.jobs.owner("held"), backend.jobs.owner("free")
        for _ in range(4):
            await _submit(backend, held, plan="two")
            await _submit(backend, free)
        stranger = await _submit(backend, backend.jobs.owner(tenant=1))

        given = await backend.jobs.ledger.dispatch(now=NOW, limit=8)
        owners = [item.owner for item in given]
        assert (owners.count(held), owners.count(free)) in {(2, 1), (1, 2)}
        assert owners.count(stranger.job.owner) == 1
        assert await backend.jobs.ledger.dispatch(now=NOW, limit=8) == []

        first = next(item for item in given if item.owner == held)
        await backend.jobs.store.request_cancel(reach_of(held), first.job_id, now=NOW)
        assert len(await backend.jobs.ledger.dispatch(now=NOW, limit=8)) == 1

    async def test_cap_that_is_raised_frees_who_waited_for_it(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_plan(backend.tenant, "one", max_in_flight=1)
        owner = backend.jobs.owner()
        for _ in range(3):
            await _submit(backend, owner, plan="one")
        assert len(await backend.jobs.ledger.dispatch(now=NOW, limit=8)) == 1
        await backend.arrange.set_plan(backend.tenant, "one", max_in_flight=2)
        assert len(await backend.jobs.ledger.dispatch(now=NOW, limit=8)) == 1

    # -- reading ------------------------------------------------------------------------------

    async def test_usage_tells_limits_and_what_is_used(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_limits(backend.tenant, max_queued=9)
        await backend.arrange.set_plan(backend.tenant, "pro", max_queued=5, weight=2.0)
        owner = backend.jobs.owner()
        for _ in range(3):
            await _submit(backend, owner, plan="pro")
        await _submit(backend, backend.jobs.owner("u_2"))
        await backend.jobs.ledger.dispatch(now=NOW, limit=1)

        usage = await backend.directory.usage(reach_of(owner), now=NOW)
        assert usage.tenant is not None
        assert usage.user is not None
        assert usage.tenant.limits.max_queued == 9
        assert (usage.user.plan, usage.user.limits.max_queued) == ("pro", 5)
        assert usage.user.limits.weight == 2.0
        assert _counts(usage.tenant) == (3, 1, 4)
        assert _counts(usage.user) == (2, 1, 3)
        tomorrow = await backend.directory.usage(reach_of(owner), now=NOW + timedelta(days=1))
        assert tomorrow.user is not None
        assert _counts(tomorrow.user) == (2, 1, 0)

    async def test_usage_of_one_who_never_came_is_nothing(self, backend: TenancyBackend) -> None:
        usage = await backend.directory.usage(reach_of(backend.jobs.owner("new")), now=NOW)
        assert usage.user is not None
        assert (usage.user.plan, _counts(usage.user)) == (None, (0, 0, 0))
        whole = await backend.directory.usage(_whole(backend), now=NOW)
        assert whole.user is None

    async def test_narrowing_is_of_one_tenant(self, backend: TenancyBackend) -> None:
        narrowing = Narrowing(allowed=frozenset({"A", "B"}), denied=frozenset({"B"}))
        await backend.arrange.narrow(backend.tenant, narrowing)
        assert await backend.directory.narrowing(backend.tenant) == narrowing
        assert await backend.directory.narrowing(backend.jobs.tenants[1]) == Narrowing()


def _rate(per_second: float, burst: int) -> dict[str, Any]:
    return {"submits_per_second": per_second, "submit_burst": burst}


def _whole(backend: TenancyBackend) -> Reach:
    return Reach(tenant_id=backend.tenant, user_id=None)


def _counts(used: Used) -> tuple[int, int, int]:
    return used.queued, used.in_flight, used.jobs_today


async def _submit(
    backend: TenancyBackend, owner: Owner, *, plan: str | None = None, **parts: Any
) -> Created:
    new = dataclasses.replace(a_new_job(owner, **parts), plan=plan)
    return await backend.jobs.store.create(new)


async def _refused(backend: TenancyBackend, owner: Owner, **parts: Any) -> GenjobsError:
    with pytest.raises(GenjobsError) as refused:
        await _submit(backend, owner, **parts)
    assert isinstance(refused.value, LimitReached | PlanLimit | UnknownPlan)
    return refused.value


async def _complete(backend: TenancyBackend, job: Job, size: int) -> None:
    """Run the job to an output of ``size`` bytes; others in line go first."""
    while True:
        [assignment] = await backend.jobs.ledger.dispatch(now=NOW, limit=1)
        started = await backend.jobs.ledger.start(assignment, ExecutionId(_ids.uuid4()), now=NOW)
        if assignment.job_id == job.id:
            break
    made = completed(started.execution)
    output = dataclasses.replace(made.outputs[0], bytes=size)
    await backend.jobs.ledger.finish(
        started.execution, Completed(outputs=(output,), timings=Timings()), now=NOW
    )
