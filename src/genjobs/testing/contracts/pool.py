"""The contracts of ``PoolControl`` and ``PoolLedger``: settings told, work seen, turns taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.capacity import Held, Observed, PoolMemory, PoolSettings, PoolTurn
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import ExecutionId
from genjobs.domain.lifecycle import Phase
from genjobs.domain.ports import PoolControl, PoolLedger
from genjobs.testing.contracts.ledger_steps import (
    NOW,
    SECOND,
    TIMINGS,
    beat,
    completed,
    failed,
    start,
)
from genjobs.testing.contracts.pool_backend import PoolBackend

_MINUTE = timedelta(minutes=1)
_EVERY = 15 * SECOND
_ONE = PoolSettings(
    min_containers=1, max_containers=9, buffer_containers=0, scaledown_window=_MINUTE
)
_TWO = PoolSettings(
    min_containers=0, max_containers=20, buffer_containers=3, scaledown_window=5 * _MINUTE
)
_MEMORY = PoolMemory(
    min_containers=Held(value=7, lower_since=NOW, highest=4),
    buffer_containers=Held(value=2),
    scaledown_seconds=Held(value=90, lower_since=NOW + SECOND / 8, highest=60),
)


class PoolControlContract:
    """Needs the fixture ``control`` of a pool that is there."""

    @pytest.fixture
    def control(self) -> PoolControl:
        """Return the control under test."""
        raise NotImplementedError

    async def test_pool_has_settings_before_it_is_told_any(self, control: PoolControl) -> None:
        settings = await control.settings()
        assert settings.min_containers <= settings.max_containers

    async def test_pool_scales_by_what_it_was_told_last(self, control: PoolControl) -> None:
        for settings in (_ONE, _TWO, _ONE):
            await control.adjust(settings)
            assert await control.settings() == settings

    async def test_being_told_the_same_again_is_harmless(self, control: PoolControl) -> None:
        for _ in range(2):
            await control.adjust(_TWO)
        assert await control.settings() == _TWO


class PoolOutageContract:
    """Needs the fixture ``unreachable``: a control whose platform does not do what it is asked."""

    @pytest.fixture
    def unreachable(self) -> PoolControl:
        """Return the control under test."""
        raise NotImplementedError

    async def test_pool_says_that_it_is_unavailable(self, unreachable: PoolControl) -> None:
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await unreachable.settings()
            with pytest.raises(Unavailable):
                await unreachable.adjust(_ONE)


class PoolLedgerContract:
    """Needs the fixture ``jobs``: a backend over empty data, with 8 slots."""

    @pytest.fixture
    def jobs(self) -> PoolBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- what is seen -------------------------------------------------------------------------

    async def test_where_nothing_was_nothing_is_seen(self, jobs: PoolBackend) -> None:
        assert await jobs.pool.observe(now=NOW) == Observed(slots=8)

    async def test_what_was_given_out_waits_until_it_renders(self, jobs: PoolBackend) -> None:
        for _ in range(3):
            await jobs.submitted()
        execution, _ = await start(jobs)
        await jobs.ledger.dispatch(now=NOW, limit=1)
        seen = [await self._waiting(jobs)]
        for phase in (Phase.PREPARING, Phase.WAITING, Phase.RENDERING, Phase.UPLOADING):
            await beat(jobs, execution, phase=phase)
            seen.append(await self._waiting(jobs))

        assert seen == [(2, 0), (2, 0), (2, 0), (1, 1), (1, 0)]

    async def test_queue_waits_for_containers_only_when_no_slot_is_free(
        self, jobs: PoolBackend
    ) -> None:
        for n in range(11):
            await jobs.submitted(jobs.owner(f"u_{n}"))
        await jobs.ledger.dispatch(now=NOW, limit=7)
        assert await self._waiting(jobs) == (7, 0)
        await jobs.ledger.dispatch(now=NOW, limit=1)
        assert await self._waiting(jobs) == (11, 0)

        await jobs.supervision.pause(now=NOW)
        assert await self._waiting(jobs) == (8, 0)

    async def test_age_of_the_queue_is_that_of_its_first(self, jobs: PoolBackend) -> None:
        await jobs.submitted(at=NOW)
        await jobs.submitted(at=NOW + 5 * SECOND)
        assert (await jobs.pool.observe(now=NOW + 9 * SECOND)).oldest_seconds == 9.0

    async def test_arrivals_are_what_was_given_out_lately(self, jobs: PoolBackend) -> None:
        for n in range(5):
            await jobs.submitted(jobs.owner(f"u_{n}"))
        await jobs.ledger.dispatch(now=NOW, limit=1)
        await jobs.ledger.dispatch(now=NOW + 9 * _MINUTE, limit=3)
        seen = await jobs.pool.observe(now=NOW + 9.5 * _MINUTE)

        assert seen.arrivals_lately == pytest.approx(3 / 120)
        assert seen.arrivals_before == pytest.approx(4 / 600)
        later = await jobs.pool.observe(now=NOW + 20 * _MINUTE)
        assert (later.arrivals_lately, later.arrivals_before) == (0, 0)

    async def test_what_attempts_took_is_told_by_those_of_some_time_ago(
        self, jobs: PoolBackend
    ) -> None:
        for n in range(3):
            await jobs.submitted(jobs.owner(f"u_{n}"))
        first, _ = await start(jobs)
        second, _ = await start(jobs)
        await jobs.ledger.finish(first, completed(first), now=NOW + SECOND)
        await jobs.ledger.finish(second, failed(), now=NOW + SECOND)
        await start(jobs)  # goes on
        soon = await jobs.pool.observe(now=NOW + 4 * _MINUTE)
        seen = await jobs.pool.observe(now=NOW + 6 * _MINUTE)

        assert (soon.render_seconds, soon.prepare_seconds) == (None, None)
        assert seen.render_seconds == pytest.approx(TIMINGS.gpu_seconds)
        assert seen.prepare_seconds == pytest.approx(TIMINGS.prepare_seconds)

    async def test_cold_start_is_a_wait_that_no_warm_worker_takes(self, jobs: PoolBackend) -> None:
        for n, wait in enumerate((1, 2, 3, 30, 40, 90)):
            await jobs.submitted(jobs.owner(f"u_{n}"))
            [given] = await jobs.ledger.dispatch(now=NOW, limit=1)
            await jobs.ledger.start(given, ExecutionId(uuid4()), now=NOW + wait * SECOND)
        seen = await jobs.pool.observe(now=NOW + 6 * _MINUTE)

        assert seen.cold_start_seconds == pytest.approx(40.0)

    # -- turns --------------------------------------------------------------------------------

    async def test_one_of_many_has_the_turn(self, jobs: PoolBackend) -> None:
        taken = await asyncio.gather(*(jobs.pool.take(now=NOW, every=_EVERY) for _ in range(5)))
        assert sum(turn is not None for turn in taken) == 1

    async def test_next_turn_is_due_in_time(self, jobs: PoolBackend) -> None:
        assert await jobs.pool.take(now=NOW, every=_EVERY)
        assert await jobs.pool.take(now=NOW + 14 * SECOND, every=_EVERY) is None
        assert await jobs.pool.take(now=NOW + 15 * SECOND, every=_EVERY)

    async def test_clock_that_was_ahead_keeps_nobody_from_a_turn(self, jobs: PoolBackend) -> None:
        assert await jobs.pool.take(now=NOW + timedelta(days=1), every=_EVERY)
        assert await jobs.pool.take(now=NOW, every=_EVERY)

    async def test_what_was_kept_is_remembered(self, jobs: PoolBackend) -> None:
        turn = await jobs.pool.take(now=NOW, every=_EVERY)
        assert turn
        assert turn.memory == await jobs.pool.memory() == PoolMemory()
        assert await jobs.pool.keep(turn, _MEMORY)

        later = await jobs.pool.take(now=NOW + _EVERY, every=_EVERY)
        assert later
        assert later.memory == await jobs.pool.memory() == _MEMORY

    async def test_turn_that_was_overtaken_keeps_nothing(self, jobs: PoolBackend) -> None:
        turn = await jobs.pool.take(now=NOW, every=_EVERY)
        assert await jobs.pool.take(now=NOW + _EVERY, every=_EVERY)
        assert turn
        assert not await jobs.pool.keep(turn, _MEMORY)
        assert await jobs.pool.memory() == PoolMemory()

    async def _waiting(self, jobs: PoolBackend) -> tuple[int, int]:
        seen = await jobs.pool.observe(now=NOW)
        return seen.waiting, seen.rendering


class PoolLedgerOutageContract:
    """Needs the fixture ``unreachable``: a ledger whose data nobody can reach."""

    @pytest.fixture
    def unreachable(self) -> PoolLedger:
        """Return the ledger under test."""
        raise NotImplementedError

    @pytest.mark.parametrize("method", ["observe", "memory", "take", "keep"])
    async def test_every_method_says_that_it_is_unavailable(
        self, unreachable: PoolLedger, method: str
    ) -> None:
        turn = PoolTurn(memory=PoolMemory(), until=NOW)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "observe": lambda: unreachable.observe(now=NOW),
            "memory": unreachable.memory,
            "take": lambda: unreachable.take(now=NOW, every=_EVERY),
            "keep": lambda: unreachable.keep(turn, PoolMemory()),
        }
        with pytest.raises(Unavailable):
            await calls[method]()
