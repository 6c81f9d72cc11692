"""The administrators' side: the fakes and Postgres against the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import (
    PostgresJobLedger,
    PostgresJobStore,
    PostgresKeyDirectory,
    PostgresTenantDirectory,
)
from genjobs.adapters.postgres.credentials import PostgresCredentials
from genjobs.adapters.postgres.tenancy import PostgresTenancy
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.plans import DefaultLimits
from genjobs.testing import (
    MemoryCredentialAdministration,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemoryKeyDirectory,
    MemoryTenantAdministration,
    MemoryTenantDirectory,
)
from genjobs.testing.contracts import AdministrationBackend, AdministrationContract
from tests.postgres import Database


class TestMemoryAdministration(AdministrationContract):
    @pytest.fixture
    def backend(self) -> AdministrationBackend:
        data = MemoryJobs(window=8)
        return AdministrationBackend(
            tenants=MemoryTenantAdministration(data),
            credentials=MemoryCredentialAdministration(data),
            keys=MemoryKeyDirectory(data),
            directory=MemoryTenantDirectory(data),
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
        )


class TestPostgresAdministration(AdministrationContract):
    @pytest.fixture
    async def backend(self, database: Database) -> AsyncIterator[AdministrationBackend]:
        async with database.open_pools() as (api, worker):
            yield AdministrationBackend(
                tenants=PostgresTenancy(database.owner, DefaultLimits()),
                credentials=PostgresCredentials(database.owner),
                keys=PostgresKeyDirectory(api),
                directory=PostgresTenantDirectory(api, DefaultLimits()),
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
            )
