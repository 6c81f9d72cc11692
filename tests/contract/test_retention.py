"""What is due for removal, and what is missing: fakes and Postgres against the same contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import (
    PostgresJobLedger,
    PostgresJobStore,
    PostgresReconciliation,
    PostgresRetention,
    PostgresUploadLedger,
    PostgresUploadStore,
    open_pool,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.testing import (
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemoryReconciliation,
    MemoryRetention,
    MemoryUploadLedger,
    MemoryUploadStore,
    a_tenant_id,
)
from genjobs.testing.contracts import (
    RETENTION_RULES,
    ReconciliationBackend,
    ReconciliationContract,
    ReconciliationOutageContract,
    RetentionBackend,
    RetentionContract,
    RetentionOutageContract,
)
from tests.postgres import Database


@pytest.fixture
def memory() -> ReconciliationBackend:
    data = MemoryJobs(window=8)
    return ReconciliationBackend(
        store=MemoryJobStore(data),
        ledger=MemoryJobLedger(data),
        retention=MemoryRetention(data, RETENTION_RULES),
        uploads=MemoryUploadStore(data),
        upload_ledger=MemoryUploadLedger(data),
        reconciliation=MemoryReconciliation(data),
        tenants=(a_tenant_id(), a_tenant_id()),
    )


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[ReconciliationBackend]:
    tenants = await database.make_two_tenants()
    async with database.open_pools() as (api, worker):
        yield ReconciliationBackend(
            store=PostgresJobStore(api),
            ledger=PostgresJobLedger(worker, Deadlines()),
            retention=PostgresRetention(worker, RETENTION_RULES),
            uploads=PostgresUploadStore(api),
            upload_ledger=PostgresUploadLedger(worker),
            reconciliation=PostgresReconciliation(worker),
            tenants=tenants,
        )
        left = await database.execute(
            "SELECT 1 FROM genjobs.workflows w JOIN genjobs.jobs j "
            "ON (j.tenant_id, j.id) = (w.tenant_id, w.job_id) "
            "WHERE j.inputs_purged_at IS NOT NULL"
        )
        assert left == []


class TestMemoryRetention(RetentionContract):
    @pytest.fixture
    def jobs(self, memory: ReconciliationBackend) -> RetentionBackend:
        return memory


class TestPostgresRetention(RetentionContract):
    @pytest.fixture
    def jobs(self, postgres: ReconciliationBackend) -> RetentionBackend:
        return postgres


class TestMemoryReconciliation(ReconciliationContract):
    @pytest.fixture
    def jobs(self, memory: ReconciliationBackend) -> ReconciliationBackend:
        return memory


class TestPostgresReconciliation(ReconciliationContract):
    @pytest.fixture
    def jobs(self, postgres: ReconciliationBackend) -> ReconciliationBackend:
        return postgres


class TestMemoryReconciliationOutage(ReconciliationOutageContract):
    @pytest.fixture
    def unreachable(self) -> MemoryReconciliation:
        data = MemoryJobs()
        data.available = False
        return MemoryReconciliation(data)


class TestPostgresReconciliationOutage(ReconciliationOutageContract):
    @pytest.fixture
    async def unreachable(self, closed_port: int) -> AsyncIterator[PostgresReconciliation]:
        async with open_pool(f"postgresql+asyncpg://x@127.0.0.1:{closed_port}/x") as pool:
            yield PostgresReconciliation(pool)


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
