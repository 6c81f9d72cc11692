"""Limits to and from what SQL judges by, and its refusals as errors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from asyncpg import Record

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.errors import (
    GenjobsError,
    IdempotencyMismatch,
    LimitReached,
    PlanLimit,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    Unavailable,
    UnknownPlan,
    UnknownUpload,
    UploadsFull,
    UserBeingErased,
)
from genjobs.domain.plans import Allowance, Limits, Used

#: When a place in a full queue comes free is not known.
_QUEUE_RETRY_SECONDS: Final = 5.0
_WORDS: Final = {
    "submits_per_second": "Too many submits in too short a time",
    "max_queued": "As many jobs are waiting as may",
    "max_uploads": "As many uploads are unused as may",
    "jobs_per_day": "The jobs of the day are used up",
    "bytes_per_day": "The bytes of the day are used up",
}
_REACHED: Final[dict[str, type[LimitReached]]] = {
    "rate_limited": RateLimited,
    "queue_full": QueueFull,
    "quota_exceeded": QuotaExceeded,
    "uploads_full": UploadsFull,
}


def dump_limits(limits: Limits) -> str:
    """Return limits as JSON text; what does not limit is left out."""
    found = {name: value for name, value in dataclasses.asdict(limits).items() if value is not None}
    return json.dumps(found)


def limits_of(text: str) -> Limits:
    """Return limits from their JSON text; what a later version put there is passed over."""
    known = {item.name for item in dataclasses.fields(Limits)}
    return Limits(**{name: value for name, value in json.loads(text).items() if name in known})


def narrowing_of(document: Mapping[str, Any]) -> Narrowing:
    """Return which node classes a tenant does without."""
    allowed = document.get("allowed")
    return Narrowing(
        allowed=None if allowed is None else frozenset(allowed),
        denied=frozenset(document.get("denied", ())),
    )


def used_of(row: Record) -> Used:
    """Return a row of ``usage``."""
    return Used(
        limits=limits_of(row["limits"]),
        plan=row["plan"],
        queued=row["queued"],
        in_flight=row["in_flight"],
        jobs_today=row["jobs_today"],
        bytes_today=row["bytes_today"],
        uploads=row["uploads"],
    )


def allowance_of(row: Record) -> Allowance | None:
    """Return what the answer to a create says is left of the user's rate."""
    if row["remaining"] is None:
        return None
    return Allowance(
        burst=row["burst"],
        window_seconds=row["window_seconds"],
        remaining=row["remaining"],
        reset_seconds=row["reset"],
    )


def refusal_of(row: Record) -> GenjobsError:
    """Return why a create, of a job or an upload, stored nothing."""
    outcome, what = row["outcome"], row["what"]
    if outcome in _REACHED:
        whose = "this user" if row["whose"] == "user" else "this tenant"
        after = row["retry_after"]
        return _REACHED[outcome](
            f"{_WORDS[what]} for {whose}.",
            retry_after=_QUEUE_RETRY_SECONDS if after is None else after,
        )
    match outcome:
        case "mismatch":
            return IdempotencyMismatch()
        case "being_erased":
            return UserBeingErased()
        case "unknown_upload":
            return UnknownUpload(pointer="/media")
        case "unknown_plan":
            return UnknownPlan(pointer="/plan")
        case "plan_limit":
            return PlanLimit(f"{what} is beyond what the plan allows.", pointer=f"/{what}")
    # A key that is known names its tenant; the database was restored, or is another one.
    return Unavailable("The tenant is not known to the database.")
