"""
Tenants in memory: their keys, plans and narrowing, and the counts by which submits are judged.

The jobs themselves, of which queued and in flight are counted, are in ``memory_rows``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey, KeyRecord
from genjobs.domain.errors import (
    PlanLimit,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    UnknownPlan,
    UnknownUpload,
    UploadsFull,
)
from genjobs.domain.ids import TenantId
from genjobs.domain.job import NewJob
from genjobs.domain.plans import Allowance, DefaultLimits, Limits, check_changes
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload

_QUEUE_RETRY_SECONDS = 5.0
_EPSILON = 1e-6
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Rules:
    """What was set for one tenant."""

    limits: Mapping[str, Any] = field(default_factory=dict)
    plans: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    narrowing: Narrowing = field(default_factory=Narrowing)


@dataclass(slots=True)
class Counts:
    """What has been used of a rate and of a day."""

    arrival: datetime = _LONG_AGO
    #: The plan, rate and burst that ``arrival`` is of.
    paced: tuple[str | None, float | None, int | None] = (None, None, None)
    day: date = date.min
    jobs: int = 0
    bytes: int = 0
    served: int = 0

    def on(self, day: date) -> Counts:
        """Begin ``day`` unless it has begun; return self."""
        if self.day < day:
            self.day, self.jobs, self.bytes = day, 0, 0
        return self


class MemoryTenants:
    """The rules of all tenants; one that was never mentioned has the default ones."""

    def __init__(self, defaults: DefaultLimits | None = None) -> None:
        self.defaults = defaults or DefaultLimits()
        self.keys: dict[str, KeyRecord] = {}
        self.touched: dict[str, datetime] = {}
        self.issuer_keys: dict[tuple[str, str], IssuerKey] = {}
        self.token_cutoffs: dict[Owner, datetime] = {}
        self.plans_of_users: dict[Owner, str] = {}
        #: Name and time of making; a tenant that nobody made has none, and works all the same.
        self.tenant_notes: dict[TenantId, tuple[str, datetime]] = {}
        self.key_notes: dict[str, tuple[str, datetime]] = {}
        self.issuer_notes: dict[tuple[str, str], datetime] = {}
        self._rules: dict[TenantId, Rules] = {}
        self._counts: dict[TenantId | Owner, Counts] = {}
        self._turns = 0

    def rules(self, tenant_id: TenantId) -> Rules:
        """Return what was set for a tenant; change it with the methods below."""
        return self._rules.setdefault(tenant_id, Rules())

    def known(self) -> set[TenantId]:
        """Return the tenants that were ever mentioned."""
        return {*self._rules, *(key.tenant_id for key in self.keys.values())}

    def set_limits(self, tenant_id: TenantId, **changes: Any) -> None:
        """Change limits of a tenant as a whole."""
        self.rules(tenant_id).limits = check_changes(changes, self.defaults.tenant)

    def set_plan(self, tenant_id: TenantId, name: str, **changes: Any) -> None:
        """Make a plan for users of a tenant."""
        self.rules(tenant_id).plans[name] = check_changes(changes, self.defaults.user)

    def counts(self, of: TenantId | Owner) -> Counts:
        """Return the counts of a tenant or a user."""
        return self._counts.setdefault(of, Counts())

    def forget(self, owner: Owner) -> None:
        """Forget what a user has used, and their plan."""
        self._counts.pop(owner, None)
        self.plans_of_users.pop(owner, None)

    def tenant_limits(self, tenant_id: TenantId) -> Limits:
        """Return the limits of a tenant as a whole."""
        return self.defaults.tenant.changed_by(self.rules(tenant_id).limits)

    def user_limits(self, owner: Owner, plan: str | None = None) -> Limits:
        """Return the limits of a user, by ``plan`` or by the plan that was named last."""
        name = plan or self.plans_of_users.get(owner)
        changes = self.rules(owner.tenant_id).plans.get(name, {}) if name else {}
        return self.defaults.user.changed_by(changes)

    def share(self, of: TenantId | Owner, in_flight: int) -> tuple[float, int]:
        """Return by what a tenant or user is picked: the smallest goes first."""
        limits = self.user_limits(of) if isinstance(of, Owner) else self.tenant_limits(of)
        return in_flight / limits.weight, self.counts(of).served

    def serve(self, owner: Owner) -> None:
        """Note that the turn is used up."""
        self._turns += 1
        self.counts(owner.tenant_id).served = self.counts(owner).served = self._turns

    def add_bytes(self, owner: Owner, now: datetime, count: int) -> None:
        """Count bytes that came or went."""
        for of in (owner.tenant_id, owner):
            self.counts(of).on(now.astimezone(UTC).date()).bytes += count

    def admit(
        self, job: NewJob, queued_of_tenant: int, queued_of_user: int, has_uploads: bool = True
    ) -> tuple[timedelta, timedelta, Allowance | None]:
        """
        Judge and count a submit; return run time-out, retention and what is left of the rate.

        Raises:
            UnknownPlan, PlanLimit, LimitReached, UnknownUpload: it is refused, nothing is counted.
        """
        owner = job.owner
        if job.plan is not None and job.plan not in self.rules(owner.tenant_id).plans:
            raise UnknownPlan(pointer="/plan")
        both = self.tenant_limits(owner.tenant_id), self.user_limits(owner, job.plan)
        run, retention = _within_plan(job, both)
        count = sum(entry.bytes for entry in job.inputs)
        queued = queued_of_tenant, queued_of_user
        whose: tuple[TenantId | Owner, ...] = (owner.tenant_id, owner)
        names = None, job.plan or self.plans_of_users.get(owner)
        pairs = list(zip(whose, both, queued, names, strict=True))
        for of, limits, waiting, name in pairs:
            counts = self.counts(of)
            paced = counts.paced == _pace(name, limits)
            ahead = _ahead(counts, limits, job.created_at) if paced else 0.0
            _judge(counts, limits, waiting, count, job.created_at, ahead)
        if not has_uploads:
            raise UnknownUpload(pointer="/media")
        for of, limits, _, name in pairs:
            counts = self.counts(of).on(job.created_at.astimezone(UTC).date())
            if counts.paced != _pace(name, limits):  # another rate begins with its whole burst
                counts.arrival, counts.paced = _LONG_AGO, _pace(name, limits)
            counts.jobs += 1
            counts.bytes += count
            if limits.submits_per_second is not None:
                step = timedelta(seconds=1 / limits.submits_per_second)
                late = _ahead(counts, limits, job.created_at) == 0
                counts.arrival = (job.created_at if late else counts.arrival) + step
        if job.plan is not None:
            self.plans_of_users[owner] = job.plan
        return run, retention, _allowance(self.counts(owner), both[1], job.created_at)

    def admit_upload(self, upload: Upload, unused_of_tenant: int, unused_of_user: int) -> None:
        """Judge and count an upload; ``LimitReached`` when it is one too many."""
        owner, now = upload.owner, upload.created_at
        today, left = _day(now)
        for of, limits, unused in (
            (owner.tenant_id, self.tenant_limits(owner.tenant_id), unused_of_tenant),
            (owner, self.user_limits(owner), unused_of_user),
        ):
            counts = self.counts(of)
            taken = counts.bytes if counts.day >= today else 0
            if limits.bytes_per_day is not None and taken + upload.bytes > limits.bytes_per_day:
                raise QuotaExceeded(retry_after=left)
            if limits.max_uploads is not None and unused >= limits.max_uploads:
                raise UploadsFull(retry_after=_QUEUE_RETRY_SECONDS)
        self.add_bytes(owner, now, upload.bytes)


def _within_plan(job: NewJob, both: tuple[Limits, Limits]) -> tuple[timedelta, timedelta]:
    for limits in both:
        if limits.max_priority is not None and job.priority > limits.max_priority:
            raise PlanLimit(pointer="/priority")
    tenant, user = both
    seconds = user.retention_seconds if user.retention_seconds else tenant.retention_seconds
    retention = job.retention
    if seconds is not None and not job.retention_asked:
        retention = timedelta(seconds=seconds)
    found = []
    for name, value, asked, most in (
        (
            "run_timeout_seconds",
            job.run_timeout,
            job.run_timeout_asked,
            [limits.max_run_seconds for limits in both],
        ),
        (
            "retention_seconds",
            retention,
            job.retention_asked,
            [limits.max_retention_seconds for limits in both],
        ),
    ):
        longest = timedelta(seconds=min([item for item in most if item], default=1e9))
        if asked and value > longest:
            raise PlanLimit(pointer=f"/{name}")
        found.append(min(value, longest))
    return found[0], found[1]


def _judge(
    counts: Counts, limits: Limits, queued: int, size: int, now: datetime, ahead: float
) -> None:
    today, left = _day(now)
    jobs, taken = (counts.jobs, counts.bytes) if counts.day >= today else (0, 0)
    if limits.jobs_per_day is not None and jobs >= limits.jobs_per_day:
        raise QuotaExceeded(retry_after=left)
    if limits.bytes_per_day is not None and taken + size > limits.bytes_per_day:
        raise QuotaExceeded(retry_after=left)
    if limits.max_queued is not None and queued >= limits.max_queued:
        raise QueueFull(retry_after=_QUEUE_RETRY_SECONDS)
    if limits.submits_per_second is not None and limits.submit_burst is not None:
        step = 1 / limits.submits_per_second
        excess = ahead + step - limits.submit_burst * step
        if excess > _EPSILON:
            raise RateLimited(retry_after=excess)


def _day(now: datetime) -> tuple[date, float]:
    """Return the day, and the seconds that are left of it."""
    today = now.astimezone(UTC).date()
    tomorrow = datetime.combine(today + timedelta(days=1), time(), UTC)
    return today, (tomorrow - now).total_seconds()


def _allowance(counts: Counts, limits: Limits, now: datetime) -> Allowance | None:
    if limits.submits_per_second is None or limits.submit_burst is None:
        return None
    window = limits.submit_burst / limits.submits_per_second
    ahead = _ahead(counts, limits, now)
    return Allowance(
        burst=limits.submit_burst,
        window_seconds=window,
        remaining=math.floor((window - ahead) * limits.submits_per_second + _EPSILON),
        reset_seconds=ahead,
    )


def _pace(plan: str | None, limits: Limits) -> tuple[str | None, float | None, int | None]:
    return plan, limits.submits_per_second, limits.submit_burst


def _ahead(counts: Counts, limits: Limits, now: datetime) -> float:
    ahead = max(0.0, (counts.arrival - now).total_seconds())
    if limits.submits_per_second is None or limits.submit_burst is None:
        return ahead
    # Further than a burst nobody gets: the clock was set back.
    return ahead if ahead <= limits.submit_burst / limits.submits_per_second + 60 else 0.0
