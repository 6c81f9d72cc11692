"""The pool follows the work, by one supervisor at a time, and nobody suffers when it cannot."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from genjobs.application.adjust_pool import AdjustPool, PreviewPool
from genjobs.application.submission import Submission
from genjobs.domain.capacity import Dampers, PoolBounds, PoolSettings
from genjobs.domain.errors import Unavailable
from genjobs.testing import FakeClock, Harness, MemoryJobs, MemoryPoolControl, MemoryPoolLedger
from genjobs.testing import a_workflow as a_graph

EVERY = Dampers().every


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """A pool without work."""

    clock: FakeClock
    control: MemoryPoolControl
    ledger: MemoryPoolLedger
    bounds: PoolBounds

    def adjuster(self, control: MemoryPoolControl | None = None) -> AdjustPool:
        return AdjustPool(
            ledger=self.ledger,
            control=control or self.control,
            clock=self.clock,
            bounds=self.bounds,
            patience=timedelta(seconds=0.05),
        )


@pytest.fixture
def site() -> Site:
    return Site(
        clock=FakeClock(),
        control=MemoryPoolControl(),
        ledger=MemoryPoolLedger(MemoryJobs()),
        bounds=PoolBounds(min_containers=2, max_containers=9),
    )


async def test_pool_is_told_the_floor_and_then_nothing_while_it_stays_so(site: Site) -> None:
    for _ in range(3):
        assert await site.adjuster()()
        site.clock.advance(EVERY)

    [told] = site.control.told
    assert (told.min_containers, told.max_containers) == (2, 9)


async def test_supervisors_at_once_look_once(site: Site) -> None:
    decided = await asyncio.gather(*(site.adjuster()() for _ in range(5)))
    assert sum(decision is not None for decision in decided) == 1
    site.clock.advance(EVERY / 2)
    assert await site.adjuster()() is None


async def test_redeployed_pool_is_told_again(site: Site) -> None:
    await site.adjuster()()
    site.control.current = PoolBounds(max_containers=50).floor()
    site.clock.advance(EVERY)
    await site.adjuster()()

    assert site.control.current == site.control.told[-1]
    assert len(site.control.told) == 2


async def test_platform_that_is_away_is_told_when_it_is_back(site: Site) -> None:
    site.control.available = False
    with capture_logs() as logs:
        assert await site.adjuster()()
    assert [line["event"] for line in logs] == ["pool.unavailable"]

    site.control.available = True
    site.clock.advance(EVERY)
    await site.adjuster()()
    assert site.control.current.min_containers == 2


class Deaf(MemoryPoolControl):
    async def settings(self) -> PoolSettings:
        await asyncio.sleep(60)
        raise AssertionError


class Broken(MemoryPoolControl):
    async def adjust(self, settings: PoolSettings) -> None:
        raise RuntimeError("a vendor's defect")


@pytest.mark.parametrize(
    ("control", "event"), [(Deaf(), "pool.unavailable"), (Broken(), "pool.crashed")]
)
async def test_platform_that_fails_otherwise_fails_nothing_else(
    site: Site, control: MemoryPoolControl, event: str
) -> None:
    with capture_logs() as logs:
        async with asyncio.timeout(5):
            assert await site.adjuster(control)()
    assert [line["event"] for line in logs] == [event]


async def test_turn_that_took_too_long_tells_the_pool_nothing(site: Site) -> None:
    class Late(MemoryPoolLedger):
        async def observe(self, *, now):  # type: ignore[no-untyped-def]
            seen = await super().observe(now=now)
            assert await self.take(now=now + EVERY, every=EVERY)
            return seen

    jobs = MemoryJobs()
    late = dataclasses.replace(site, ledger=Late(jobs))
    assert await late.adjuster()() is None
    assert site.control.told == []


async def test_preview_tells_and_changes_nothing(site: Site) -> None:
    preview = PreviewPool(
        ledger=site.ledger, control=site.control, clock=site.clock, bounds=site.bounds
    )
    first, second = await preview(), await preview()

    assert first == second
    assert first.decision.settings.min_containers == 2
    assert first.current == PoolBounds().floor()
    assert site.control.told == []
    assert await site.adjuster()()  # its turn was not used up


@pytest.mark.parametrize("control", [None, Deaf()])
async def test_preview_does_without_the_pool(site: Site, control: MemoryPoolControl) -> None:
    preview = PreviewPool(
        ledger=site.ledger,
        control=control,
        clock=site.clock,
        bounds=site.bounds,
        patience=timedelta(seconds=0.05),
    )
    view = await preview()
    assert view.current is None
    assert view.decision.settings.min_containers == 2


async def test_supervisor_adjusts_the_pool_to_the_work(harness: Harness) -> None:
    quiet = await harness.supervisor.tick()
    assert (quiet.warm_containers, harness.pool.current.min_containers) == (0, 0)
    for n in range(30):
        owner = harness.genjobs.owner(f"u_{n}")
        await harness.genjobs.submit(owner, Submission(workflow=a_graph()))
    await harness.ledger.dispatch(now=harness.clock.now(), limit=30)
    soon = await harness.supervisor.tick()
    harness.clock.advance(EVERY)
    busy = await harness.supervisor.tick()

    assert soon.warm_containers is None  # it is not due
    assert busy.warm_containers == harness.pool.current.min_containers == 14


async def test_tick_goes_on_when_the_pool_is_away(harness: Harness) -> None:
    harness.pool.available = False
    tick = await harness.supervisor.tick()
    assert (tick.warm_containers, tick.expired) == (0, 0)
    assert harness.pool.told == []


async def test_database_that_is_away_is_told(harness: Harness) -> None:
    adjust = harness.supervisor.adjust
    assert adjust
    harness.jobs.available = False
    with pytest.raises(Unavailable):
        await adjust()
