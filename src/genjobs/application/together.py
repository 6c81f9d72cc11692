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
    if not items:
        return []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(item) for item in items]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
