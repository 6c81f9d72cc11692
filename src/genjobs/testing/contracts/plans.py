"""The contract of job ports and ``TenantDirectory``: plans, the fair share, usage."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.errors import (
    PlanLimit,
    QueueFull,
    UnknownPlan,
)
from genjobs.testing.contracts.jobs_backend import reach_of
from genjobs.testing.contracts.limit_steps import (
    NOW,
    counts,
    refused,
    submit,
    whole,
)
from genjobs.testing.contracts.tenancy_backend import TenancyBackend
from genjobs.testing.factories import a_new_job

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)


class PlansContract:
    """Needs the fixture ``backend``; its job backend has 8 slots."""

    @pytest.fixture
    def backend(self) -> TenancyBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- plans --------------------------------------------------------------------------------

    async def test_unknown_plan_is_refused_and_changes_nothing(
        self, backend: TenancyBackend
    ) -> None:
        owner = backend.jobs.owner()
        await backend.arrange.set_plan(backend.jobs.tenants[1], "theirs", max_queued=1)
        for name in ("none", "theirs"):
            assert isinstance(await refused(backend, owner, plan=name), UnknownPlan)
        assert (await submit(backend, owner)).allowance is None

    async def test_plan_named_last_holds_until_another_is_named(
        self, backend: TenancyBackend
    ) -> None:
        await backend.arrange.set_plan(backend.tenant, "small", max_queued=1)
        await backend.arrange.set_plan(backend.tenant, "large", max_queued=3)
        owner = backend.jobs.owner()
        await submit(backend, owner, plan="small")
        assert isinstance(await refused(backend, owner), QueueFull)
        await submit(backend, owner, plan="large")
        await submit(backend, owner)
        assert isinstance(await refused(backend, owner), QueueFull)

        await backend.arrange.assign(owner, None)
        await submit(backend, owner)
        await backend.arrange.assign(owner, "small")
        assert isinstance(await refused(backend, owner), QueueFull)

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

        with pytest.raises(PlanLimit) as caught:
            await backend.jobs.store.create(
                dataclasses.replace(new, **{field: beyond}, **asked)  # type: ignore[arg-type]
            )
        pointer = f"/{field}" if field == "priority" else f"/{field}_seconds"
        assert caught.value.pointer == pointer
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

    async def test_retention_of_a_job_that_asks_for_none_is_the_plans(
        self, backend: TenancyBackend
    ) -> None:
        arrange, owner = backend.arrange, backend.jobs.owner()
        day, month = timedelta(days=1), timedelta(days=30)

        async def kept(plan: str | None = None, **parts: Any) -> timedelta:
            new = dataclasses.replace(a_new_job(owner), plan=plan, **parts)
            return (await backend.jobs.store.create(new)).job.retention

        assert await kept() == timedelta(days=7)  # the deployment's
        await arrange.set_limits(backend.tenant, retention_seconds=month.total_seconds())
        assert await kept() == month
        await arrange.set_plan(backend.tenant, "short", retention_seconds=day.total_seconds())
        assert await kept("short") == day
        assert await kept("short", retention=2 * day, retention_asked=True) == 2 * day
        held = {"retention_seconds": month.total_seconds(), "max_retention_seconds": 3600.0}
        await arrange.set_plan(backend.tenant, "held", **held)
        assert await kept("held") == _HOUR

    # -- the fair share -----------------------------------------------------------------------

    async def test_slots_go_round_tenants_and_then_users(self, backend: TenancyBackend) -> None:
        many = [await submit(backend, backend.jobs.owner("u_1")) for _ in range(6)]
        other = await submit(backend, backend.jobs.owner("u_2"))
        theirs = await submit(backend, backend.jobs.owner("u_1", tenant=1))

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
            await submit(backend, free)
            await submit(backend, paying, plan="pro")

        given = await backend.jobs.ledger.dispatch(now=NOW, limit=8)
        assert [item.owner for item in given].count(paying) == 6

    async def test_who_is_at_a_cap_is_passed_over(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_plan(backend.tenant, "two", max_in_flight=2)
        await backend.arrange.set_limits(backend.tenant, max_in_flight=3)
        held, free = backend.jobs.owner("held"), backend.jobs.owner("free")
        for _ in range(4):
            await submit(backend, held, plan="two")
            await submit(backend, free)
        stranger = await submit(backend, backend.jobs.owner(tenant=1))

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
            await submit(backend, owner, plan="one")
        assert len(await backend.jobs.ledger.dispatch(now=NOW, limit=8)) == 1
        await backend.arrange.set_plan(backend.tenant, "one", max_in_flight=2)
        assert len(await backend.jobs.ledger.dispatch(now=NOW, limit=8)) == 1

    # -- reading ------------------------------------------------------------------------------

    async def test_usage_tells_limits_and_what_is_used(self, backend: TenancyBackend) -> None:
        await backend.arrange.set_limits(backend.tenant, max_queued=9)
        await backend.arrange.set_plan(backend.tenant, "pro", max_queued=5, weight=2.0)
        owner = backend.jobs.owner()
        for _ in range(3):
            await submit(backend, owner, plan="pro")
        await submit(backend, backend.jobs.owner("u_2"))
        await backend.jobs.ledger.dispatch(now=NOW, limit=1)

        usage = await backend.directory.usage(reach_of(owner), now=NOW)
        assert usage.tenant is not None
        assert usage.user is not None
        assert usage.tenant.limits.max_queued == 9
        assert (usage.user.plan, usage.user.limits.max_queued) == ("pro", 5)
        assert usage.user.limits.weight == 2.0
        assert counts(usage.tenant) == (3, 1, 4)
        assert counts(usage.user) == (2, 1, 3)
        tomorrow = await backend.directory.usage(reach_of(owner), now=NOW + timedelta(days=1))
        assert tomorrow.user is not None
        assert counts(tomorrow.user) == (2, 1, 0)

    async def test_usage_of_one_who_never_came_is_nothing(self, backend: TenancyBackend) -> None:
        usage = await backend.directory.usage(reach_of(backend.jobs.owner("new")), now=NOW)
        assert usage.user is not None
        assert (usage.user.plan, counts(usage.user)) == (None, (0, 0, 0))
        of_all = await backend.directory.usage(whole(backend), now=NOW)
        assert of_all.user is None

    async def test_narrowing_is_of_one_tenant(self, backend: TenancyBackend) -> None:
        narrowing = Narrowing(allowed=frozenset({"A", "B"}), denied=frozenset({"B"}))
        await backend.arrange.narrow(backend.tenant, narrowing)
        assert await backend.directory.narrowing(backend.tenant) == narrowing
        assert await backend.directory.narrowing(backend.jobs.tenants[1]) == Narrowing()
