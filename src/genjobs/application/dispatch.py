"""
Dispatch: give slots to waiting jobs, where the engine has to be called, and call it.

What makes a job eligible or frees a slot says so through ``Signals``; ``Dispatching`` makes one
statement of all that is said while another is under way. Nobody waits for it: a submit that has
been answered may still be dispatched, and what a process that dies leaves undone is done by the
supervisor's next tick. Workers that pull need none of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from genjobs.domain.attempts import Assignment
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import job_text
from genjobs.domain.ports import Caller, CallLedger, Clock, JobLedger, Signals

#: Jobs of one statement, and so calls at once.
BATCH: Final = 20
#: After a call that could not be made: the first pause, which doubles, and the longest.
FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(seconds=30)
#: How long calls that are being made may take once the process is to end.
TO_DRAIN: Final = timedelta(seconds=10)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """What one statement gave out."""

    given: int
    #: How many of them nobody could be called for; they are queued again.
    withdrawn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchJobs:
    """The use case."""

    ledger: JobLedger
    calls: CallLedger
    caller: Caller
    clock: Clock

    async def __call__(self, limit: int = BATCH) -> Dispatched:
        """
        Give out at most ``limit`` free slots, and call the engine for each; return how it went.

        Raises:
            Unavailable: nothing is known of what the database gave out; what it gave is taken
                back after the start deadline.
        """
        given = await self.ledger.dispatch(now=self.clock.now(), limit=limit)
        called = await asyncio.gather(*(self._hand_over(assignment) for assignment in given))
        return Dispatched(given=len(given), withdrawn=called.count(False))

    async def recall(self, attempts: Sequence[Assignment]) -> None:
        """Cancel the calls of attempts that shall not go on; only a hint, so failures are told."""
        try:
            names = await self.calls.calls_of(attempts)
        except Unavailable as exc:
            _log.warning("dispatch.not_recalled", attempts=len(attempts), reason=exc.message)
            return
        await asyncio.gather(*(self._cancel(name) for name in names))

    async def _hand_over(self, assignment: Assignment) -> bool:
        """Call the engine for an attempt; return False when that was not possible."""
        log = _log.bind(job_id=job_text(assignment.job_id), attempt=assignment.attempt)
        try:
            call_id = await self.caller.call(assignment)
        except Unavailable as exc:
            log.warning("dispatch.not_called", reason=exc.message)
            await self._withdraw(assignment)
            return False
        except Exception:
            # One call's unforeseen error must not keep the others' slots until their deadlines.
            log.exception("dispatch.call_crashed")
            await self._withdraw(assignment)
            return False
        log.info("job.called", call_id=call_id)
        try:
            wanted = await self.calls.note(assignment, call_id)
        except Unavailable as exc:
            # The call stands. Cancels reach its worker by the heartbeat, and if its job has ended,
            # the start is refused.
            log.warning("dispatch.call_not_noted", call_id=call_id, reason=exc.message)
            return True
        if not wanted:
            await self._cancel(call_id)
        return True

    async def _withdraw(self, assignment: Assignment) -> None:
        try:
            await self.calls.withdraw(assignment, now=self.clock.now())
        except Unavailable as exc:
            # The start deadline frees the slot.
            _log.warning(
                "dispatch.not_withdrawn", job_id=job_text(assignment.job_id), reason=exc.message
            )

    async def _cancel(self, call_id: str) -> None:
        try:
            await self.caller.cancel(call_id)
        except Unavailable as exc:
            _log.warning("dispatch.not_cancelled", call_id=call_id, reason=exc.message)


@dataclass(slots=True, kw_only=True)
class Dispatching:
    """The ``Signals`` port where the engine has to be called; one for each process."""

    dispatch: DispatchJobs
    #: Wakes whoever waits in this process, such as an ingester.
    waiters: Signals
    _asked: bool = field(default=False, init=False)
    #: After a call that could not be made: how long the next one waits, and until when.
    _pause: timedelta | None = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)
    _leaving: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _working: asyncio.Task[None] | None = field(default=None, init=False)
    _recalls: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    def wake(self) -> None:
        """See the port; what is asked for while a statement is under way needs one more."""
        self.waiters.wake()
        self._asked = True
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())

    def recall(self, attempts: Sequence[Assignment]) -> None:
        """See the port."""
        called = [attempt for attempt in attempts if attempt.attempt > 0]
        if called:
            task = asyncio.create_task(self._recall(called))
            self._recalls.add(task)
            task.add_done_callback(self._recalls.discard)

    async def wait(self, seconds: float) -> None:
        """See the port."""
        await self.waiters.wait(seconds)

    async def drain(self, limit: timedelta = TO_DRAIN) -> None:
        """Let what is under way end, within ``limit``; for the end of a process."""
        self._leaving.set()
        tasks = {*self._recalls, *([self._working] if self._working is not None else [])}
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=limit.total_seconds())
        for task in left:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._asked and not await self._told_to_leave():
                self._asked = False
                # After a failure one is enough to see whether the engine is back.
                limit = BATCH if self._pause is None else 1
                done = await self.dispatch(limit)
                if done.withdrawn:
                    self._fail()
                elif done.given:
                    self._pause = None
                if done.given == limit:
                    self._asked = True
        except Unavailable as exc:
            _log.warning("dispatch.unavailable", reason=exc.message)
        except Exception:
            # The edge of a task that nobody waits for; the next wake-up starts another one.
            _log.exception("dispatch.crashed")

    async def _told_to_leave(self) -> bool:
        """Whether to give up, after the pause that an engine which is away is given."""
        left = self._until - asyncio.get_running_loop().time()
        if self._pause is None or left <= 0:
            return False
        try:
            async with asyncio.timeout(left):
                return await self._leaving.wait()
        except TimeoutError:
            return False

    def _fail(self) -> None:
        self._pause = FIRST_PAUSE if self._pause is None else min(2 * self._pause, LONGEST_PAUSE)
        self._until = asyncio.get_running_loop().time() + self._pause.total_seconds()
        self._asked = True

    async def _recall(self, attempts: Sequence[Assignment]) -> None:
        try:
            await self.dispatch.recall(attempts)
        except Exception:
            _log.exception("dispatch.recall_crashed")
