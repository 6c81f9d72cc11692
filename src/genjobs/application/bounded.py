"""Work on many things that ends in time, with what was done by then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from genjobs.domain.errors import Unavailable

_T = TypeVar("_T")
_PARALLEL: Final = 8
_GIVE_UP: Final = 8
_log = structlog.get_logger(__name__)


class Budget:
    """Time that several steps share; true while some of it is left."""

    def __init__(self, time: timedelta) -> None:
        self._until = asyncio.get_running_loop().time() + time.total_seconds()

    def __bool__(self) -> bool:
        return self.seconds() > 0

    def limit(self) -> asyncio.Timeout:
        """Return a limit that ends a block, by ``TimeoutError``, once nothing is left."""
        return asyncio.timeout_at(self._until)

    def seconds(self) -> float:
        """Return how much is left, in seconds; never below 0."""
        return max(0.0, self._until - asyncio.get_running_loop().time())


async def each_within(
    left: Budget, things: Sequence[_T], work: Callable[[_T], Awaitable[object]]
) -> list[_T]:
    """
    Do the work for each thing, some at once; return those for which it was done in time.

    What meets a backend that is ``Unavailable`` is not among them, and neither is what the time was
    too short for, which is cancelled. Other errors are raised, after all work has ended.
    """
    done: list[_T] = []
    gate = asyncio.Semaphore(_PARALLEL)
    failed = 0

    async def one(thing: _T) -> None:
        nonlocal failed
        async with gate:
            if failed >= _GIVE_UP and not done:  # it is away for all of them
                return
            try:
                await work(thing)
            except Unavailable as exc:
                if not failed:
                    _log.warning("work.unavailable", reason=exc.message)
                failed += 1
            else:
                done.append(thing)

    if not things:
        return done
    tasks = [asyncio.create_task(one(thing)) for thing in things]
    try:
        await asyncio.wait(tasks, timeout=left.seconds())
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result
    return done
