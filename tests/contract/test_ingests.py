"""Ingest ledger: the fake and Postgres against the same contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import (
    PostgresIngestLedger,
    PostgresJobLedger,
    PostgresJobStore,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.testing import (
    MemoryIngestLedger,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    a_tenant_id,
)
from genjobs.testing.contracts import INGEST_RULES, IngestBackend, IngestLedgerContract
from tests.postgres import Database


class TestMemoryIngestLedger(IngestLedgerContract):
    @pytest.fixture
    def backend(self) -> IngestBackend:
        data = MemoryJobs()
        return IngestBackend(
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
            ingests=MemoryIngestLedger(data, INGEST_RULES),
            tenants=(a_tenant_id(), a_tenant_id()),
        )


class TestPostgresIngestLedger(IngestLedgerContract):
    @pytest.fixture
    async def backend(self, database: Database) -> AsyncIterator[IngestBackend]:
        tenants = await database.make_two_tenants()
        async with database.open_pools() as (api, worker):
            yield IngestBackend(
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
                ingests=PostgresIngestLedger(worker, INGEST_RULES),
                tenants=tenants,
            )
