"""Blocking work in threads: limits, cancellation, cleaning up."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from genjobs.adapters.local.disk import DiskWork
from genjobs.domain.errors import NotFound, Unavailable


class Work(DiskWork):
    """Holds its call until released; remembers whether it was closed during the call."""

    def __init__(self, *, call_seconds: float = 20) -> None:
        super().__init__(call_seconds=call_seconds)
        self.entered = threading.Event()
        self.release = threading.Event()
        self.ended = False
        self.closed_after_end: list[bool] = []

    def held(self) -> str:
        self.entered.set()
        assert self.release.wait(20)
        self.ended = True
        return "done"

    def close(self) -> None:
        self.closed_after_end.append(self.ended)

    def is_open(self) -> bool:
        return True

    async def operation(self) -> str:
        async with self:
            return await self.run(self.held)


async def entered(work: Work) -> None:
    assert await asyncio.to_thread(work.entered.wait, 20)


async def test_call_that_outlives_the_limit_is_unavailable_and_closed_once_it_ends() -> None:
    work = Work(call_seconds=0.05)
    with pytest.raises(Unavailable):
        await work.operation()
    assert (work.abandoned, work.closed_after_end) == (True, [])
    work.release.set()

    async with asyncio.timeout(20):
        while not work.closed_after_end:
            await asyncio.sleep(0.01)
    assert work.closed_after_end == [True]


async def test_cancelled_task_waits_for_its_call_and_then_closes() -> None:
    work = Work()
    task = asyncio.create_task(work.operation())
    await entered(work)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert (task.done(), work.abandoned, work.closed_after_end) == (False, True, [])
    work.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert work.closed_after_end == [True]


async def test_cancelled_scope_waits_for_the_call_too() -> None:
    work = Work()

    async def cancel_and_release(scope: anyio.CancelScope) -> None:
        await entered(work)
        scope.cancel()
        while not work.abandoned:
            await asyncio.sleep(0.001)
        work.release.set()

    with anyio.CancelScope() as scope:
        helper = asyncio.create_task(cancel_and_release(scope))
        await work.operation()
    await helper

    assert scope.cancelled_caught
    assert work.closed_after_end == [True]


async def test_cancelled_while_the_limit_passes_is_still_cancelled() -> None:
    work = Work(call_seconds=0.2)
    task = asyncio.create_task(work.operation())
    await entered(work)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.closed_after_end == []
    work.release.set()


async def test_only_errors_of_the_operating_system_are_translated() -> None:
    def fail(error: Exception) -> None:
        raise error

    async with DiskWork() as work:
        with pytest.raises(Unavailable) as caught:
            await work.run(lambda: fail(PermissionError("no")))
        with pytest.raises(NotFound):
            await work.run(lambda: fail(NotFound()))
        with pytest.raises(ZeroDivisionError):
            await work.run(lambda: fail(ZeroDivisionError()))
    assert isinstance(caught.value.__cause__, PermissionError)
