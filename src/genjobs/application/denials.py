"""
Remembering that a user is over the rate, so that the database is not asked what it has answered.

A refused submit would else store its media and lock its tenant's counts, only to be refused again.
Only waiting times that the database gave are kept: nobody is refused here who would be accepted.
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
    """Who must wait, and until when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[Owner, float] = OrderedDict()

    def check(self, owner: Owner) -> None:
        """Raise ``RateLimited`` for one who must still wait."""
        left = self._until.get(owner, 0.0) - self._clock.monotonic()
        if left > 0:
            raise RateLimited(
                "Too many submits in too short a time for this user.", retry_after=left
            )
        self._until.pop(owner, None)

    def note(self, owner: Owner, refusal: RateLimited) -> None:
        """Remember a refusal of the database."""
        self._until[owner] = self._clock.monotonic() + min(refusal.retry_after, _LONGEST)
        if len(self._until) > _MOST:
            self._until.popitem(last=False)
