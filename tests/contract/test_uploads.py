"""Uploads: the fakes and Postgres against one contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from genjobs.adapters.postgres import (
    PostgresIngestLedger,
    PostgresJobLedger,
    PostgresJobStore,
    PostgresTenantDirectory,
    PostgresUploadLedger,
    PostgresUploadStore,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.ingests import IngestRules
from genjobs.domain.job import Job
from genjobs.domain.plans import DefaultLimits
from genjobs.testing import (
    MemoryIngestLedger,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemoryTenantDirectory,
    MemoryUploadLedger,
    MemoryUploadStore,
    a_tenant_id,
)
from genjobs.testing.contracts import JobsBackend, UploadsBackend, UploadsContract
from tests.arrangements import MemoryArrangement, PostgresArrangement
from tests.postgres import Database
from tests.row_checks import ALL_BROKEN


class TestMemoryUploads(UploadsContract):
    @pytest.fixture
    def backend(self) -> UploadsBackend:
        data = MemoryJobs(window=8)

        async def release(job: Job, now: datetime) -> None:
            data.release_uploads(job.id, now)

        return UploadsBackend(
            jobs=JobsBackend(
                store=MemoryJobStore(data),
                ledger=MemoryJobLedger(data),
                tenants=(a_tenant_id(), a_tenant_id()),
            ),
            ingests=MemoryIngestLedger(data),
            uploads=MemoryUploadStore(data),
            ledger=MemoryUploadLedger(data),
            directory=MemoryTenantDirectory(data),
            arrange=MemoryArrangement(data),
            release=release,
        )


class TestPostgresUploads(UploadsContract):
    @pytest.fixture
    async def backend(self, database: Database) -> AsyncIterator[UploadsBackend]:
        tenants = await database.make_two_tenants()
        async with database.open_pools() as (api, worker):

            async def release(job: Job, now: datetime) -> None:
                await worker.rows(
                    "WITH locked AS MATERIALIZED (SELECT genjobs.lock_load($1)) "
                    "SELECT genjobs.release_uploads($1, $2, $3) FROM locked",
                    *(job.owner.tenant_id, job.id, now),
                )

            yield UploadsBackend(
                jobs=JobsBackend(
                    store=PostgresJobStore(api),
                    ledger=PostgresJobLedger(worker, Deadlines()),
                    tenants=tenants,
                ),
                ingests=PostgresIngestLedger(worker, IngestRules()),
                uploads=PostgresUploadStore(api),
                ledger=PostgresUploadLedger(worker),
                directory=PostgresTenantDirectory(api, DefaultLimits()),
                arrange=PostgresArrangement(database),
                release=release,
            )
        assert [row["name"] for row in await database.execute(ALL_BROKEN)] == []
