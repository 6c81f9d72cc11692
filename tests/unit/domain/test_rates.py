"""The approximate rates of one process: never more than the rate, never a negative rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.domain.rates import Buckets, Rate

RATES = st.builds(Rate, per_second=st.floats(0.01, 1000), burst=st.integers(1, 1000))


@given(RATES, st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=60))
def test_no_more_is_taken_than_burst_and_rate_give(
    rate: Rate, steps: list[tuple[float, bool]]
) -> None:
    buckets, now, taken = Buckets(rate), 0.0, 0.0
    for pause, cheap in steps:
        now += pause
        if buckets.wait("k", now) == 0:
            buckets.take("k", now)
            taken += 1
            if cheap:
                buckets.take("k", now, -0.9)
                taken -= 0.9
        left = buckets.allowance("k", now)
        assert 0 <= left.remaining <= rate.burst
        assert left.reset_seconds >= 0
        assert taken <= rate.burst + now * rate.per_second + 1e-6 * (1 + taken)


@given(RATES, st.integers(0, 3000))
def test_whoever_waits_as_told_is_let_in(rate: Rate, count: int) -> None:
    buckets, now = Buckets(rate), 100.0
    for _ in range(min(count, rate.burst)):
        assert buckets.wait("k", now) == 0
        buckets.take("k", now)
    wait = buckets.wait("k", now)
    assert (wait > 0) == (count >= rate.burst)
    assert buckets.wait("k", now + wait) == 0
    assert buckets.wait("k", now + wait * 0.99) > 0 or wait < 1e-6


def test_keys_do_not_share() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1))
    buckets.take("a", 0.0)
    assert buckets.wait("a", 0.0) == pytest.approx(1.0)
    assert buckets.wait("b", 0.0) == 0


def test_giving_back_saves_nothing_up_beyond_the_burst() -> None:
    buckets = Buckets(Rate(per_second=1, burst=5))
    for _ in range(100):
        buckets.take("a", 0.0, -1.0)
    assert buckets.allowance("a", 0.0).remaining == 5
    for _ in range(5):
        assert buckets.wait("a", 0.0) == 0
        buckets.take("a", 0.0)
    assert buckets.wait("a", 0.0) > 0


def test_only_so_many_keys_are_kept() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1), most=100)
    for n in range(1000):
        buckets.take(n, 0.0)
    assert sum(buckets.wait(n, 0.0) > 0 for n in range(1000)) == 100
