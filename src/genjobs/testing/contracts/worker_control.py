"""The contract of ``WorkerControl``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from genjobs.domain.ports import WorkerControl
from genjobs.domain.supervision import Termination


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlledWorkers:
    """Workers under test, by their call ids."""

    #: One that runs and may be ended, and another one.
    running: str
    other: str
    #: Names that this control cannot reach.
    unreachable: tuple[str, ...]
    runs: Callable[[str], Awaitable[bool]]


class WorkerControlContract:
    """Needs the fixtures ``control`` and ``workers``."""

    @pytest.fixture
    def workers(self) -> ControlledWorkers:
        """Return the workers under test."""
        raise NotImplementedError

    @pytest.fixture
    def control(self) -> WorkerControl:
        """Return the control under test."""
        raise NotImplementedError

    async def test_worker_is_seen_to_end_and_nobody_else_does(
        self, control: WorkerControl, workers: ControlledWorkers
    ) -> None:
        assert await workers.runs(workers.running)
        seen = await control.terminate(workers.running)

        assert seen is Termination.TERMINATED
        assert not await workers.runs(workers.running)
        assert await workers.runs(workers.other)

    async def test_worker_that_has_ended_is_gone(
        self, control: WorkerControl, workers: ControlledWorkers
    ) -> None:
        await control.terminate(workers.running)
        again = await control.terminate(workers.running)
        assert again is Termination.GONE

    async def test_worker_out_of_reach_is_unknown(
        self, control: WorkerControl, workers: ControlledWorkers
    ) -> None:
        for call_id in ("", "nonsense", *workers.unreachable):
            seen = await control.terminate(call_id)
            assert seen is Termination.UNKNOWN
        assert await workers.runs(workers.running)
