"""
Remembering that a user is over the rate, so that the database is not asked what it has answered.

A refused submit would else store its media and lock its tenant's counts, only to be refused again.
Only waiting times that the database gave are kept: nobody is refused here who would be accepted,
unless a plan was changed by somebody else in the last seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from genjobs.domain.errors import RateLimited
from genjobs.domain.ports import Clock
from genjobs.domain.tenancy import Owner

_MOST: Final = 10_000
#: A plan may be changed for the better meanwhile.
_LONGEST: Final = 5.0  # seconds


class Denials:
    """Who must wait under which plan that the request names, and until when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[tuple[Owner, str | None], tuple[float, str]] = OrderedDict()

    def of(self, owner: Owner, plan: str | None) -> RateLimited | None:
        """Return the refusal of one who must still wait."""
        until, message = self._until.get((owner, plan), (0.0, ""))
        left = until - self._clock.monotonic()
        if left > 0:
            return RateLimited(message, retry_after=left)
        self._until.pop((owner, plan), None)
        return None

    def note(
        self, owner: Owner, plan: str | None, refusal: RateLimited, *, asked_at: float
    ) -> None:
        """Remember a refusal of the database, which counted from ``asked_at`` (monotonic)."""
        until = asked_at + min(refusal.retry_after, _LONGEST)
        self._until[owner, plan] = (until, refusal.message)
        self._until.move_to_end((owner, plan))
        if len(self._until) > _MOST:
            self._until.popitem(last=False)

    def forget(self, owner: Owner, plan: str | None) -> None:
        """Forget what was remembered of one whose submit was accepted: the plan is theirs now."""
        self._until.pop((owner, plan), None)
        self._until.pop((owner, None), None)
