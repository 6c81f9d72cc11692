"""Remembering what was looked up, for some seconds and for so many keys; nothing is kept longer."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from genjobs.domain.ports import Clock

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


@dataclass(slots=True)
class _Entry(Generic[_V]):
    looking: asyncio.Future[_V]
    until: float
    #: What the look-up before this one found.
    before: _V | None


class Remembered(Generic[_K, _V]):
    """
    Looks a key up once for all who ask within ``seconds`` of its beginning.

    So nobody is told what was true longer than ``seconds`` ago. A look-up that fails is not
    remembered; what was found before it can still be peeked at. Beyond ``most`` keys the one that
    was asked for longest ago is forgotten.
    """

    def __init__(
        self, look_up: Callable[[_K], Awaitable[_V]], clock: Clock, *, seconds: float, most: int
    ) -> None:
        self._look_up = look_up
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._entries: OrderedDict[_K, _Entry[_V]] = OrderedDict()

    def peek(self, key: _K) -> tuple[_V | None, bool]:
        """Return what was found last for ``key``, and whether it still counts; looks nothing up."""
        entry = self._entries.get(key)
        if entry is None:
            return None, False
        looking = entry.looking
        if not looking.done() or looking.cancelled() or looking.exception() is not None:
            return entry.before, False
        return looking.result(), self._clock.monotonic() < entry.until

    async def get(self, key: _K) -> _V:
        """Return what is found for ``key``; raises what looking it up raises."""
        now = self._clock.monotonic()
        entry = self._entries.get(key)
        if entry is None or now >= entry.until:
            looking = asyncio.ensure_future(self._look_up(key))
            entry = _Entry(looking, now + self._seconds, self.peek(key)[0])
            self._entries[key] = entry
            looking.add_done_callback(lambda done: self._forget_failure(key, done))
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        if entry.looking.done():
            return entry.looking.result()
        # Whoever asked first may go away; the others still wait.
        return await asyncio.shield(entry.looking)

    def _forget_failure(self, key: _K, done: asyncio.Future[_V]) -> None:
        if done.cancelled() or done.exception() is not None:
            entry = self._entries.get(key)
            if entry is None or entry.looking is not done:
                return
            if entry.before is None:
                del self._entries[key]
            else:
                entry.until = -math.inf
