"""Opening things once, and closing them in reverse; which things is in ``adapters``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from genjobs.settings import Settings

if TYPE_CHECKING:
    from genjobs.domain.ports import Clock

_T = TypeVar("_T")


class Opened:
    """What has been opened by the settings; leaving ``stack`` closes all of it."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self.settings = settings
        self._stack = stack
        self._opened: dict[str, Any] = {}

    def clock(self) -> Clock:
        """Return the system's clock."""
        from genjobs.adapters.system import SystemClock

        return self._once("clock", SystemClock)

    async def beside(
        self, work: Coroutine[Any, Any, None], at_end: Callable[[], Awaitable[None]]
    ) -> None:
        """Run ``work`` until everything is closed, and then ``at_end``."""
        self._stack.push_async_callback(at_end)
        self._stack.push_async_callback(_end, asyncio.create_task(work))

    def _once(self, name: str, make: Callable[[], _T]) -> _T:
        if name not in self._opened:
            self._opened[name] = make()
        made: _T = self._opened[name]
        return made


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
