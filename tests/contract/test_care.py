"""What keeps the engine's process, and direct word of cancels, against their contracts."""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from genjobs.adapters.comfyui import ComfyUIEngine
from genjobs.adapters.postgres import (
    PostgresCancelNotices,
    PostgresJobLedger,
    PostgresJobStore,
)
from genjobs.adapters.system import SystemClock
from genjobs.bootstrap.comfyui import comfyui_place
from genjobs.domain.deadlines import Deadlines
from genjobs.gpu.comfy_process import ComfyProcess
from genjobs.gpu.keeping import ForeignEngine
from genjobs.gpu.prepared import prepare
from genjobs.settings import Settings
from genjobs.simulator import running_simulator
from genjobs.testing import (
    MemoryCancelNotices,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    ScriptedEngine,
    ScriptedKeeper,
    a_tenant_id,
)
from genjobs.testing.contracts import CancelNoticesContract, EngineKeeperContract, JobsBackend
from tests.integration.comfy_stand_in import SIMULATOR, make
from tests.postgres import Database


class TestComfyProcess(EngineKeeperContract):
    @pytest.fixture
    async def keeper(self, tmp_path: Path) -> AsyncIterator[ComfyProcess]:
        place = comfyui_place(Settings(data_directory=tmp_path))
        clock = SystemClock()
        assert place.command is not None
        async with (
            ComfyUIEngine(place.url, clock=clock) as engine,
            ComfyProcess(
                place.command, check=engine.check, clock=clock, environment={"PATH": sys.path[0]}
            ) as process,
        ):
            yield process


class TestPreparedComfyProcess(EngineKeeperContract):
    @pytest.fixture
    async def keeper(self, tmp_path: Path) -> AsyncIterator[ComfyProcess]:
        folder = make(tmp_path / "comfyui", **{"main.py": SIMULATOR})
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        command = (sys.executable, "main.py", str(port), str(tmp_path / "base"))
        prepared = prepare(
            command, environment={}, limit=timedelta(seconds=60), modules=(), directory=folder
        )
        assert prepared is not None
        clock = SystemClock()
        async with (
            ComfyUIEngine(f"http://127.0.0.1:{port}", clock=clock) as engine,
            ComfyProcess(
                command,
                check=engine.check,
                clock=clock,
                environment={},
                directory=folder,
                prepared=prepared,
            ) as process,
        ):
            await process.ready()
            assert process.prepared
            yield process


class TestForeignEngine(EngineKeeperContract):
    @pytest.fixture
    async def keeper(self, tmp_path: Path) -> AsyncIterator[ForeignEngine]:
        async with (
            running_simulator(tmp_path) as simulator,
            ComfyUIEngine(simulator.url, clock=SystemClock()) as engine,
        ):
            yield ForeignEngine(engine.check)


class TestScriptedKeeper(EngineKeeperContract):
    @pytest.fixture
    def keeper(self) -> ScriptedKeeper:
        return ScriptedKeeper(ScriptedEngine(), SystemClock())


class TestMemoryCancelNotices(CancelNoticesContract):
    @pytest.fixture
    def data(self) -> MemoryJobs:
        return MemoryJobs(window=8)

    @pytest.fixture
    def jobs(self, data: MemoryJobs) -> JobsBackend:
        return JobsBackend(
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
            tenants=(a_tenant_id(), a_tenant_id()),
        )

    @pytest.fixture
    def notices(self, data: MemoryJobs) -> MemoryCancelNotices:
        return MemoryCancelNotices(data)


class TestPostgresCancelNotices(CancelNoticesContract):
    @pytest.fixture
    async def jobs(self, database: Database) -> AsyncIterator[JobsBackend]:
        tenants = await database.make_two_tenants()
        async with database.open_pools() as (api, worker):
            yield JobsBackend(
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
                tenants=tenants,
            )

    @pytest.fixture
    def notices(self, database: Database) -> PostgresCancelNotices:
        return PostgresCancelNotices(database.worker)
