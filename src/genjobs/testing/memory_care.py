"""Fakes of what surrounds an engine: its keeper, direct word of cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from genjobs.domain.errors import EngineFailed
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ports import Clock
from genjobs.testing.memory_rows import MemoryJobs
from genjobs.testing.scripted_engine import ScriptedEngine


class ScriptedKeeper:
    """
    The ``EngineKeeper`` port over a scripted engine.

    A kill makes the engine forget what it renders; it is back at once. With ``owned`` false it is
    somebody else's.
    """

    def __init__(self, engine: ScriptedEngine, clock: Clock) -> None:
        self.owned = True
        self.life = 1
        self.prepared = False
        self.kills = 0
        self._engine = engine
        self._clock = clock
        self._died_at: datetime | None = None

    async def ready(self) -> None:
        """See the port."""
        if not self._engine.alive:
            raise EngineFailed

    async def kill(self, life: int) -> datetime | None:
        """See the port."""
        if not self.owned:
            return None
        if life == self.life:
            self.kills += 1
            self.life += 1
            self.prepared = False
            self._died_at = self._clock.now()
            self._engine.die()
        return self._died_at or self._clock.now()


class MemoryCancelNotices:
    """The ``CancelNotices`` port over jobs in memory."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def listen(self, heard: Callable[[ExecutionId | None], None]) -> None:
        """See the port."""
        self._jobs.listeners.append(heard)
        try:
            heard(None)
            await asyncio.Event().wait()
        finally:
            self._jobs.listeners.remove(heard)
