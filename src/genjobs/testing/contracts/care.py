"""The contracts of ``EngineKeeper`` and ``CancelNotices``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from genjobs.domain.attempts import Execution
from genjobs.domain.ids import ExecutionId
from genjobs.domain.ports import CancelNotices, EngineKeeper
from genjobs.testing.contracts.job_store import reach_of
from genjobs.testing.contracts.jobs_backend import JobsBackend
from genjobs.testing.contracts.ledger_steps import NOW, start

PATIENCE = 60.0  # seconds; a process starts slowly on a busy machine


class EngineKeeperContract:
    """Needs the fixture ``keeper`` of an engine that is there, or starts."""

    @pytest.fixture
    def keeper(self) -> EngineKeeper:
        """Return the keeper under test."""
        raise NotImplementedError

    async def test_engine_gets_ready(self, keeper: EngineKeeper) -> None:
        async with asyncio.timeout(PATIENCE):
            await keeper.ready()
            await keeper.ready()

    async def test_killed_engine_is_seen_dead_and_comes_back(self, keeper: EngineKeeper) -> None:
        async with asyncio.timeout(PATIENCE):
            await keeper.ready()
            life = keeper.life
            died_at = await keeper.kill(life)

            assert (died_at is not None) is keeper.owned
            await keeper.ready()
            assert (keeper.life > life) is keeper.owned
            assert not keeper.prepared

    async def test_kill_of_an_earlier_life_leaves_the_present_one(
        self, keeper: EngineKeeper
    ) -> None:
        async with asyncio.timeout(PATIENCE):
            await keeper.ready()
            before = keeper.life
            died_at = await keeper.kill(before)
            await keeper.ready()
            life = keeper.life

            assert await keeper.kill(before) == died_at
            assert keeper.life == life
            await keeper.ready()

    async def test_killed_twice_at_once_it_dies_once(self, keeper: EngineKeeper) -> None:
        async with asyncio.timeout(PATIENCE):
            await keeper.ready()
            life = keeper.life
            first, second = await asyncio.gather(keeper.kill(life), keeper.kill(life))
            await keeper.ready()

        assert first == second
        assert keeper.life - life <= 1


class CancelNoticesContract:
    """Needs the fixtures ``jobs`` and ``notices`` over the same jobs."""

    @pytest.fixture
    def jobs(self) -> JobsBackend:
        """Return the backend whose cancels are told."""
        raise NotImplementedError

    @pytest.fixture
    def notices(self) -> CancelNotices:
        """Return the notices under test."""
        raise NotImplementedError

    async def test_listener_is_told_to_look_as_soon_as_it_listens(
        self, notices: CancelNotices
    ) -> None:
        async with _listening(notices) as heard:
            assert heard == [None]

    async def test_cancel_of_a_running_job_is_heard(
        self, jobs: JobsBackend, notices: CancelNotices
    ) -> None:
        async with _listening(notices) as heard:
            execution = await _running(jobs)
            await jobs.store.request_cancel(reach_of(execution.owner), execution.job_id, now=NOW)
            await _until(lambda: execution.execution_id in heard)

    async def test_nothing_else_is_heard(self, jobs: JobsBackend, notices: CancelNotices) -> None:
        async with _listening(notices) as heard:
            waiting = await jobs.submitted()
            await jobs.store.request_cancel(reach_of(waiting.owner), waiting.id, now=NOW)
            execution = await _running(jobs)
            reach = reach_of(execution.owner)
            for _ in range(3):  # a repeated cancel is no new one
                await jobs.store.request_cancel(reach, execution.job_id, now=NOW)
            await _until(lambda: execution.execution_id in heard)
            await asyncio.sleep(0.1)

        assert heard == [None, execution.execution_id]

    async def test_each_listener_hears(self, jobs: JobsBackend, notices: CancelNotices) -> None:
        async with _listening(notices) as first, _listening(notices) as second:
            execution = await _running(jobs)
            await jobs.store.request_cancel(reach_of(execution.owner), execution.job_id, now=NOW)
            await _until(lambda: execution.execution_id in first)
            await _until(lambda: execution.execution_id in second)


@asynccontextmanager
async def _listening(notices: CancelNotices) -> AsyncIterator[list[ExecutionId | None]]:
    heard: list[ExecutionId | None] = []
    listening = asyncio.create_task(notices.listen(heard.append))
    try:
        await _until(lambda: bool(heard))
        yield heard
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _running(jobs: JobsBackend) -> Execution:
    await jobs.submitted()
    execution, _ = await start(jobs)
    return execution


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)
