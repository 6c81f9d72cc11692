"""What is due for removal: the fake and Postgres against the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import (
    PostgresJobLedger,
    PostgresJobStore,
    PostgresRetention,
    open_pool,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.testing import (
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemoryRetention,
    a_tenant_id,
)
from genjobs.testing.contracts import (
    RETENTION_RULES,
    RetentionBackend,
    RetentionContract,
    RetentionOutageContract,
)
from tests.postgres import Database


class TestMemoryRetention(RetentionContract):
    @pytest.fixture
    def jobs(self) -> RetentionBackend:
        data = MemoryJobs(window=8)
        return RetentionBackend(
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
            retention=MemoryRetention(data, RETENTION_RULES),
            tenants=(a_tenant_id(), a_tenant_id()),
        )


class TestPostgresRetention(RetentionContract):
    @pytest.fixture
    async def jobs(self, database: Database) -> AsyncIterator[RetentionBackend]:
        tenants = (a_tenant_id(), a_tenant_id())
        for tenant in tenants:
            await database.make_tenant(tenant)
        async with open_pool(database.api) as api, open_pool(database.worker) as worker:
            yield RetentionBackend(
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
                retention=PostgresRetention(worker, RETENTION_RULES),
                tenants=tenants,
            )
            assert api.in_use() == worker.in_use() == 0
            left = await database.execute(
                "SELECT 1 FROM genjobs.workflows w JOIN genjobs.jobs j "
                "ON (j.tenant_id, j.id) = (w.tenant_id, w.job_id) "
                "WHERE j.inputs_purged_at IS NOT NULL"
            )
            assert left == []


class TestMemoryRetentionOutage(RetentionOutageContract):
    @pytest.fixture
    def unreachable(self) -> MemoryRetention:
        data = MemoryJobs()
        data.available = False
        return MemoryRetention(data)


class TestPostgresRetentionOutage(RetentionOutageContract):
    @pytest.fixture
    async def unreachable(self, closed_port: int) -> AsyncIterator[PostgresRetention]:
        async with open_pool(f"postgresql+asyncpg://x@127.0.0.1:{closed_port}/x") as pool:
            yield PostgresRetention(pool, RETENTION_RULES)
