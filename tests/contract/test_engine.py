"""The ComfyUI engine against its contract: on the simulator always, on a real ComfyUI if given."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from genjobs.adapters.comfyui import ComfyUIEngine, Patience
from genjobs.adapters.system import SystemClock
from genjobs.simulator import RunningSimulator, running_simulator
from genjobs.testing import ScriptedEngine
from genjobs.testing.contracts import EngineBasicsContract, EngineContract, EngineOutageContract
from tests import environment


@pytest.fixture(scope="module")
async def simulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSimulator]:
    folder = tmp_path_factory.mktemp("comfyui")
    async with running_simulator(folder, step_seconds=0.02) as running:
        yield running


class TestSimulatorByDirectory(EngineContract):
    @pytest.fixture
    async def engine(self, simulator: RunningSimulator) -> AsyncIterator[ComfyUIEngine]:
        directory = Path(simulator.base_directory)
        async with ComfyUIEngine(simulator.url, directory=directory, clock=SystemClock()) as engine:
            yield engine


class TestSimulatorByHttp(EngineContract):
    @pytest.fixture
    async def engine(self, simulator: RunningSimulator) -> AsyncIterator[ComfyUIEngine]:
        async with ComfyUIEngine(simulator.url, clock=SystemClock()) as engine:
            yield engine


class TestScriptedEngine(EngineBasicsContract):
    @pytest.fixture
    def engine(self) -> ScriptedEngine:
        return ScriptedEngine()


class TestScriptedEngineOutage(EngineOutageContract):
    @pytest.fixture
    def unreachable(self) -> ScriptedEngine:
        engine = ScriptedEngine()
        engine.alive = False
        return engine


class TestComfyUIOutage(EngineOutageContract):
    @pytest.fixture
    async def unreachable(self) -> AsyncIterator[ComfyUIEngine]:
        haste = Patience(refused=timedelta(milliseconds=200), silent=timedelta(seconds=2))
        with socket.socket() as taken:  # bound and not listening: every connect is refused
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            async with ComfyUIEngine(url, clock=SystemClock(), patience=haste) as engine:
                yield engine


@pytest.mark.skipif(environment.COMFYUI_URL is None, reason="GENJOBS_TEST_COMFYUI_URL is not set")
class TestRealComfyUIByHttp(EngineContract):
    @pytest.fixture
    async def engine(self) -> AsyncIterator[ComfyUIEngine]:
        async with ComfyUIEngine(str(environment.COMFYUI_URL), clock=SystemClock()) as engine:
            yield engine


@pytest.mark.skipif(
    environment.COMFYUI_URL is None or environment.COMFYUI_DIRECTORY is None,
    reason="GENJOBS_TEST_COMFYUI_URL and GENJOBS_TEST_COMFYUI_DIRECTORY are not set",
)
class TestRealComfyUIByDirectory(EngineContract):
    @pytest.fixture
    async def engine(self) -> AsyncIterator[ComfyUIEngine]:
        directory = Path(str(environment.COMFYUI_DIRECTORY))
        async with ComfyUIEngine(
            str(environment.COMFYUI_URL), directory=directory, clock=SystemClock()
        ) as engine:
            yield engine
