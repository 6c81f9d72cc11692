"""
How many containers a pool of GPU workers keeps warm: what is seen, within which bounds, and why.

Pure: what is observed and the time come in, a decision and what is to be remembered go out. Who
looks and who acts is in ``application.adjust_pool``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

#: Shortest and longest time that a platform keeps an idle container (Modal: 2 s to 1 h).
SHORTEST_SCALEDOWN: Final = timedelta(seconds=2)
LONGEST_SCALEDOWN: Final = timedelta(hours=1)
#: Until something has been measured: a picture of a large model, a container with its weights.
UNMEASURED_RENDER: Final = 15.0  # seconds
UNMEASURED_START: Final = 60.0  # seconds
#: In a pool that is at its end jobs wait for a worker as they do for a cold start. What takes
#: longer counts as this long, or a crowd would be served the later the longer it waits.
LONGEST_START: Final = 180.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What a pool is told, all of it at once."""

    #: Containers that are kept also while nobody has anything to do.
    min_containers: int
    max_containers: int
    #: Idle containers beside the busy ones, while there are busy ones.
    buffer_containers: int
    #: How long an idle container that neither of them asks for is kept.
    scaledown_window: timedelta

    def __post_init__(self) -> None:
        if not 0 <= self.min_containers <= self.max_containers or self.max_containers < 1:
            raise ValueError("0 <= min_containers <= max_containers, and at least 1")
        if self.buffer_containers < 0:
            raise ValueError("buffer_containers is not negative")
        if not SHORTEST_SCALEDOWN <= self.scaledown_window <= LONGEST_SCALEDOWN:
            raise ValueError("scaledown_window is from 2 seconds to an hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolBounds:
    """What the operator allows; ``ValueError`` when it makes no sense."""

    #: Never fewer are kept warm: the floor.
    min_containers: int = 0
    #: Never more are there, warm or not: the most that can be spent.
    max_containers: int = 20
    #: The most idle ones beside the busy ones.
    buffer_containers: int = 1
    #: How long an idle container is kept, at most.
    scaledown_window: timedelta = timedelta(minutes=5)
    #: Jobs that a container takes at once; one of them renders.
    places: int = 3

    def __post_init__(self) -> None:
        self.floor()  # what a pool refuses is refused here
        if self.buffer_containers < 0:
            raise ValueError("buffer_containers is not negative")
        if self.places < 1:
            raise ValueError("a container has at least one place")

    def floor(self) -> PoolSettings:
        """Return what a pool is told when nothing is known of its work."""
        return PoolSettings(
            min_containers=self.min_containers,
            max_containers=self.max_containers,
            buffer_containers=0,
            scaledown_window=self.scaledown_window,
        )

    def slots(self) -> int:
        """Return how many jobs may be outside the queue at once."""
        return self.max_containers * self.places


@dataclass(frozen=True, slots=True, kw_only=True)
class Dampers:
    """How eagerly a pool follows what is seen."""

    #: Between two looks, of all supervisors together.
    every: timedelta = timedelta(seconds=15)
    #: Less must have been wanted for as long before anything is given up.
    hold: timedelta = timedelta(minutes=5)
    #: And less by this part, or the most that was wanted is the floor: noise changes nothing.
    slack: float = 0.15
    #: Renderers beside the load, in roots of the load (square-root staffing): random arrivals
    #: need relatively less headroom the more there are.
    headroom: float = 1.0
    #: Jobs that wait are to have a renderer within this time, or a cold start if that is longer.
    drain: timedelta = timedelta(seconds=60)
    #: How long an idle container is kept, in cold starts: one that is let go and wanted again
    #: costs a cold start, and somebody's waiting on top.
    patience: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is seen of the work; durations in seconds, None where nothing was measured."""

    #: Jobs that could render and do not yet; see ``PoolLedger.observe``.
    waiting: int = 0
    #: How long the first of them has been eligible.
    oldest_seconds: float = 0.0
    rendering: int = 0
    #: Attempts given to workers a second, over the last two minutes and the last ten.
    arrivals_lately: float = 0.0
    arrivals_before: float = 0.0
    #: Means of attempts of late.
    render_seconds: float | None = None
    prepare_seconds: float | None = None
    #: From being called to its first start, of attempts that no warm container took.
    cold_start_seconds: float | None = None
    #: Slots of the dispatch window.
    slots: int = 0

    @property
    def idle(self) -> bool:
        """Whether there is, and lately was, nothing to do."""
        return not (self.waiting or self.rendering or self.arrivals_lately or self.arrivals_before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A figure that grows at once and shrinks slowly."""

    value: int = 0
    #: Since when less has been wanted, and the most of it since.
    lower_since: datetime | None = None
    highest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMemory:
    """What is remembered between two looks."""

    min_containers: Held = Held()
    buffer_containers: Held = Held()
    scaledown_seconds: Held = Held()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTurn:
    """Whose look at the pool it is, until when, and what was remembered."""

    memory: PoolMemory
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDecision:
    """What a pool is to be told, why, and what to remember."""

    settings: PoolSettings
    reason: str
    memory: PoolMemory
    #: The minimum that would be wanted if nothing damped it.
    wanted: int


def decide(
    observed: Observed,
    memory: PoolMemory,
    bounds: PoolBounds,
    now: datetime,
    dampers: Dampers = Dampers(),
) -> PoolDecision:
    """
    Return what the pool is to be told, within the bounds always.

    More is given at once; less only after less was wanted for the whole of ``dampers.hold``, and
    then no less than the most that was wanted in that time.
    """
    needs = _needs(observed, dampers)
    most_seconds = int(bounds.scaledown_window.total_seconds())
    least_seconds = int(SHORTEST_SCALEDOWN.total_seconds())
    patience = dampers.patience * _start(observed)
    wanted = _within(needs.total, bounds.min_containers, bounds.max_containers)
    kept = PoolMemory(
        min_containers=_damped(
            memory.min_containers,
            wanted,
            bounds.min_containers,
            bounds.max_containers,
            now,
            dampers,
        ),
        buffer_containers=_damped(
            memory.buffer_containers,
            _within(needs.headroom, 0, bounds.buffer_containers),
            0,
            bounds.buffer_containers,
            now,
            dampers,
        ),
        scaledown_seconds=_damped(
            memory.scaledown_seconds,
            _within(patience, least_seconds, most_seconds),
            least_seconds,
            most_seconds,
            now,
            dampers,
        ),
    )
    return PoolDecision(
        settings=PoolSettings(
            min_containers=kept.min_containers.value,
            max_containers=bounds.max_containers,
            buffer_containers=kept.buffer_containers.value,
            scaledown_window=timedelta(seconds=kept.scaledown_seconds.value),
        ),
        reason=_reason(observed, needs, wanted, kept, bounds),
        memory=kept,
        wanted=wanted,
    )


def _seconds(observed: Observed) -> float:
    # A container loads the next job while it renders: the longer of the two is its pace.
    render = observed.render_seconds
    return max(UNMEASURED_RENDER if render is None else render, observed.prepare_seconds or 0.0)


def _start(observed: Observed) -> float:
    return min(observed.cold_start_seconds or UNMEASURED_START, LONGEST_START)


class _Needs(NamedTuple):
    """Containers: busy in the mean (Little's law), for chance, for those who wait; and in all."""

    load: float
    headroom: float
    backlog: float
    total: float


def _needs(observed: Observed, dampers: Dampers) -> _Needs:
    load = _seconds(observed) * max(observed.arrivals_lately, observed.arrivals_before)
    headroom = dampers.headroom * math.sqrt(load)
    # What is ordered for those who wait is of no use before it has started.
    within = max(dampers.drain.total_seconds(), _start(observed))
    backlog = observed.waiting * _seconds(observed) / within
    least = 0.0 if observed.idle else 1.0
    return _Needs(load, headroom, backlog, max(least, load + headroom + backlog))


def _within(wanted: float, least: int, most: int) -> int:
    # Rounded up, but for what is only the arithmetic's: 3.0000000001 are three.
    return most if wanted >= most else max(least, math.ceil(wanted - 1e-9))


def _damped(
    held: Held, wanted: int, least: int, most: int, now: datetime, dampers: Dampers
) -> Held:
    # What was remembered under other bounds is brought within these.
    value = _within(held.value, least, most)
    if wanted >= value:
        return Held(value=wanted)
    # A clock that was ahead must not make the wait longer.
    since = now if held.lower_since is None else min(held.lower_since, now)
    highest = wanted if held.lower_since is None else max(wanted, held.highest)
    if now - since < dampers.hold:
        return Held(value=value, lower_since=since, highest=highest)
    highest = _within(highest, least, most)
    if highest <= least or highest <= value * (1 - dampers.slack):
        return Held(value=highest)
    return Held(value=value, lower_since=now, highest=wanted)


def _reason(
    observed: Observed, needs: _Needs, wanted: int, kept: PoolMemory, bounds: PoolBounds
) -> str:
    if observed.idle:
        why = "nothing to do"
    else:
        why = (
            f"{needs.load:.2f} containers busy, {needs.headroom:.2f} for chance, "
            f"{needs.backlog:.2f} for {observed.waiting} that wait"
        )
    held = kept.min_containers
    if wanted == bounds.max_containers:
        then = f"{wanted} wanted, the most there may be"
    elif held.value > wanted and held.lower_since is not None:
        then = f"{wanted} wanted, {held.value} held since {held.lower_since:%H:%M:%S}"
    elif held.value > wanted:
        then = f"{wanted} wanted, {held.value} the most of late"
    elif wanted == bounds.min_containers:
        then = f"{wanted} wanted, the fewest there may be"
    else:
        then = f"{wanted} wanted"
    return f"{why}: {then}"
