"""
Plans: what a tenant and each of its users may use, and the answer when that is used up.

A plan changes some of the deployment's limits and leaves the others. Counting, and judging a
submit by the counts, is the job store's, in the transaction that creates the job. Limits that the
HTTP contract fixes for one request are in ``limits``.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from genjobs.domain.errors import ConfigurationError
from genjobs.domain.limits import PRIORITY_RANGE

PLAN_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,39}$"
_PLAN_NAME: Final = re.compile(PLAN_NAME_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one tenant or one user; None does not limit."""

    #: Mean rate of accepted submits, and how many may come at once after a pause.
    submits_per_second: float | None = None
    submit_burst: int | None = None
    #: Jobs that wait, those whose media are still fetched included.
    max_queued: int | None = None
    #: Uploads that no job was submitted with yet.
    max_uploads: int | None = None
    #: Jobs that hold a slot of the dispatch window.
    max_in_flight: int | None = None
    #: Accepted jobs, and bytes of inputs and outputs, of a day in UTC. Bytes that are known only
    #: later (downloads, outputs) count when they are, so the last job of a day may go beyond; those
    #: of an upload count as they are declared, once, however many jobs use it.
    jobs_per_day: int | None = None
    bytes_per_day: int | None = None
    #: Highest priority that may be asked for.
    max_priority: int | None = None
    #: Longest times that may be asked for, in seconds; a job that asks for none gets no more.
    max_run_seconds: float | None = None
    #: How long outputs of a job that asks for no retention are kept, in seconds; the user's goes
    #: before the tenant's, and without both it is the deployment's.
    retention_seconds: float | None = None
    max_retention_seconds: float | None = None
    #: Part of the dispatch window, against others of the same kind.
    weight: float = 1.0
    #: Whether end-user tokens may submit.
    browser_writes: bool = False

    def __post_init__(self) -> None:
        for name in ("submits_per_second", "weight"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigurationError(f"{name} must be a number above 0")
        if (self.submits_per_second is None) != (self.submit_burst is None):
            raise ConfigurationError("submits_per_second and submit_burst belong together")
        if self.submit_burst is not None and self.submit_burst < 1:
            raise ConfigurationError("submit_burst must be at least 1")

    def changed_by(self, changes: Mapping[str, Any]) -> Limits:
        """Return these limits with ``changes``, which :func:`check_changes` has passed."""
        return dataclasses.replace(self, **changes)


#: The type of each limit, as people write it.
LIMIT_TYPES: Final[Mapping[str, str]] = {
    item.name: str(item.type).replace("None", "null") for item in dataclasses.fields(Limits)
}
#: What numbers may be set, both ends allowed. Whatever is within can be counted with in SQL: times
#: stay within its dates, counts within its integers.
LIMIT_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "submits_per_second": (0.00001, 1_000_000),
    "submit_burst": (1, 1_000_000),
    "max_queued": (0, 2**31 - 1),
    "max_uploads": (0, 2**31 - 1),
    "max_in_flight": (0, 2**31 - 1),
    "jobs_per_day": (0, 2**31 - 1),
    "bytes_per_day": (0, 2**53 - 1),
    "max_priority": PRIORITY_RANGE,
    "max_run_seconds": (1, 1_000_000_000),
    "retention_seconds": (300, 31_536_000),
    "max_retention_seconds": (1, 1_000_000_000),
    "weight": (0.001, 1000),
}


def check_changes(changes: Mapping[str, Any], base: Limits) -> Mapping[str, Any]:
    """
    Return ``changes`` if they make sense on ``base``.

    Raises:
        ConfigurationError: a name is unknown, or a value is of the wrong type or out of range.
    """
    for name, value in changes.items():
        kind = LIMIT_TYPES.get(name)
        if kind is None:
            raise ConfigurationError(_no_such_limit(name))
        if not _fits(name, kind, value):
            raise ConfigurationError(f"{name} must be {_wanted(name, kind)}")
    base.changed_by(changes)
    return changes


def changed(
    present: Mapping[str, Any], changes: Mapping[str, Any], unset: Collection[str], base: Limits
) -> dict[str, Any]:
    """
    Return what is set once ``changes`` are set and ``unset`` is as in ``base`` again.

    Raises:
        ConfigurationError: a name is unknown, or what is set makes no sense on ``base``.
    """
    for name in unset:
        if name not in LIMIT_TYPES:
            raise ConfigurationError(_no_such_limit(name))
    found = {**present, **changes}
    return dict(check_changes({name: found[name] for name in found if name not in unset}, base))


def _wanted(name: str, kind: str) -> str:
    if kind == "bool":
        return "true or false"
    low, high = LIMIT_RANGES[name]
    number = "a whole number" if kind.startswith("int") else "a number"
    return f"{number} from {low} to {high}" + (", or null" if "null" in kind else "")


def _no_such_limit(name: str) -> str:
    return f"there is no limit {name!r}; there are {', '.join(LIMIT_TYPES)}"


def _fits(name: str, kind: str, value: Any) -> bool:
    if value is None:
        return "null" in kind
    if kind == "bool":
        return isinstance(value, bool)
    number = int if kind.startswith("int") else int | float
    if isinstance(value, bool) or not isinstance(value, number):
        return False
    low, high = LIMIT_RANGES[name]
    return low <= value <= high


def is_plan_name(text: str) -> bool:
    """Return whether a plan may be called so."""
    return _PLAN_NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultLimits:
    """The deployment's limits, which plans change."""

    tenant: Limits = field(default_factory=Limits)
    user: Limits = field(default_factory=Limits)


#: What holds unless a deployment's settings say otherwise.
BUILT_IN: Final = DefaultLimits(
    tenant=Limits(
        submits_per_second=200.0, submit_burst=1000, max_queued=100_000, max_uploads=100_000
    ),
    user=Limits(submits_per_second=10.0, submit_burst=100, max_queued=1000, max_uploads=100),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is left of a rate."""

    #: The whole burst, and the seconds in which it is won back.
    burst: int
    window_seconds: float
    remaining: int
    #: Seconds until the whole burst is there again.
    reset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Limits of a tenant or user and what is used of them; days are in UTC."""

    limits: Limits
    #: The plan that was named for the user last.
    plan: str | None = None
    queued: int = 0
    in_flight: int = 0
    jobs_today: int = 0
    bytes_today: int = 0
    #: Unused ones.
    uploads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What ``GET /v1/usage`` tells; a part is None when it was not asked for."""

    tenant: Used | None
    user: Used | None
