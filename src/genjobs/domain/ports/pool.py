"""Ports to a pool of containers that scales by settings, and to what is known of its work."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from genjobs.domain.capacity import Observed, PoolMemory, PoolSettings, PoolTurn


class PoolControl(Protocol):
    """
    The settings by which a platform scales the pool of workers.

    Every method must come back in bounded time, and raises ``Unavailable`` when the platform does
    not do what it is asked; after a failed ``adjust`` the settings may be either.
    """

    async def settings(self) -> PoolSettings:
        """Return by what the pool scales now; another deployment of it may have changed that."""

    async def adjust(self, settings: PoolSettings) -> None:
        """
        Have the pool scale by these settings, all of them, from now on.

        They must be what ``settings`` returns afterwards. Harmless when they are so already. No
        container that has something to do may be stopped for it.
        """


class PoolLedger(Protocol):
    """
    What is known of the work, and what supervisors remember of the pool; reads change nothing.

    Every method raises ``Unavailable`` when the database cannot be reached; each may be repeated.
    """

    async def observe(self, *, now: datetime) -> Observed:
        """
        Return what is seen of the work, at a cost that does not grow with jobs or tenants.

        * waiting: what is outside the queue and does not render yet; and the queue, as far as it
          is counted, when no slot is free. While there are free ones a job that is ready is one
          whose tenant or user has enough: containers would not help it. Nothing while dispatch
          is paused but what is outside.
        * arrivals: attempts given out, over two minutes and over ten; of many the newest 2,000.
        * seconds: means of up to 500 attempts that were given out more than five minutes ago and
          have ended: among newer ones only the short ones have. Cold starts: the median of waits
          for a worker of more than five seconds.
        """

    async def memory(self) -> PoolMemory:
        """Return what is remembered."""

    async def take(self, *, now: datetime, every: timedelta) -> PoolTurn | None:
        """
        Return what is remembered, for one of those who ask at once; the others must get None.

        The next turn is due after ``every``. One that is further ahead was written by a clock that
        was, and is due too.
        """

    async def keep(self, turn: PoolTurn, memory: PoolMemory) -> bool:
        """Remember that, unless another turn has been taken meanwhile; return whether it was."""
