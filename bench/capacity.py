"""
A day of 2,000 users on a pool of GPU containers: who waits how long, and what it costs.

Simulated, on a clock of its own (``pool_model``), for fixed pools, for autoscaling with all settings
zero, for fixed settings that were chosen in hindsight, and for settings that are adjusted as
``genjobs.domain.capacity`` says. Then the hours around lunch with 100 times the users.

Assumptions, none of them measured: the day's shape; 1 + up to 30 jobs of a user, 4.2 in the mean,
90 seconds apart; renders of 10 seconds in the median and 14 in the mean; cold starts of 45 seconds in
the median, paid for like the rest. ``GENJOBS_BENCH_GPU_PRICE`` is in USD for an hour: 1.95 is what a
third party's list of May 2026 says that Modal asks for an L40S; take your own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from bench.measuring import Result, cost
from bench.pool_model import Day, Pool, Work
from genjobs.domain.capacity import Dampers, PoolBounds, PoolSettings

PRICE = float(os.environ.get("GENJOBS_BENCH_GPU_PRICE", "1.95"))  # USD for a GPU hour
USERS = 2000
_HOUR = 3600.0
#: How busy the day is at which hour; straight lines between. Lunch is three times the morning.
_SHAPE = (
    (0.0, 0.25),
    (1.0, 0.12),
    (2.0, 0.07),
    (5.0, 0.05),
    (7.0, 0.3),
    (9.0, 0.9),
    (11.0, 1.0),
    (11.75, 1.3),
    (12.25, 3.2),
    (13.0, 3.0),
    (13.75, 1.3),
    (15.0, 1.0),
    (17.0, 1.0),
    (18.0, 0.8),
    (19.0, 1.1),
    (21.0, 1.3),
    (22.5, 0.8),
    (24.0, 0.25),
)
#: Around lunch, with 100 times the users; a whole day of that would take minutes.
_LUNCH = (11.75 * _HOUR, 12.75 * _HOUR)


def capacity() -> list[Result]:
    """Print what was simulated and return how adjusted settings compare."""
    day = jobs_of_a_day(USERS)
    rows = _compare("day", day, 24 * _HOUR, most=20, windows=(60, 120, 150, 180, 300), goal=1.5)
    lunch = jobs_of_a_day(100 * USERS, between=_LUNCH)
    # In the busiest hour a fixed pool is no waste: it is one for the rest of the day.
    length = _LUNCH[1] - _LUNCH[0]
    return rows + _compare("lunch x100", lunch, length, most=1500, windows=(120,), goal=1.0)


def jobs_of_a_day(users: int, *, between: tuple[float, float] | None = None) -> list[Work]:
    """Return the jobs by arrival; of a part of the day its clock starts at the part's begin."""
    chance, jobs = random.Random(7), []
    begin, end = between or (0.0, 24 * _HOUR)
    for _ in range(users):
        at = _moment(chance)
        for _ in range(1 + min(30, int(chance.expovariate(1 / 3.5)))):
            arrives = at % (24 * _HOUR) - begin
            load, render = chance.lognormvariate(0.3, 0.4), chance.lognormvariate(2.303, 0.8)
            upload = chance.lognormvariate(0.0, 0.4)
            if 0 <= arrives < end - begin:
                jobs.append((arrives, load, render, upload))
            at += chance.expovariate(1 / 90)
    return sorted(jobs)


def _moment(chance: random.Random) -> float:
    """Return when a user comes, in seconds of the day."""
    most = max(height for _, height in _SHAPE)
    while True:
        hour = chance.uniform(0, 24)
        for (left, low), (right, high) in pairwise(_SHAPE):
            if left <= hour < right and chance.uniform(0, most) < low + (high - low) * (
                hour - left
            ) / (right - left):
                return hour * _HOUR


def _cold_start(chance: random.Random) -> float:
    return chance.lognormvariate(3.8, 0.3)


def _compare(
    name: str,
    jobs: Sequence[Work],
    length: float,
    *,
    most: int,
    windows: Sequence[int],
    goal: float,
) -> list[Result]:
    # What is part of a day begins with what its first ten minutes need.
    early = sum(render for at, _, render, _ in jobs if at < 600)
    warm = round(1.1 * early / 600)
    work = sum(render for _, _, render, _ in jobs)
    print(f"{name}: {len(jobs)} jobs, {work / _HOUR:.1f} hours of rendering, {PRICE} USD an hour")

    def run(what: str, settings: PoolSettings, steered: Dampers | None = None) -> Day:
        bounds = PoolBounds(max_containers=settings.max_containers)
        day = Pool(
            jobs,
            settings,
            bounds=bounds,
            cold_start=_cold_start,
            steered=steered,
            warm=max(settings.min_containers, min(warm, settings.max_containers)),
        ).run(length)
        _tell(what, day)
        return day

    adjusted = run("adjusted", _settings(0, 0, most, window=300), Dampers())
    naive = run("all zero", _settings(0, 0, most, window=60))
    static = [
        run(f"min 1, buffer 1, window {window}", _settings(1, 1, most, window=window))
        for window in windows
    ]
    # In hindsight: the cheapest of those that let nobody wait longer than the adjusted one does.
    as_good = [day for day in static if day.wait(0.99) <= adjusted.wait(0.99)]
    fixed = _fixed_as_good(run, adjusted, most)
    rows = [
        cost(f"{name}: cost, fixed", "USD", _usd(adjusted), _usd(fixed), goal),
        cost(f"{name}: p99 wait, zero", "s", adjusted.wait(0.99), naive.wait(0.99), 2.0),
    ]
    if as_good:
        best = min(as_good, key=lambda day: day.gpu_hours)
        rows.append(cost(f"{name}: cost, static", "USD", _usd(adjusted), _usd(best), 1.0))
    return rows


def _fixed_as_good(run: object, adjusted: Day, most: int) -> Day:
    """Return the smallest fixed pool, of a few, in which p99 is no longer than adjusted."""
    assert callable(run)
    sizes = sorted({max(1, round(adjusted.most_containers * part / 20)) for part in range(9, 21)})
    low, high = 0, len(sizes) - 1
    found: dict[int, Day] = {}
    while low <= high:
        at = (low + high) // 2
        day = run(f"fixed {sizes[at]}", _settings(sizes[at], 0, sizes[at], window=300))
        found[sizes[at]] = day
        if day.wait(0.99) <= adjusted.wait(0.99):
            high = at - 1
        else:
            low = at + 1
    good = [size for size, day in found.items() if day.wait(0.99) <= adjusted.wait(0.99)]
    return found[min(good, default=max(found))]


def _settings(least: int, beside: int, most: int, *, window: int) -> PoolSettings:
    return PoolSettings(
        min_containers=least,
        max_containers=most,
        buffer_containers=beside,
        scaledown_window=timedelta(seconds=window),
    )


def _usd(day: Day) -> float:
    return day.gpu_hours * PRICE


def _tell(what: str, day: Day) -> None:
    print(
        f"  {what:28} wait p50 {day.wait(0.5):6.1f} p95 {day.wait(0.95):6.1f} "
        f"p99 {day.wait(0.99):6.1f} s  cold {day.cold_share:6.2%}  {day.gpu_hours:7.1f} GPU h "
        f"{_usd(day):8.2f} USD  at most {day.most_containers}  changes {day.changes}"
        f"{f'  not begun {day.unfinished}' if day.unfinished else ''}",
        flush=True,
    )
