"""Whether a process can serve: asked by anybody, so not each time of what others need."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from genjobs.application.remembering import Remembered
from genjobs.domain.errors import Unavailable
from genjobs.domain.ports import Clock

#: Seconds: an orchestrator's probe gives up soon after.
LIMIT: Final = 5.0
_REMEMBERED_SECONDS: Final = 1.0


class Readiness:
    """Asks once for all who want to know within a second; a failure is not remembered."""

    def __init__(
        self, check: Callable[[], Awaitable[None]], clock: Clock, *, limit: float = LIMIT
    ) -> None:
        """Take what is asked, which raises ``Unavailable``, and how many seconds it may take."""
        self._check = check
        self._limit = limit
        self._known = Remembered[None, None](self._look, clock, seconds=_REMEMBERED_SECONDS, most=1)

    async def __call__(self) -> None:
        """Raise ``Unavailable`` unless the process can serve, or could a second ago."""
        await self._known.get(None)

    async def _look(self, _: None) -> None:
        try:
            async with asyncio.timeout(self._limit):
                await self._check()
        except TimeoutError:
            raise Unavailable from None
