"""What supervisors share, and ending workers: fakes and real ones against the same contracts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.local.processes import LocalWorkerControl, own_call_id
from genjobs.adapters.postgres import (
    PostgresIngestLedger,
    PostgresJobLedger,
    PostgresJobStore,
    PostgresSupervision,
    open_pool,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ingests import IngestRules
from genjobs.domain.supervision import Termination
from genjobs.testing import (
    MemoryIngestLedger,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemorySupervision,
    MemoryWorkerControl,
    a_tenant_id,
)
from genjobs.testing.contracts import (
    ControlledWorkers,
    SilentCancelsContract,
    SupervisionBackend,
    SupervisionContract,
    SupervisionOutageContract,
    WorkerControlContract,
)
from tests.postgres import Database


def _in_memory(data: MemoryJobs) -> SupervisionBackend:
    tenants = (a_tenant_id(), a_tenant_id())
    for tenant in tenants:
        data.tenants.rules(tenant)
    return SupervisionBackend(
        store=MemoryJobStore(data),
        ledger=MemoryJobLedger(data),
        ingests=MemoryIngestLedger(data),
        supervision=MemorySupervision(data),
        tenants=tenants,
    )


@pytest.fixture
def memory() -> SupervisionBackend:
    return _in_memory(MemoryJobs(window=8))


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[SupervisionBackend]:
    tenants = await database.make_two_tenants()
    async with database.open_pools() as (api, worker):
        yield SupervisionBackend(
            store=PostgresJobStore(api),
            ledger=PostgresJobLedger(worker, Deadlines()),
            ingests=PostgresIngestLedger(worker, IngestRules()),
            supervision=PostgresSupervision(worker, Deadlines()),
            tenants=tenants,
        )


class TestMemorySupervision(SupervisionContract):
    @pytest.fixture
    def jobs(self, memory: SupervisionBackend) -> SupervisionBackend:
        return memory


class TestPostgresSupervision(SupervisionContract):
    @pytest.fixture
    def jobs(self, postgres: SupervisionBackend) -> SupervisionBackend:
        return postgres


class TestMemorySilentCancels(SilentCancelsContract):
    @pytest.fixture
    def jobs(self, memory: SupervisionBackend) -> SupervisionBackend:
        return memory


class TestPostgresSilentCancels(SilentCancelsContract):
    @pytest.fixture
    def jobs(self, postgres: SupervisionBackend) -> SupervisionBackend:
        return postgres


class TestMemorySupervisionOutage(SupervisionOutageContract):
    @pytest.fixture
    def unreachable(self) -> SupervisionBackend:
        data = MemoryJobs()
        backend = _in_memory(data)
        data.available = False
        return backend


class TestPostgresSupervisionOutage(SupervisionOutageContract):
    @pytest.fixture
    async def unreachable(self, closed_port: int) -> AsyncIterator[SupervisionBackend]:
        async with open_pool(f"postgresql+asyncpg://x@127.0.0.1:{closed_port}/x") as pool:
            yield SupervisionBackend(
                store=PostgresJobStore(pool),
                ledger=PostgresJobLedger(pool, Deadlines()),
                ingests=PostgresIngestLedger(pool, IngestRules()),
                supervision=PostgresSupervision(pool, Deadlines()),
                tenants=(a_tenant_id(), a_tenant_id()),
            )


class TestMemoryWorkerControl(WorkerControlContract):
    @pytest.fixture
    def control(self) -> MemoryWorkerControl:
        control = MemoryWorkerControl()
        control.running |= {"one", "two"}
        return control

    @pytest.fixture
    def workers(self, control: MemoryWorkerControl) -> ControlledWorkers:
        async def runs(call_id: str) -> bool:
            return call_id in control.running

        return ControlledWorkers(running="one", other="two", unreachable=("three",), runs=runs)


_WORKER = """
import sys, time
from genjobs.adapters.local.processes import own_call_id
print(own_call_id(alone=True), flush=True)
time.sleep(600)
"""


class TestLocalWorkerControl(WorkerControlContract):
    @pytest.fixture
    def control(self) -> LocalWorkerControl:
        return LocalWorkerControl()

    @pytest.fixture
    async def workers(self) -> AsyncIterator[ControlledWorkers]:
        processes = {}
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _WORKER), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            call_id = (await process.stdout.readline()).decode().strip()
            processes[call_id] = process
        running, other = processes

        async def runs(call_id: str) -> bool:
            try:
                async with asyncio.timeout(0.2):
                    await processes[call_id].wait()
            except TimeoutError:
                return True
            return False

        elsewhere = running.replace("process:", "process:not-")
        shared = running.replace("process:", "shared:")
        try:
            yield ControlledWorkers(
                running=running,
                other=other,
                unreachable=(elsewhere, shared, own_call_id(alone=True)),
                runs=runs,
            )
        finally:
            for process in processes.values():
                if process.returncode is None:
                    process.kill()
                await process.wait()

    async def test_process_that_got_the_pid_later_is_left_alone(
        self, control: LocalWorkerControl, workers: ControlledWorkers
    ) -> None:
        head, _, pid = workers.running.rpartition(":")
        earlier = f"{head[:-1]}{(int(head[-1]) + 1) % 10}:{pid}"  # another time of start

        assert await control.terminate(earlier) is Termination.GONE
        assert await workers.runs(workers.running)
