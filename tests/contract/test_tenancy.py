"""Keys, plans and limits: the fakes and Postgres against the same contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import (
    PostgresJobLedger,
    PostgresJobStore,
    PostgresKeyDirectory,
    PostgresTenantDirectory,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.plans import DefaultLimits
from genjobs.testing import (
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemoryKeyDirectory,
    MemoryTenantDirectory,
    a_tenant_id,
)
from genjobs.testing.contracts import (
    JobLimitsContract,
    JobsBackend,
    KeyDirectoryContract,
    PlansContract,
    TenancyBackend,
)
from tests.arrangements import MemoryArrangement, PostgresArrangement
from tests.postgres import Database


@pytest.fixture
def memory() -> TenancyBackend:
    data = MemoryJobs(window=8)
    return TenancyBackend(
        jobs=JobsBackend(
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
            tenants=(a_tenant_id(), a_tenant_id()),
        ),
        keys=MemoryKeyDirectory(data),
        directory=MemoryTenantDirectory(data),
        arrange=MemoryArrangement(data),
    )


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[TenancyBackend]:
    tenants = await database.make_two_tenants()
    async with database.open_pools() as (api, worker):
        yield TenancyBackend(
            jobs=JobsBackend(
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
                tenants=tenants,
            ),
            keys=PostgresKeyDirectory(api),
            directory=PostgresTenantDirectory(api, DefaultLimits()),
            arrange=PostgresArrangement(database),
        )


class TestMemoryJobLimits(JobLimitsContract):
    @pytest.fixture
    def backend(self, memory: TenancyBackend) -> TenancyBackend:
        return memory


class TestPostgresJobLimits(JobLimitsContract):
    @pytest.fixture
    def backend(self, postgres: TenancyBackend) -> TenancyBackend:
        return postgres


class TestMemoryKeyDirectory(KeyDirectoryContract):
    @pytest.fixture
    def backend(self, memory: TenancyBackend) -> TenancyBackend:
        return memory


class TestPostgresKeyDirectory(KeyDirectoryContract):
    @pytest.fixture
    def backend(self, postgres: TenancyBackend) -> TenancyBackend:
        return postgres


class TestMemoryPlans(PlansContract):
    @pytest.fixture
    def backend(self, memory: TenancyBackend) -> TenancyBackend:
        return memory


class TestPostgresPlans(PlansContract):
    @pytest.fixture
    def backend(self, postgres: TenancyBackend) -> TenancyBackend:
        return postgres
