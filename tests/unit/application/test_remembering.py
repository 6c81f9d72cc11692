"""What was looked up is remembered for some seconds, once for all who ask."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.application.remembering import Remembered
from genjobs.domain.errors import Unavailable
from genjobs.testing import FakeClock


class Source:
    """Counts look-ups; each waits until it is let go, if it is to be held."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.values: dict[str, str | None] = {}
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def find(self, key: str) -> str | None:
        self.asked.append(key)
        value = self.values.get(key)  # as it is when the look-up begins
        await self.gate.wait()
        if self.down:
            raise Unavailable
        return value


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def remembered(source: Source, clock: FakeClock) -> Remembered[str, str | None]:
    return Remembered(source.find, clock, seconds=4.0, most=3)


async def test_hundred_who_ask_at_once_cost_one_look_up(
    remembered: Remembered[str, str | None], source: Source
) -> None:
    source.values["a"] = "1"
    source.gate.clear()
    asking = [asyncio.create_task(remembered.get("a")) for _ in range(100)]
    await asyncio.sleep(0)
    source.gate.set()

    assert set(await asyncio.gather(*asking)) == {"1"}
    assert source.asked == ["a"]


async def test_what_is_not_there_is_remembered_too(
    remembered: Remembered[str, str | None], source: Source
) -> None:
    assert [await remembered.get("a") for _ in range(3)] == [None] * 3
    assert source.asked == ["a"]


async def test_nothing_is_told_longer_than_its_seconds(
    remembered: Remembered[str, str | None], source: Source, clock: FakeClock
) -> None:
    source.values["a"] = "old"
    await remembered.get("a")
    source.values["a"] = "new"
    clock.advance(timedelta(seconds=3.999))
    assert await remembered.get("a") == "old"
    clock.advance(timedelta(seconds=0.001))
    assert await remembered.get("a") == "new"


async def test_seconds_count_from_when_a_slow_look_up_began(
    remembered: Remembered[str, str | None], source: Source, clock: FakeClock
) -> None:
    source.values["a"] = "old"
    source.gate.clear()
    slow = asyncio.create_task(remembered.get("a"))
    await asyncio.sleep(0.001)
    source.values["a"] = "new"
    clock.advance(timedelta(seconds=4))
    fresh = asyncio.create_task(remembered.get("a"))
    await asyncio.sleep(0.001)
    source.gate.set()

    assert (await slow, await fresh) == ("old", "new")
    assert await remembered.get("a") == "new"
    assert len(source.asked) == 2


async def test_first_asker_may_go_away(
    remembered: Remembered[str, str | None], source: Source
) -> None:
    source.values["a"] = "1"
    source.gate.clear()
    first = asyncio.create_task(remembered.get("a"))
    await asyncio.sleep(0)
    second = asyncio.create_task(remembered.get("a"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.gate.set()

    assert await second == "1"
    assert source.asked == ["a"]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_failure_is_told_to_all_who_wait_and_not_remembered(
    remembered: Remembered[str, str | None], source: Source
) -> None:
    source.down = True
    source.gate.clear()
    asking = [asyncio.create_task(remembered.get("a")) for _ in range(3)]
    await asyncio.sleep(0)
    source.gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)

    source.down, source.values["a"] = False, "1"
    assert await remembered.get("a") == "1"
    assert len(source.asked) == 2


async def test_failure_that_nobody_waits_for_is_no_noise(
    remembered: Remembered[str, str | None], source: Source
) -> None:
    source.down = True
    source.gate.clear()
    asking = asyncio.create_task(remembered.get("a"))
    await asyncio.sleep(0)
    asking.cancel()
    source.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    source.down = False
    assert await remembered.get("a") is None


async def test_peek_tells_what_was_found_last_while_it_is_looked_up_again(
    remembered: Remembered[str, str | None], source: Source, clock: FakeClock
) -> None:
    assert remembered.peek("a") == (None, False)
    source.values["a"] = "1"
    await remembered.get("a")
    clock.advance(timedelta(hours=1))
    source.gate.clear()
    again = asyncio.create_task(remembered.get("a"))
    await asyncio.sleep(0)
    assert remembered.peek("a") == ("1", False)

    source.down = True
    source.gate.set()
    with pytest.raises(Unavailable):
        await again
    await asyncio.sleep(0)
    assert remembered.peek("a") == ("1", False)
    with pytest.raises(Unavailable):  # peeked at only: it is not told as the truth
        await remembered.get("a")
    source.down = False
    source.values["a"] = "2"
    assert await remembered.get("a") == "2"
    assert remembered.peek("a") == ("2", True)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 3)), max_size=40))
async def test_no_more_than_so_many_and_never_older(steps: list[tuple[str, float]]) -> None:
    clock, source = FakeClock(), Source()
    remembered = Remembered[str, str | None](source.find, clock, seconds=4.0, most=3)
    for key, pause in steps:
        clock.advance(timedelta(seconds=pause))
        for name in "abcdef":
            source.values[name] = repr(clock.monotonic())
        found = await remembered.get(key)
        assert found is not None
        assert clock.monotonic() - float(found) < 4.0
        assert sum(remembered.peek(name)[0] is not None for name in "abcdef") <= 3
