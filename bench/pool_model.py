"""
A day of a pool of GPU containers, event by event, on a clock of its own.

Jobs go to a container as at Modal: one with a free place takes the next, the emptiest first; a
container loads, renders one, and uploads; the pool starts containers for what has no place, for its
minimum and its buffer, and stops what idled longer than its window. What a real autoscaler does in
detail is not public: this is a model of what its documentation says.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from genjobs.domain.capacity import (
    Dampers,
    Observed,
    PoolBounds,
    PoolDecision,
    PoolMemory,
    PoolSettings,
    decide,
)

#: Of the attempts that were given out last so many are looked at; as the statement has it.
SAMPLE = 2000
#: What attempts took is told from so many, given out so long ago that nearly all of them have ended:
#: among the newest only the short ones have.
MEASURED = 500
SETTLED = 300.0  # seconds
_AGAIN = 5.0  # seconds; an idle container that is still asked for is looked at again
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


#: When a job comes, and its seconds of loading, rendering and uploading.
Work = tuple[float, float, float, float]


@dataclass(slots=True)
class Job:
    arrived: float
    prepare: float
    render: float
    upload: float
    dispatched: float = -1.0
    started: float = -1.0
    rendering_at: float = -1.0
    ended: float = -1.0
    cold: bool = False


@dataclass(slots=True, eq=False)
class Container:
    born: float
    warm: bool = False
    inputs: int = 0
    rendering: bool = False
    loaded: deque[Job] = field(default_factory=deque)
    idle_since: float = 0.0
    place: int = 0  # in its bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What a simulated stretch of time came to."""

    waits: list[float]  # seconds, sorted
    cold_share: float
    gpu_hours: float
    most_containers: int
    changes: int
    unfinished: int

    def wait(self, part: float) -> float:
        return self.waits[min(len(self.waits) - 1, int(part * len(self.waits)))]


class Pool:
    """The pool and its queue; ``steer`` is asked every ``dampers.every`` what to tell it."""

    def __init__(
        self,
        jobs: Sequence[Work],
        settings: PoolSettings,
        *,
        bounds: PoolBounds,
        cold_start: Callable[[random.Random], float],
        seed: int = 1,
        steered: Dampers | None = None,
        warm: int | None = None,
    ) -> None:
        self._jobs = [Job(*work) for work in jobs]
        self._settings, self._bounds = settings, bounds
        self._cold_start, self._random = cold_start, random.Random(seed)
        self._dampers, self._memory = steered, PoolMemory()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._now = 0.0
        self._queue: deque[Job] = deque()  # eligible, without a slot
        self._called: deque[Job] = deque()  # called, and no container has it
        self._in_flight = 0
        self._inside = 0
        self._rendering = 0
        self._uploading = 0
        #: Warm containers by how many places are taken.
        self._buckets: list[list[Container]] = [[] for _ in range(bounds.places + 1)]
        self._busy = 0
        self._alive = 0
        self._recent: deque[Job] = deque(maxlen=SAMPLE)
        self._settled: deque[Job] = deque()
        self._measured: deque[Job] = deque(maxlen=MEASURED)
        self._gpu_seconds = 0.0
        self._most = 0
        self._changes = 0
        self._born: set[Container] = set()
        for _ in range(settings.min_containers if warm is None else warm):
            self._ready(self._start())

    def run(self, until: float) -> Day:
        """Let the jobs come, and everything end; containers are paid for until ``until``."""
        for job in self._jobs:
            self._at(job.arrived, self._arrive, job)
        if self._dampers is not None:
            self._at(0.0, self._steer)
        while self._events and self._events[0][0] <= until:
            self._now, _, act, given = heapq.heappop(self._events)
            act(*given)
        self._now = until
        for container in self._born:
            self._gpu_seconds += until - container.born
        done = [job for job in self._jobs if job.rendering_at >= 0]
        return Day(
            waits=sorted(job.rendering_at - job.arrived - job.prepare for job in done),
            cold_share=sum(job.cold for job in done) / len(done),
            gpu_hours=self._gpu_seconds / 3600,
            most_containers=self._most,
            changes=self._changes,
            unfinished=len(self._jobs) - len(done),
        )

    def _at(self, when: float, act: Callable[..., None], *given: Any) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, act, given))

    # -- jobs ---------------------------------------------------------------------------------

    def _arrive(self, job: Job) -> None:
        self._queue.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        while self._queue and self._in_flight < self._bounds.slots():
            job = self._queue.popleft()
            job.dispatched = self._now
            self._in_flight += 1
            self._recent.append(job)
            self._settled.append(job)
            container = self._emptiest()
            if container is None:
                self._called.append(job)
            else:
                self._take(container, job)
        self._scale()

    def _emptiest(self) -> Container | None:
        for bucket in self._buckets[:-1]:
            if bucket:
                return bucket[self._random.randrange(len(bucket))]
        return None

    def _take(self, container: Container, job: Job) -> None:
        job.started = self._now
        self._move(container, container.inputs + 1)
        self._at(self._now + job.prepare, self._prepared, container, job)

    def _prepared(self, container: Container, job: Job) -> None:
        container.loaded.append(job)
        self._render(container)

    def _render(self, container: Container) -> None:
        if container.rendering or not container.loaded:
            return
        job = container.loaded.popleft()
        job.rendering_at = self._now
        container.rendering = True
        self._rendering += 1
        self._at(self._now + job.render, self._rendered, container, job)

    def _rendered(self, container: Container, job: Job) -> None:
        container.rendering = False
        self._rendering -= 1
        self._uploading += 1
        self._render(container)
        self._at(self._now + job.upload, self._uploaded, container, job)

    def _uploaded(self, container: Container, job: Job) -> None:
        job.ended = self._now
        self._uploading -= 1
        self._move(container, container.inputs - 1)
        self._in_flight -= 1
        if self._called:
            self._take(container, self._called.popleft())
        self._dispatch()

    # -- containers ---------------------------------------------------------------------------

    def _move(self, container: Container, inputs: int) -> None:
        if container.warm:
            self._take_out(container)
        container.warm = True
        was, container.inputs = container.inputs, inputs
        bucket = self._buckets[inputs]
        container.place = len(bucket)
        bucket.append(container)
        self._inside += inputs - was
        self._busy += (inputs > 0) - (was > 0)
        if inputs == 0:
            self._rest(container)

    def _take_out(self, container: Container) -> None:
        bucket = self._buckets[container.inputs]
        last = bucket.pop()
        if last is not container:
            bucket[container.place], last.place = last, container.place

    def _rest(self, container: Container) -> None:
        container.idle_since = self._now
        window = self._settings.scaledown_window.total_seconds()
        self._at(self._now + window, self._tire, container, self._now)

    def _tire(self, container: Container, since: float) -> None:
        if container not in self._born or container.inputs or container.idle_since != since:
            return
        if self._alive > self._kept():
            self._take_out(container)
            self._born.discard(container)
            self._alive -= 1
            self._gpu_seconds += self._now - container.born
        else:
            self._at(self._now + _AGAIN, self._tire, container, since)

    def _kept(self) -> int:
        active = self._inside + len(self._called) > 0
        beside = self._settings.buffer_containers if active else 0
        needed = self._busy - (-len(self._called) // self._bounds.places) + beside
        return min(max(needed, self._settings.min_containers), self._settings.max_containers)

    def _scale(self) -> None:
        for _ in range(self._kept() - self._alive):
            container = self._start()
            self._at(self._now + self._cold_start(self._random), self._ready, container)

    def _start(self) -> Container:
        container = Container(born=self._now)
        self._born.add(container)
        self._alive += 1
        self._most = max(self._most, self._alive)
        return container

    def _ready(self, container: Container) -> None:
        self._move(container, 0)
        while self._called and container.inputs < self._bounds.places:
            job = self._called.popleft()
            job.cold = True
            self._take(container, job)

    # -- steering -----------------------------------------------------------------------------

    def _steer(self) -> None:
        assert self._dampers is not None
        found: PoolDecision = decide(
            self.observe(),
            self._memory,
            self._bounds,
            EPOCH + timedelta(seconds=self._now),
            self._dampers,
        )
        self._memory = found.memory
        self._changes += found.settings != self._settings
        self._settings = found.settings
        self._scale()
        self._at(self._now + self._dampers.every.total_seconds(), self._steer)

    def observe(self) -> Observed:
        """Return what the statements over the database would see."""
        recent = [job for job in self._recent if job.dispatched > self._now - 600]
        full = len(recent) == SAMPLE

        def rate(seconds: float) -> float:
            count = sum(job.dispatched > self._now - seconds for job in recent)
            span = min(seconds, self._now - recent[0].dispatched) if full else seconds
            return count / span if count and span else 0.0

        while self._settled and self._settled[0].dispatched <= self._now - SETTLED:
            self._measured.append(self._settled.popleft())
        ended = [job for job in self._measured if job.ended >= 0]
        late = sorted(
            job.started - job.dispatched
            for job in self._measured
            if job.started - job.dispatched > 5
        )
        waiting = len(self._queue) + self._in_flight - self._uploading - self._rendering
        oldest = self._queue[0].arrived if self._queue else self._now
        return Observed(
            waiting=waiting,
            oldest_seconds=self._now - oldest,
            rendering=self._rendering,
            arrivals_lately=rate(120),
            arrivals_before=rate(600),
            render_seconds=sum(job.render for job in ended) / len(ended) if ended else None,
            prepare_seconds=sum(job.prepare for job in ended) / len(ended) if ended else None,
            cold_start_seconds=late[len(late) // 2] if late else None,
            slots=self._bounds.slots(),
        )
