"""
Blocking file work in threads, with a time limit and an orderly end when the caller goes away.

A thread cannot be stopped. So a cancelled caller waits for its call to end (the disk's answer
decides what there is to clean up), and a call that outlives the limit is cleaned up after once it
does end. What the work does with files is not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeVar

from anyio import CancelScope

from genjobs.domain.errors import Unavailable

#: Seconds that one call may take. A local disk answers in milliseconds; a network mount may hang.
CALL_SECONDS: Final = 60.0

T = TypeVar("T")
W = TypeVar("W", bound="DiskWork")


class DiskWork:
    """
    The file work of one operation: methods that block, run one after the other in threads.

    Use as an async context manager; on leaving, :meth:`close` runs in a thread.
    """

    def __init__(self, *, call_seconds: float = CALL_SECONDS) -> None:
        self._call_seconds = call_seconds
        #: Set as soon as nobody waits for the result any more; calls may look at it to end early.
        self.abandoned = False
        self._overdue: asyncio.Future[Any] | None = None

    def close(self) -> None:
        """Free what the work still holds; never called while another call runs."""

    def is_open(self) -> bool:
        """Whether :meth:`close` has anything to do; no I/O."""
        return False

    async def run(self, call: Callable[[], T]) -> T:
        """
        Run ``call`` in a thread and return its result.

        Raises:
            Unavailable: the call raised ``OSError`` or did not end within the limit.
        """
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(None, call)
        deadline = loop.time() + self._call_seconds
        cancelled: asyncio.CancelledError | None = None
        while not future.done() and (left := deadline - loop.time()) > 0:
            try:
                # Once cancelled, shielded: a cancelled anyio scope would else interrupt this wait
                # in every cycle of the event loop.
                with CancelScope(shield=cancelled is not None):
                    await asyncio.wait({future}, timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
                self.abandoned = True
        if not future.done():
            self.abandoned = True
            self._overdue = future
            raise cancelled or Unavailable
        failure = future.exception()
        if cancelled is not None:
            raise cancelled
        if isinstance(failure, OSError):
            raise Unavailable from failure
        return future.result()

    async def __aenter__(self: W) -> W:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._overdue is not None:
            loop = asyncio.get_running_loop()
            self._overdue.add_done_callback(lambda _: loop.run_in_executor(None, self.close))
        elif self.is_open():
            try:
                await self.run(self.close)
            except Unavailable:
                # The caller learns the first failure; what is left over, the next sweep removes.
                if error is None:
                    raise
