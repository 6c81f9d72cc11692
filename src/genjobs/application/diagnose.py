"""
Examining a deployment: checks one after the other, each bounded in time, none stopping the next.

What a check looks at is its own; which there are is the composition root's.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from genjobs.domain.diagnosis import Finding, Outcome, failed
from genjobs.domain.errors import ConfigurationError, GenjobsError

#: What deploying makes or mends: before it, these are no reason not to deploy.
MADE_BY_DEPLOYING: Final = frozenset(
    {
        "not_migrated",
        "revision_behind",
        "schema_code_differs",
        "role_reaches_too_little",
        "modal_app_missing",
        "modal_function_missing",
        "modal_volume_missing",
    }
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that is looked at."""

    name: str
    #: Returns what was found; what it raises is a failure of the check.
    look: Callable[[], Awaitable[Sequence[Finding]]]
    limit: timedelta = timedelta(seconds=20)


async def diagnose(checks: Sequence[Check], *, before_deploying: bool = False) -> list[Finding]:
    """
    Return what all checks find, in their order.

    ``before_deploying`` makes warnings of what the deployment itself will make or mend.
    """
    found = [finding for check in checks for finding in await _one(check)]
    if not before_deploying:
        return found
    return [
        dataclasses.replace(finding, outcome=Outcome.WARNING)
        if finding.outcome is Outcome.FAILED and finding.code in MADE_BY_DEPLOYING
        else finding
        for finding in found
    ]


def has_failed(findings: Sequence[Finding]) -> bool:
    """Whether something does not work."""
    return any(finding.outcome is Outcome.FAILED for finding in findings)


async def _one(check: Check) -> Sequence[Finding]:
    seconds = check.limit.total_seconds()
    try:
        async with asyncio.timeout(seconds) as bound:
            return await check.look()
    except TimeoutError as exc:
        if bound.expired():
            return [failed(check.name, "check_too_slow", f"no answer in {seconds:g} s")]
        return [_crashed(check, exc)]
    except ConfigurationError as exc:
        return [failed(check.name, "settings_refused", exc.message)]
    except Exception as exc:
        # The edge of a check: the others are wanted all the same, and this one is told as failed.
        return [_crashed(check, exc)]


def _crashed(check: Check, exc: Exception) -> Finding:
    _log.debug("doctor.check_crashed", check=check.name, exc_info=exc)
    said = exc.message if isinstance(exc, GenjobsError) else type(exc).__name__
    return failed(check.name, "check_crashed", said)
