"""
What an examination of a deployment finds: outcomes, what was seen, and what to do about it.

Each thing that may be wrong has a stable code with one fix, in ``fixes``. What is looked at, and
how it is judged, is in ``application`` (``diagnose``, ``examine_...``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from genjobs.domain.fixes import FIXES


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    #: Not looked at; ``Finding.seen`` says why.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    What one check found.

    ``seen`` is for people and holds no secret: no password, no key, no signed URL.
    """

    check: str
    outcome: Outcome
    seen: str
    #: What is wrong, for programs; None unless it is a warning or a failure.
    code: str | None = None

    @property
    def fix(self) -> str | None:
        """What to do, in plain words."""
        return None if self.code is None else FIXES[self.code]


def ok(check: str, seen: str) -> Finding:
    """Return that all is well."""
    return Finding(check=check, outcome=Outcome.OK, seen=seen)


def skipped(check: str, reason: str) -> Finding:
    """Return that nobody looked, and why."""
    return Finding(check=check, outcome=Outcome.SKIPPED, seen=reason)


def warning(check: str, code: str, seen: str) -> Finding:
    """Return that something is not as it should be, though it may work."""
    return Finding(check=check, outcome=Outcome.WARNING, seen=seen, code=code)


def failed(check: str, code: str, seen: str) -> Finding:
    """Return that something does not work."""
    return Finding(check=check, outcome=Outcome.FAILED, seen=seen, code=code)
