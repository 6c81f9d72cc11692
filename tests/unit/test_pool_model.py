"""The simulated pool against what queueing theory says, and its policy against a simulated day."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import pytest

from bench.capacity import jobs_of_a_day
from bench.pool_model import Day, Pool
from genjobs.domain.capacity import Dampers, PoolBounds, PoolSettings


def _run(
    jobs: list[tuple[float, float, float, float]],
    *,
    least: int,
    most: int,
    places: int = 3,
    steered: Dampers | None = None,
) -> Day:
    settings = PoolSettings(
        min_containers=least,
        max_containers=most,
        buffer_containers=0,
        scaledown_window=timedelta(minutes=5),
    )
    bounds = PoolBounds(max_containers=most, places=places)
    return Pool(jobs, settings, bounds=bounds, cold_start=lambda _: 45.0, steered=steered).run(
        jobs[-1][0] + 3600
    )


def test_pool_without_places_waits_as_erlang_says() -> None:
    """M/M/5 at a load of 4: waits of those who wait are exponential, 55 % wait (Erlang C)."""
    chance, at, jobs = random.Random(3), 0.0, []
    for _ in range(30_000):
        at += chance.expovariate(0.4)
        jobs.append((at, 0.0, chance.expovariate(0.1), 0.0))
    day = _run(jobs, least=5, most=5, places=1)
    first = [4**n / math.factorial(n) for n in range(5)]
    last = 4**5 / math.factorial(5) * 5 / (5 - 4)
    waits = last / (sum(first) + last)

    assert day.unfinished == 0
    assert sum(wait > 1e-9 for wait in day.waits) / len(jobs) == pytest.approx(waits, rel=0.1)
    assert sum(day.waits) / len(jobs) == pytest.approx(waits * 10.0, rel=0.25)
    assert day.gpu_hours == pytest.approx(5 * (jobs[-1][0] + 3600) / 3600)


def test_adjusted_pool_waits_less_than_a_fixed_one_that_costs_more() -> None:
    jobs = jobs_of_a_day(2000)
    adjusted = _run(jobs, least=0, most=20, steered=Dampers())
    fixed = _run(jobs, least=7, most=7)

    assert adjusted.unfinished == fixed.unfinished == 0
    assert adjusted.gpu_hours < fixed.gpu_hours
    assert adjusted.wait(0.99) < fixed.wait(0.99)
    # Nor does it flap: a change in six minutes in the mean, most of them at the edges of the day.
    assert adjusted.changes < 24 * 60 / 6
