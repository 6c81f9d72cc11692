"""
The rate of requests other than submits, for each key and each end user, in this process.

Approximate: every process counts for itself. Submits have exact limits in the database. The fields
are those of draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final

from genjobs.domain.errors import RateLimited
from genjobs.domain.plans import Allowance
from genjobs.domain.ports import Clock
from genjobs.domain.rates import Buckets, Rate
from genjobs.domain.tenancy import Principal

#: What of a request is given back when its answer is "not modified": a backend polls for all of
#: its users with one key.
NOT_MODIFIED_DISCOUNT: Final = 0.9


class Throttle:
    """Buckets of keys, and smaller ones of end users' tokens."""

    def __init__(self, *, clock: Clock, keys: Rate, end_users: Rate) -> None:
        self._clock = clock
        self._keys = Buckets(keys)
        self._end_users = Buckets(end_users)

    def take(self, principal: Principal) -> None:
        """Count a request; ``RateLimited`` when it is one too many."""
        buckets, key = self._of(principal)
        now = self._clock.monotonic()
        wait = buckets.wait(key, now)
        if wait > 0:
            raise RateLimited(retry_after=wait)
        buckets.take(key, now)

    def give_back(self, principal: Principal, part: float) -> None:
        """Give back a part of a request."""
        buckets, key = self._of(principal)
        buckets.take(key, self._clock.monotonic(), -part)

    def fields(self, principal: Principal) -> dict[str, str]:
        """Return the response fields that tell what is left."""
        buckets, key = self._of(principal)
        return fields("requests", buckets.allowance(key, self._clock.monotonic()))

    def _of(self, principal: Principal) -> tuple[Buckets, Hashable]:
        if principal.user_id is not None:
            return self._end_users, (principal.tenant_id, principal.user_id)
        return self._keys, principal.key_id


def fields(policy: str, allowance: Allowance) -> dict[str, str]:
    """Return ``RateLimit-Policy`` and ``RateLimit`` for an allowance."""
    window = math.ceil(allowance.window_seconds)
    return {
        "RateLimit-Policy": f'"{policy}";q={allowance.burst};w={window}',
        "RateLimit": f'"{policy}";r={max(0, allowance.remaining)};'
        f"t={math.ceil(allowance.reset_seconds)}",
    }


def used_up(policy: str, seconds: float) -> dict[str, str]:
    """Return ``RateLimit`` for a rate of which nothing is left for ``seconds``."""
    return {"RateLimit": f'"{policy}";r=0;t={math.ceil(seconds)}'}
