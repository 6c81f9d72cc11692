"""What a pool is told: within its bounds, more for more work, at once up and slowly down."""

from __future__ import annotations

import dataclasses
import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genjobs.domain.capacity import (
    Dampers,
    Held,
    Observed,
    PoolBounds,
    PoolDecision,
    PoolMemory,
    PoolSettings,
    decide,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOUNDS = PoolBounds(max_containers=20, buffer_containers=2)
DAMPERS = Dampers()
#: Load of 4 containers.
BUSY = Observed(arrivals_lately=0.4, arrivals_before=0.4, render_seconds=10.0)

seconds = st.none() | st.floats(0, 1e5)
observations = st.builds(
    Observed,
    waiting=st.integers(0, 10**6),
    oldest_seconds=st.floats(0, 1e6),
    rendering=st.integers(0, 10**5),
    arrivals_lately=st.floats(0, 1e4),
    arrivals_before=st.floats(0, 1e4),
    render_seconds=seconds,
    prepare_seconds=seconds,
    cold_start_seconds=seconds,
)
helds = st.builds(
    Held,
    value=st.integers(0, 10**6),
    lower_since=st.none() | st.datetimes(timezones=st.just(UTC)),
    highest=st.integers(0, 10**6),
)
memories = st.builds(
    PoolMemory, min_containers=helds, buffer_containers=helds, scaledown_seconds=helds
)


@st.composite
def bounds(draw: st.DrawFn) -> PoolBounds:
    least = draw(st.integers(0, 500))
    return PoolBounds(
        min_containers=least,
        max_containers=max(1, least + draw(st.integers(0, 500))),
        buffer_containers=draw(st.integers(0, 50)),
        scaledown_window=timedelta(seconds=draw(st.integers(2, 3600))),
        places=draw(st.integers(1, 16)),
    )


@given(observations, memories, bounds())
def test_whatever_is_seen_and_remembered_it_stays_within_the_bounds(
    observed: Observed, memory: PoolMemory, allowed: PoolBounds
) -> None:
    told = decide(observed, memory, allowed, NOW).settings

    assert allowed.min_containers <= told.min_containers <= allowed.max_containers
    assert told.max_containers == allowed.max_containers
    assert 0 <= told.buffer_containers <= allowed.buffer_containers
    assert timedelta(seconds=2) <= told.scaledown_window <= allowed.scaledown_window


@given(observations, memories, bounds(), st.integers(0, 10**6))
def test_more_that_wait_never_get_fewer_containers(
    observed: Observed, memory: PoolMemory, allowed: PoolBounds, more: int
) -> None:
    longer = dataclasses.replace(observed, waiting=observed.waiting + more)
    less = decide(observed, memory, allowed, NOW)
    at_least = decide(longer, memory, allowed, NOW)

    assert at_least.wanted >= less.wanted
    assert at_least.settings.min_containers >= less.settings.min_containers


@given(observations, memories, bounds())
def test_what_is_wanted_is_given_at_once(
    observed: Observed, memory: PoolMemory, allowed: PoolBounds
) -> None:
    decision = decide(observed, memory, allowed, NOW)
    assert decision.settings.min_containers >= decision.wanted


@given(bounds())
def test_nothing_seen_and_nothing_remembered_is_the_floor(allowed: PoolBounds) -> None:
    told = decide(Observed(), PoolMemory(), allowed, NOW).settings
    assert (told.min_containers, told.buffer_containers) == (allowed.min_containers, 0)


@given(observations, memories, bounds())
def test_after_long_silence_it_is_the_floor(
    observed: Observed, memory: PoolMemory, allowed: PoolBounds
) -> None:
    memory, now = decide(observed, memory, allowed, NOW).memory, NOW
    for _ in range(4):
        told = decide(Observed(), memory, allowed, now)
        memory, now = told.memory, now + DAMPERS.hold

    assert told.settings.min_containers == allowed.min_containers
    assert told.settings.buffer_containers == 0


@settings(max_examples=20)
@given(st.floats(0.5, 200), st.integers())
def test_noise_around_a_constant_load_changes_little(load: float, seed: int) -> None:
    """An hour, a look every 15 seconds: at most one way down in each time of holding."""
    allowed, noise = PoolBounds(max_containers=1000), random.Random(seed)
    memory, now, told = PoolMemory(), NOW, []
    for _ in range(240):
        rate = load * noise.uniform(0.7, 1.3) / 10
        seen = Observed(waiting=noise.randrange(30), arrivals_lately=rate, render_seconds=10.0)
        decision = decide(seen, memory, allowed, now)
        memory, now = decision.memory, now + DAMPERS.every
        told.append(decision.settings.min_containers)
    steps = list(itertools.pairwise(told))
    downs = sum(after < before for before, after in steps)

    assert downs <= timedelta(hours=1) / DAMPERS.hold
    assert sum(after > before for before, after in steps) <= (downs + 1) * (max(told) - min(told))


@settings(max_examples=20)
@given(st.integers())
def test_noise_within_the_slack_never_takes_anything_away(seed: int) -> None:
    memory, now, told, noise = PoolMemory(), NOW, [], random.Random(seed)
    for _ in range(240):
        seen = Observed(arrivals_lately=10 * noise.uniform(0.88, 1), render_seconds=10.0)
        decision = decide(seen, memory, PoolBounds(max_containers=1000), now)
        memory, now = decision.memory, now + DAMPERS.every
        told.append(decision.settings.min_containers)

    assert told == sorted(told)


def test_load_and_chance_make_the_minimum() -> None:
    assert _told(BUSY).wanted == 6  # 4 busy, and the root of it


def test_those_who_wait_want_containers_until_they_are_served() -> None:
    crowd = dataclasses.replace(BUSY, waiting=30, cold_start_seconds=40.0)
    assert _told(crowd).wanted == 11  # 30 of 10 seconds each within a minute: 5 more


def test_no_more_is_ordered_for_a_crowd_than_can_help_when_starts_take_long() -> None:
    crowd = dataclasses.replace(BUSY, waiting=30, cold_start_seconds=150.0)
    assert _told(crowd).wanted == 8


def test_waits_that_are_no_cold_starts_do_not_keep_a_crowd_waiting() -> None:
    crowd = dataclasses.replace(BUSY, waiting=180, cold_start_seconds=1800.0)
    assert _told(crowd).wanted == 16


def test_one_lone_job_wants_a_container() -> None:
    assert _told(Observed(rendering=1)).settings.min_containers == 1


def test_loading_that_takes_longer_than_rendering_is_what_counts() -> None:
    slow = dataclasses.replace(BUSY, prepare_seconds=20.0)
    assert _told(slow).wanted > _told(BUSY).wanted


def test_less_is_held_and_then_given_up_to_the_most_of_late() -> None:
    calm = dataclasses.replace(BUSY, arrivals_lately=0.1, arrivals_before=0.1)
    between = dataclasses.replace(BUSY, arrivals_lately=0.2, arrivals_before=0.1)
    memory = _told(BUSY).memory
    told = []
    for minute, seen in enumerate([calm, between, calm, calm, calm, calm, calm]):
        decision = decide(seen, memory, BOUNDS, NOW + timedelta(minutes=minute))
        memory = decision.memory
        told.append(decision.settings.min_containers)

    assert told == [6, 6, 6, 6, 6, 4, 4]
    later = decide(calm, memory, BOUNDS, NOW + timedelta(minutes=30))
    assert later.settings.min_containers == 2


def test_more_in_between_begins_the_wait_anew() -> None:
    calm, memory = Observed(), _told(BUSY).memory
    for minute in (0, 4):
        memory = decide(calm, memory, BOUNDS, NOW + timedelta(minutes=minute)).memory
    memory = decide(BUSY, memory, BOUNDS, NOW + timedelta(minutes=4, seconds=30)).memory
    memory = decide(calm, memory, BOUNDS, NOW + timedelta(minutes=5)).memory
    assert memory.min_containers.value == 6
    assert memory.min_containers.lower_since == NOW + timedelta(minutes=5)


def test_clock_that_was_ahead_does_not_hold_for_longer() -> None:
    memory = PoolMemory(
        min_containers=Held(value=9, lower_since=NOW + timedelta(days=1), highest=3)
    )
    memory = decide(Observed(), memory, BOUNDS, NOW).memory
    assert decide(Observed(), memory, BOUNDS, NOW + DAMPERS.hold).settings.min_containers == 3


def test_reason_says_what_was_seen_and_what_holds_it() -> None:
    busy = _told(dataclasses.replace(BUSY, waiting=3))
    assert busy.reason == ("4.00 containers busy, 2.00 for chance, 0.50 for 3 that wait: 7 wanted")
    calm = decide(Observed(), busy.memory, BOUNDS, NOW)
    assert calm.reason == "nothing to do: 0 wanted, 7 held since 12:00:00"
    full = _told(dataclasses.replace(BUSY, waiting=10**6))
    assert full.reason.endswith("20 wanted, the most there may be")


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_containers": 3, "max_containers": 2},
        {"min_containers": -1},
        {"max_containers": 0},
        {"buffer_containers": -1},
        {"scaledown_window": timedelta(seconds=1)},
        {"scaledown_window": timedelta(hours=2)},
        {"places": 0},
    ],
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        PoolBounds(**wrong)  # type: ignore[arg-type]


def test_pool_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="buffer_containers"):
        PoolSettings(
            min_containers=0,
            max_containers=1,
            buffer_containers=-1,
            scaledown_window=timedelta(seconds=60),
        )


def _told(observed: Observed) -> PoolDecision:
    return decide(observed, PoolMemory(), BOUNDS, NOW)
