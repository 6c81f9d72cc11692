"""Job store and ledger: the fake and Postgres against the same contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import PostgresJobLedger, PostgresJobStore, open_pool
from genjobs.domain.deadlines import Deadlines
from genjobs.testing import MemoryJobLedger, MemoryJobs, MemoryJobStore, a_tenant_id
from genjobs.testing.contracts import (
    JobFencingContract,
    JobLedgerContract,
    JobOutageContract,
    JobRacesContract,
    JobsBackend,
    JobStoreContract,
)
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
    tenants = await database.make_two_tenants()
    async with database.open_pools() as (api, worker):
        yield JobsBackend(
            store=PostgresJobStore(api),
            ledger=PostgresJobLedger(worker, Deadlines()),
            tenants=tenants,
        )


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


class TestMemoryJobFencing(JobFencingContract):
    @pytest.fixture
    def jobs(self, memory: JobsBackend) -> JobsBackend:
        return memory


class TestPostgresJobFencing(JobFencingContract):
    @pytest.fixture
    def jobs(self, postgres: JobsBackend) -> JobsBackend:
        return postgres


class TestMemoryJobRaces(JobRacesContract):
    @pytest.fixture
    def jobs(self, memory: JobsBackend) -> JobsBackend:
        return memory


class TestPostgresJobRaces(JobRacesContract):
    @pytest.fixture
    def jobs(self, postgres: JobsBackend) -> JobsBackend:
        return postgres


class TestMemoryJobOutage(JobOutageContract):
    @pytest.fixture
    def unreachable(self) -> JobsBackend:
        data = MemoryJobs()
        data.available = False
        return JobsBackend(
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
            tenants=(a_tenant_id(), a_tenant_id()),
        )


class TestPostgresJobOutage(JobOutageContract):
    @pytest.fixture
    async def unreachable(self, closed_port: int) -> AsyncIterator[JobsBackend]:
        url = f"postgresql+asyncpg://nobody@127.0.0.1:{closed_port}/nothing"
        async with open_pool(url) as pool:
            yield JobsBackend(
                store=PostgresJobStore(pool),
                ledger=PostgresJobLedger(pool, Deadlines()),
                tenants=(a_tenant_id(), a_tenant_id()),
            )
