"""The limits of the model: constants, and a judgement by counting what was accepted."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

from genjobs.domain.errors import (
    GenjobsError,
    PlanLimit,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    UnknownPlan,
)
from genjobs.domain.ids import TenantId
from genjobs.domain.job import NewJob
from genjobs.domain.plans import DefaultLimits, Limits
from genjobs.domain.tenancy import Owner

DEFAULTS = DefaultLimits(tenant=Limits(max_in_flight=4), user=Limits(max_queued=6))
#: What is changed for the first tenant; the second has the defaults.
FIRST_TENANT: dict[str, Any] = {"max_queued": 9, "max_in_flight": 3, "weight": 2.0}
PLANS: dict[str, dict[str, Any]] = {
    "small": {"max_queued": 2, "max_in_flight": 1, "max_priority": 0},
    "steady": {"submits_per_second": 0.5, "submit_burst": 2, "weight": 3.0},
    "daily": {"jobs_per_day": 4, "bytes_per_day": 1000},
}
_EPSILON = 1e-6


class PlainLimits:
    """Who has which plan, and every submit and byte that counted."""

    def __init__(self, first: TenantId) -> None:
        self._first = first
        self.plan_of: dict[Owner, str] = {}
        self._submits: dict[Any, list[datetime]] = {}
        self._bytes: dict[Any, list[tuple[date, int]]] = {}
        #: When the whole burst is there again.
        self._full: dict[Any, datetime] = {}

    def of(self, whose: TenantId | Owner, plan: str | None = None) -> Limits:
        if not isinstance(whose, Owner):
            return DEFAULTS.tenant.changed_by(FIRST_TENANT if whose == self._first else {})
        return DEFAULTS.user.changed_by(PLANS.get(plan or self.plan_of.get(whose, ""), {}))

    def weight(self, whose: TenantId | Owner) -> float:
        return self.of(whose).weight

    def most_in_flight(self, whose: TenantId | Owner) -> float:
        most = self.of(whose).max_in_flight
        return math.inf if most is None else most

    def refusal(self, new: NewJob, queued: dict[Any, int]) -> type[GenjobsError] | None:
        """Return why the store must refuse the job; ``queued``: of the tenant and the user."""
        if new.plan is not None and new.plan not in PLANS:
            return UnknownPlan
        whose = (new.owner.tenant_id, new.owner)
        limits = [self.of(of, new.plan) for of in whose]
        if any(new.priority > _or_endless(item.max_priority) for item in limits):
            return PlanLimit
        size = sum(entry.bytes for entry in new.inputs)
        for of, item in zip(whose, limits, strict=True):
            jobs, taken = self.today(of, new.created_at)
            if jobs >= _or_endless(item.jobs_per_day):
                return QuotaExceeded
            if taken + size > _or_endless(item.bytes_per_day):
                return QuotaExceeded
            if queued[of] >= _or_endless(item.max_queued):
                return QueueFull
            if not (of == new.owner and self._moves(new)) and self._too_fast(
                of, item, new.created_at
            ):
                return RateLimited
        return None

    def count_submit(self, new: NewJob, now: datetime) -> None:
        if self._moves(new):
            self._full.pop(new.owner, None)
        if new.plan is not None:
            self.plan_of[new.owner] = new.plan
        for of in (new.owner.tenant_id, new.owner):
            self._submits.setdefault(of, []).append(now)
            rate = self.of(of).submits_per_second
            if rate is not None:
                self._full[of] = max(self._full.get(of, now), now) + timedelta(seconds=1 / rate)
        self.count_bytes(new.owner, sum(entry.bytes for entry in new.inputs), now)

    def count_bytes(self, owner: Owner, size: int, now: datetime) -> None:
        for of in (owner.tenant_id, owner):
            self._bytes.setdefault(of, []).append((_day(now), size))

    def today(self, of: TenantId | Owner, now: datetime) -> tuple[int, int]:
        """Return the jobs and bytes of the day."""
        jobs = sum(_day(at) == _day(now) for at in self._submits.get(of, ()))
        return jobs, sum(size for day, size in self._bytes.get(of, ()) if day == _day(now))

    def last_day(self, owner: Owner) -> date:
        """Return the last day on which anything counted."""
        return max((day for day, _ in self._bytes.get(owner, ())), default=date.min)

    def _moves(self, new: NewJob) -> bool:
        """Whether the user gets another plan, and so begins with its whole burst."""
        return new.plan is not None and new.plan != self.plan_of.get(new.owner)

    def _too_fast(self, of: TenantId | Owner, limits: Limits, now: datetime) -> bool:
        if limits.submits_per_second is None or limits.submit_burst is None:
            return False
        ahead = max(0.0, (self._full.get(of, now) - now).total_seconds())
        most = (limits.submit_burst - 1) / limits.submits_per_second
        return ahead > most + _EPSILON


def _or_endless(value: float | None) -> float:
    return math.inf if value is None else value


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()
