"""Wake-ups within one process."""

from __future__ import annotations

import asyncio


class LocalSignals:
    """The ``Signals`` port; for one event loop."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Wake everyone who waits now."""
        # Those who wait hold this event; those who come later wait for the next one.
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def wait(self, seconds: float) -> None:
        """Return on the next wake, or after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
