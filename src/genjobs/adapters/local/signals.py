"""Wake-ups within one process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from genjobs.domain.attempts import Assignment


class LocalSignals:
    """The ``Signals`` port; for one event loop."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Wake everyone who waits now."""
        # Those who wait hold this event; those who come later wait for the next one.
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    def recall(self, attempts: Sequence[Assignment]) -> None:
        """Do nothing: workers that pull hear of it in the answer to a heartbeat."""

    async def wait(self, seconds: float) -> None:
        """Return on the next wake, or after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
