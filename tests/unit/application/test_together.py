"""Doing several things at once: the first failure ends all, and leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest

from genjobs.application.together import together


class Broken(Exception):
    pass


async def fails(after: float) -> int:
    if after:
        await asyncio.sleep(after)
    raise Broken


async def lasts(ended: list[str]) -> int:
    try:
        await asyncio.sleep(30)
    finally:
        ended.append("x")
    return 1


async def gives(value: int, after: float = 0) -> int:
    await asyncio.sleep(after)
    return value


async def test_results_are_in_order() -> None:
    assert await together([gives(1, 0.02), gives(2), gives(3, 0.01)]) == [1, 2, 3]
    assert await together([]) == []


@pytest.mark.parametrize("after", [0, 0.01])
async def test_first_failure_is_raised_once_the_others_have_ended(after: float) -> None:
    ended: list[str] = []
    before = asyncio.all_tasks()
    with pytest.raises(Broken):
        await together([fails(after), lasts(ended), lasts(ended)])
    assert ended == (["x", "x"] if after else [])  # those that had begun
    assert asyncio.all_tasks() <= {asyncio.current_task(), *before}


async def in_vain(after: float) -> None:
    async with asyncio.timeout(0.1):
        while True:
            with pytest.raises(Broken):
                await together([fails(after), gives(1)])
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("after", [0, 0.01])
async def test_time_limit_around_it_still_ends_by_a_time_out(after: float) -> None:
    # asyncio.TaskGroup of Python 3.11 leaves a request to cancel behind when a task of it fails;
    # every limit around it then ended as if somebody had cancelled.
    with pytest.raises(TimeoutError):
        await in_vain(after)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_cancel_from_outside_ends_all_and_is_a_cancel() -> None:
    ended: list[str] = []
    task = asyncio.create_task(together([lasts(ended), lasts(ended)]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["x", "x"]


async def test_what_ends_as_cancelled_by_itself_is_a_cancel() -> None:
    async def gives_up() -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await together([gives_up(), gives(1)])
