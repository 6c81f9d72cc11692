"""Whether a process can serve, asked by many who need no credential for it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from genjobs.application.readiness import Readiness
from genjobs.domain.errors import Unavailable
from genjobs.testing import FakeClock


class Asked:
    """What is asked: it answers once it may, and counts."""

    def __init__(self) -> None:
        self.times = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.fails = False

    async def __call__(self) -> None:
        self.times += 1
        await self.answers.wait()
        if self.fails:
            raise Unavailable


async def test_all_who_ask_within_a_second_are_one_question() -> None:
    asked, clock = Asked(), FakeClock()
    ready = Readiness(asked, clock)
    asked.answers.clear()
    asking = [asyncio.create_task(ready()) for _ in range(50)]
    await asyncio.sleep(0)
    asked.answers.set()
    await asyncio.gather(*asking)
    await ready()
    assert asked.times == 1
    clock.advance(timedelta(seconds=1))
    await ready()
    assert asked.times == 2


async def test_failure_is_not_remembered() -> None:
    asked = Asked()
    ready = Readiness(asked, FakeClock())
    asked.fails = True
    with pytest.raises(Unavailable):
        await ready()
    asked.fails = False
    await ready()


async def test_what_does_not_answer_is_given_up_with_those_who_wait() -> None:
    asked = Asked()
    ready = Readiness(asked, FakeClock(), limit=0.05)
    asked.answers.clear()
    before = asyncio.all_tasks()
    ended = await asyncio.gather(*(ready() for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in ended] == [Unavailable] * 3
    assert asked.times == 1
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before  # nothing goes on
