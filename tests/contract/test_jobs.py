"""Job store and ledger: the fake and Postgres against the same contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import PostgresJobLedger, PostgresJobStore, administration, open_pool
from genjobs.domain.deadlines import Deadlines
from genjobs.testing import MemoryJobLedger, MemoryJobs, MemoryJobStore, a_tenant_id
from genjobs.testing.contracts import JobLedgerContract, JobsBackend, JobStoreContract
from tests.postgres import Database


@pytest.fixture
def memory() -> JobsBackend:
    data = MemoryJobs(window=8)
    return JobsBackend(
        store=MemoryJobStore(data),
        ledger=MemoryJobLedger(data),
        tenants=(a_tenant_id(), a_tenant_id()),
    )


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[JobsBackend]:
    tenants = (a_tenant_id(), a_tenant_id())
    for tenant in tenants:
        await administration.ensure_tenant(database.owner, tenant, "test")
    async with open_pool(database.api) as api, open_pool(database.worker) as worker:
        yield JobsBackend(
            store=PostgresJobStore(api),
            ledger=PostgresJobLedger(worker, Deadlines()),
            tenants=tenants,
        )
        assert api.in_use() == worker.in_use() == 0


class TestMemoryJobStore(JobStoreContract):
    @pytest.fixture
    def jobs(self, memory: JobsBackend) -> JobsBackend:
        return memory


class TestMemoryJobLedger(JobLedgerContract):
    @pytest.fixture
    def jobs(self, memory: JobsBackend) -> JobsBackend:
        return memory


class TestPostgresJobStore(JobStoreContract):
    @pytest.fixture
    def jobs(self, postgres: JobsBackend) -> JobsBackend:
        return postgres


class TestPostgresJobLedger(JobLedgerContract):
    @pytest.fixture
    def jobs(self, postgres: JobsBackend) -> JobsBackend:
        return postgres
