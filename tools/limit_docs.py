"""What is drawn of the limits of tenants and users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from genjobs.domain.plans import LIMIT_RANGES, LIMIT_TYPES
from genjobs.settings import Settings

#: What each limit bounds, and how a request over it is refused.
_WORDS: Final = {
    "submits_per_second": (
        "accepted submits a second in the mean; goes together with `submit_burst`",
        "429 `rate_limited`",
    ),
    "submit_burst": ("submits at once after a pause", "429 `rate_limited`"),
    "max_queued": ("jobs that wait, also for their media", "429 `queue_full`"),
    "max_uploads": ("uploads that no job was submitted with yet", "429 `uploads_full`"),
    "max_in_flight": ("jobs that hold a slot of the dispatch window", "the job waits"),
    "jobs_per_day": ("accepted jobs of a day in UTC", "429 `quota_exceeded`"),
    "bytes_per_day": (
        "bytes of inputs and outputs of a day in UTC; downloads and outputs count when their size "
        "is known, so the last job may go beyond; an upload counts when it is made, and once",
        "429 `quota_exceeded`",
    ),
    "max_priority": ("highest `priority`", "422 `plan_limit`"),
    "max_run_seconds": (
        "longest `run_timeout_seconds`; a job that asks for none gets no more",
        "422 `plan_limit`",
    ),
    "retention_seconds": (
        "how long outputs of a job that names no `retention_seconds` are kept; the user's goes "
        "before the tenant's, without both it is `GENJOBS_RETENTION_SECONDS`",
        "-",
    ),
    "max_retention_seconds": ("longest `retention_seconds`, likewise", "422 `plan_limit`"),
    "weight": (
        "part of the dispatch window: a tenant's against other tenants, a user's against other "
        "users of its tenant",
        "-",
    ),
    "browser_writes": (
        "whether tokens of end users may upload, submit and cancel",
        "403 `scope_missing`",
    ),
}


def limits() -> Sequence[str]:
    """Return the table of limits."""
    defaults = Settings.model_construct().default_limits()
    lines = [
        "| limit | of what | values | built-in, tenant / user | over it |",
        "|---|---|---|---|---|",
    ]
    for name, kind in LIMIT_TYPES.items():
        meaning, refusal = _WORDS[name]
        both = " / ".join(
            _shown(getattr(limits, name)) for limits in (defaults.tenant, defaults.user)
        )
        lines.append(f"| `{name}` | {meaning} | {_values(name, kind)} | {both} | {refusal} |")
    return lines


def _values(name: str, kind: str) -> str:
    if kind == "bool":
        return "true, false"
    low, high = LIMIT_RANGES[name]
    null = ", null" if "null" in kind else ""
    return f"{_number(low)} to {_number(high)}{null}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return _number(value)


def _number(value: float) -> str:
    return f"{value:,.5f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
