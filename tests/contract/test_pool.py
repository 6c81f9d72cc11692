"""The pool of workers: what it is told, what is known of its work."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import (
    PostgresJobLedger,
    PostgresJobStore,
    PostgresPoolLedger,
    PostgresSupervision,
    open_pool,
)
from genjobs.domain.capacity import PoolMemory
from genjobs.domain.deadlines import Deadlines
from genjobs.testing import (
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemoryPoolControl,
    MemoryPoolLedger,
    MemorySupervision,
    a_tenant_id,
)
from genjobs.testing.contracts import (
    PoolBackend,
    PoolControlContract,
    PoolLedgerContract,
    PoolLedgerOutageContract,
    PoolOutageContract,
)
from tests.postgres import Database


class TestMemoryPoolControl(PoolControlContract):
    @pytest.fixture
    def control(self) -> MemoryPoolControl:
        return MemoryPoolControl()


class TestMemoryPoolOutage(PoolOutageContract):
    @pytest.fixture
    def unreachable(self) -> MemoryPoolControl:
        control = MemoryPoolControl()
        control.available = False
        return control


class TestMemoryPoolLedger(PoolLedgerContract):
    @pytest.fixture
    def jobs(self) -> PoolBackend:
        data = MemoryJobs(window=8)
        return PoolBackend(
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
            pool=MemoryPoolLedger(data),
            supervision=MemorySupervision(data),
            tenants=(a_tenant_id(), a_tenant_id()),
        )


class TestPostgresPoolLedger(PoolLedgerContract):
    @pytest.fixture
    async def jobs(self, database: Database) -> AsyncIterator[PoolBackend]:
        tenants = await database.make_two_tenants()
        async with database.open_pools() as (api, worker):
            yield PoolBackend(
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
                pool=PostgresPoolLedger(worker),
                supervision=PostgresSupervision(worker, Deadlines()),
                tenants=tenants,
            )


async def test_what_another_version_remembered_is_forgotten(database: Database) -> None:
    for other in ('{"min_containers": 7}', '{"min_containers": [7, "noon", 1], "x": null}', "{}"):
        await database.execute("UPDATE genjobs.supervision SET pool = $1::jsonb", other)
        async with open_pool(database.worker) as worker:
            assert await PostgresPoolLedger(worker).memory() == PoolMemory()


class TestMemoryPoolLedgerOutage(PoolLedgerOutageContract):
    @pytest.fixture
    def unreachable(self) -> MemoryPoolLedger:
        data = MemoryJobs()
        data.available = False
        return MemoryPoolLedger(data)


class TestPostgresPoolLedgerOutage(PoolLedgerOutageContract):
    @pytest.fixture
    async def unreachable(self, closed_port: int) -> AsyncIterator[PostgresPoolLedger]:
        async with open_pool(f"postgresql+asyncpg://x@127.0.0.1:{closed_port}/x") as pool:
            yield PostgresPoolLedger(pool)
