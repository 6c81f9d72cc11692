"""
Adjust the pool: look at the work now and then, and have the pool scale by what follows from it.

Any number of supervisors may do it at once: one of them is told that it is its turn. A platform
that does not answer leaves the pool as it is until the next turn, and everything else alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from genjobs.domain.capacity import (
    Dampers,
    Observed,
    PoolBounds,
    PoolDecision,
    PoolSettings,
    decide,
)
from genjobs.domain.errors import Unavailable
from genjobs.domain.ports import Clock, PoolControl, PoolLedger

#: For all that the platform is asked in a turn: leases of workers wait for the tick to go on.
PATIENCE: Final = timedelta(seconds=5)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """What is seen, what would be told, and by what the pool scales now."""

    observed: Observed
    decision: PoolDecision
    #: None where there is no pool, or it does not answer.
    current: PoolSettings | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewPool:
    """The use case of looking only; changes nothing."""

    ledger: PoolLedger
    #: None where workers come by themselves.
    control: PoolControl | None
    clock: Clock
    bounds: PoolBounds
    dampers: Dampers = field(default_factory=Dampers)
    patience: timedelta = PATIENCE

    async def __call__(self) -> PoolView:
        """
        Return what the next turn would do if it came now.

        Raises:
            Unavailable: the database cannot be reached.
        """
        now = self.clock.now()
        observed = await self.ledger.observe(now=now)
        memory = await self.ledger.memory()
        return PoolView(
            observed=observed,
            decision=decide(observed, memory, self.bounds, now, self.dampers),
            current=await self._current(),
        )

    async def _current(self) -> PoolSettings | None:
        if self.control is None:
            return None
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                return await self.control.settings()
        except (Unavailable, TimeoutError) as exc:
            _log.warning("pool.unavailable", reason=str(exc))
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustPool:
    """The use case."""

    ledger: PoolLedger
    control: PoolControl
    clock: Clock
    bounds: PoolBounds
    dampers: Dampers = field(default_factory=Dampers)
    patience: timedelta = PATIENCE

    async def __call__(self) -> PoolDecision | None:
        """
        Adjust the pool if it is due; return what was decided, None when it is not due.

        Raises:
            Unavailable: the database cannot be reached. The platform's failures raise nothing.
        """
        now = self.clock.now()
        turn = await self.ledger.take(now=now, every=self.dampers.every)
        if turn is None:
            return None
        observed = await self.ledger.observe(now=now)
        decision = decide(observed, turn.memory, self.bounds, now, self.dampers)
        # Remembered whether or not the platform hears it: the next turn compares with what it has.
        if not await self.ledger.keep(turn, decision.memory):
            return None  # so late that it has become another's turn
        await self._tell(decision)
        return decision

    async def _tell(self, decision: PoolDecision) -> None:
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                current = await self.control.settings()
                if current == decision.settings:
                    return
                await self.control.adjust(decision.settings)
        except (Unavailable, TimeoutError) as exc:
            _log.warning("pool.unavailable", reason=str(exc))
        except Exception:
            # The edge to a platform's package: whatever is wrong there, the tick goes on.
            _log.exception("pool.crashed")
        else:
            _log.info(
                "pool.adjusted",
                min_containers=decision.settings.min_containers,
                min_before=current.min_containers,
                max_containers=decision.settings.max_containers,
                buffer_containers=decision.settings.buffer_containers,
                scaledown_seconds=decision.settings.scaledown_window.total_seconds(),
                reason=decision.reason,
            )
