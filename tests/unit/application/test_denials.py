"""A refusal by rate is remembered for some seconds, and refuses nobody who would be accepted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.application.denials import Denials
from genjobs.domain.errors import RateLimited
from genjobs.testing import FakeClock, an_owner


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@given(st.floats(0.001, 1e6), st.floats(0, 20), st.floats(0, 20))
def test_no_longer_than_told_and_than_five_seconds(
    told: float, answered_after: float, later: float
) -> None:
    clock, owner = FakeClock(), an_owner()
    denials = Denials(clock)
    asked_at = clock.monotonic()
    clock.advance(timedelta(seconds=answered_after))  # a slow database
    denials.note(owner, None, RateLimited("Slowly.", retry_after=told), asked_at=asked_at)
    clock.advance(timedelta(seconds=later))
    denial = denials.of(owner, None)

    left = asked_at + min(told, 5.0) - clock.monotonic()
    if left <= 0:
        assert denial is None
    else:
        assert denial is not None
        assert denial.retry_after == pytest.approx(left)
        assert denial.message == "Slowly."


def test_it_is_of_one_user_and_of_the_plan_that_was_named(clock: FakeClock) -> None:
    denials, owner = Denials(clock), an_owner()
    denials.note(owner, None, RateLimited(retry_after=3), asked_at=clock.monotonic())

    assert denials.of(owner, None) is not None
    assert denials.of(owner, "pro") is None
    assert denials.of(an_owner("u_2", owner.tenant_id), None) is None
    assert denials.of(an_owner(owner.user_id), None) is None


def test_whoever_is_accepted_is_denied_no_more(clock: FakeClock) -> None:
    denials, owner = Denials(clock), an_owner()
    for plan in (None, "pro"):
        denials.note(owner, plan, RateLimited(retry_after=3), asked_at=clock.monotonic())
    denials.forget(owner, "pro")

    assert denials.of(owner, None) is None
    assert denials.of(owner, "pro") is None


def test_ten_thousand_are_remembered(clock: FakeClock) -> None:
    denials = Denials(clock)
    owners = [an_owner(f"u_{n}") for n in range(10_001)]
    for owner in owners:
        denials.note(owner, None, RateLimited(retry_after=3), asked_at=clock.monotonic())

    assert denials.of(owners[0], None) is None
    assert denials.of(owners[1], None) is not None
