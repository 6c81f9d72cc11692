"""What there is to do about an engine that is only an address, and about a broken device."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from genjobs.domain.ports import EngineKeeper

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ForeignEngine:
    """The ``EngineKeeper`` port for an engine that somebody else runs."""

    #: Raises ``EngineFailed`` unless the engine answers.
    check: Callable[[], Awaitable[None]]

    @property
    def owned(self) -> bool:
        """See the port."""
        return False

    @property
    def life(self) -> int:
        """See the port; nobody here knows."""
        return 0

    @property
    def prepared(self) -> bool:
        """See the port; nobody here knows."""
        return False

    async def ready(self) -> None:
        """See the port."""
        await self.check()

    async def kill(self, life: int) -> datetime | None:
        """See the port: it cannot be killed from here."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRetirement:
    """
    The ``Retirement`` port where no pool of containers gives another one.

    A process of one's own is started anew, with a new context on the device. Otherwise the worker
    takes no more jobs and ends with a code that says so: whoever started it decides.
    """

    keeper: EngineKeeper
    #: Set when the worker shall take no more jobs.
    retired: asyncio.Event = field(default_factory=asyncio.Event)

    async def retire(self, reason: str) -> bool:
        """See the port."""
        if self.keeper.owned:
            _log.error("worker.engine_renewed", reason=reason)
            await self.keeper.kill(self.keeper.life)
            return True
        _log.error("worker.retired", reason=reason)
        self.retired.set()
        return False
