"""Doing several things at once, of which the first failure ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def together(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """
    Return what each returns, in order.

    When one raises, the others are cancelled and waited for, and its own exception is raised:
    callers handle the error of their step, not a group.
    """
    items = list(work)
    results: dict[int, _T] = {}
    failures: list[Exception] = []
    tasks: list[asyncio.Task[None]] = []

    async def one(index: int, item: Coroutine[Any, Any, _T]) -> None:
        # The group is told of no failure. It would cancel its own task, and in Python 3.11 leave
        # that request behind: every limit of time around it then ended as a cancel.
        try:
            results[index] = await item
        except Exception as exc:
            failures.append(exc)
            for task in tasks:
                if task is not asyncio.current_task():
                    task.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(one(*entry)) for entry in enumerate(items)]
    finally:
        for item in items:
            item.close()  # of one that was cancelled before it had begun
    if failures:
        raise failures[0]
    if len(results) < len(items):  # one was cancelled, and not by us: the group says nothing of it
        raise asyncio.CancelledError
    return [results[index] for index in range(len(items))]
