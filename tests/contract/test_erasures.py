"""Erasures: the fakes and Postgres against the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import (
    PostgresErasureLedger,
    PostgresErasures,
    PostgresIngestLedger,
    PostgresJobLedger,
    PostgresJobStore,
    PostgresSupervision,
    PostgresTenantDirectory,
    PostgresUploadLedger,
    PostgresUploadStore,
    open_pool,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ingests import IngestRules
from genjobs.domain.plans import DefaultLimits
from genjobs.testing import (
    MemoryErasureLedger,
    MemoryErasures,
    MemoryIngestLedger,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemorySupervision,
    MemoryTenantDirectory,
    MemoryUploadLedger,
    MemoryUploadStore,
    a_tenant_id,
)
from genjobs.testing.clock import BEGINNING as NOW
from genjobs.testing.contracts import (
    RETENTION_RULES,
    ErasureBackend,
    ErasureContract,
    ErasureOutageContract,
)
from tests.postgres import Database
from tests.row_checks import ALL_BROKEN


class TestMemoryErasures(ErasureContract):
    @pytest.fixture
    def jobs(self) -> ErasureBackend:
        data = MemoryJobs(window=8)
        tenants = (a_tenant_id(), a_tenant_id())
        for tenant in tenants:
            data.tenants.rules(tenant)
        return ErasureBackend(
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
            ingests=MemoryIngestLedger(data),
            supervision=MemorySupervision(data),
            erasures=MemoryErasures(data),
            erasing=MemoryErasureLedger(data, RETENTION_RULES),
            uploads=MemoryUploadStore(data),
            upload_ledger=MemoryUploadLedger(data),
            directory=MemoryTenantDirectory(data),
            tenants=tenants,
        )


class TestPostgresErasures(ErasureContract):
    @pytest.fixture
    async def jobs(self, database: Database) -> AsyncIterator[ErasureBackend]:
        tenants = await database.make_two_tenants()
        async with database.open_pools() as (api, worker):
            yield ErasureBackend(
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
                ingests=PostgresIngestLedger(worker, IngestRules()),
                supervision=PostgresSupervision(worker, Deadlines()),
                erasures=PostgresErasures(api),
                erasing=PostgresErasureLedger(worker, RETENTION_RULES),
                uploads=PostgresUploadStore(api),
                upload_ledger=PostgresUploadLedger(worker),
                directory=PostgresTenantDirectory(api, DefaultLimits()),
                tenants=tenants,
            )
            assert await database.execute(ALL_BROKEN) == []

    async def test_tenant_that_is_not_there_has_no_users(self, jobs: ErasureBackend) -> None:
        stranger = jobs.owner()
        stranger = type(stranger)(tenant_id=a_tenant_id(), user_id="u_1")
        erasure_id = (await jobs.begun()).id
        assert await jobs.erasures.begin_user(stranger, erasure_id, now=NOW) is None


class TestMemoryErasureOutage(ErasureOutageContract):
    @pytest.fixture
    def data(self) -> MemoryJobs:
        data = MemoryJobs()
        data.available = False
        return data

    @pytest.fixture
    def store(self, data: MemoryJobs) -> MemoryErasures:
        return MemoryErasures(data)

    @pytest.fixture
    def ledger(self, data: MemoryJobs) -> MemoryErasureLedger:
        return MemoryErasureLedger(data)


class TestPostgresErasureOutage(ErasureOutageContract):
    @pytest.fixture
    async def store(self, closed_port: int) -> AsyncIterator[PostgresErasures]:
        async with open_pool(f"postgresql+asyncpg://x@127.0.0.1:{closed_port}/x") as pool:
            yield PostgresErasures(pool)

    @pytest.fixture
    async def ledger(self, closed_port: int) -> AsyncIterator[PostgresErasureLedger]:
        async with open_pool(f"postgresql+asyncpg://x@127.0.0.1:{closed_port}/x") as pool:
            yield PostgresErasureLedger(pool, RETENTION_RULES)
