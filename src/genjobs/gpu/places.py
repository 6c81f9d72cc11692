"""The places of a worker: which jobs it has, and whether there is room to load another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Places:
    """
    Room for so many jobs at once, of which one may be before the renderer.

    A job that has been loaded and waits for the renderer still has the place to load: another one
    would only be kept from a worker that could render it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()
        self._loading: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def may_load(self) -> bool:
        """Whether a job may be taken."""
        return self._loading is None and len(self._tasks) < self._most

    def start(
        self, work: Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Run a job; ``work`` gets what it must call when the job has the renderer."""

        def loaded() -> None:
            if self._loading is task:
                self._loading = None
                self._changed.set()

        def ended(task: asyncio.Task[None]) -> None:
            loaded()
            self._tasks.discard(task)
            self._changed.set()

        task = asyncio.create_task(work(loaded))
        self._loading = task
        self._tasks.add(task)
        task.add_done_callback(ended)
        return task

    async def changed(self) -> None:
        """Return once a job has got the renderer or has ended, since this last returned."""
        await self._changed.wait()
        self._changed.clear()

    async def emptied(self) -> None:
        """Return once every job has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def clear(self) -> None:
        """Cancel what is left, and wait for its end."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
