"""
Rates in one process: approximate by nature, since each process counts for itself.

The generic cell rate algorithm (ITU-T I.371), with weights. Limits that must be exact are judged
in the database.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from genjobs.domain.plans import Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many a second in the mean, and at most ``burst`` at once after a pause."""

    per_second: float
    burst: int


class Buckets:
    """One rate for each of many keys; ``now`` is a monotonic time in seconds."""

    def __init__(self, rate: Rate, *, most: int = 10_000) -> None:
        self._rate = rate
        self._most = most
        #: Key to the time at which its whole burst is there again.
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, key: Hashable, now: float, cost: float = 1.0) -> float:
        """Return the seconds until ``cost`` may be taken; takes nothing."""
        window = self._rate.burst / self._rate.per_second
        ahead = max(0.0, self._full_at.get(key, now) - now) + cost / self._rate.per_second
        return ahead - window if ahead > window + 1e-9 else 0.0

    def take(self, key: Hashable, now: float, cost: float = 1.0) -> None:
        """Take ``cost``; a negative one gives back."""
        self._full_at[key] = max(self._full_at.get(key, now), now) + cost / self._rate.per_second
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)

    def allowance(self, key: Hashable, now: float) -> Allowance:
        """Return what is left for ``key``."""
        rate = self._rate
        ahead = max(0.0, self._full_at.get(key, now) - now)
        return Allowance(
            burst=rate.burst,
            window_seconds=rate.burst / rate.per_second,
            remaining=max(0, int(rate.burst - ahead * rate.per_second + 1e-9)),
            reset_seconds=ahead,
        )
