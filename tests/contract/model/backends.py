"""The fake and Postgres as the state machine sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar

import asyncpg

from genjobs.adapters.postgres import (
    PostgresCallLedger,
    PostgresIngestLedger,
    PostgresJobLedger,
    PostgresJobStore,
    PostgresRetention,
    PostgresTenantDirectory,
    open_pool,
)
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.ports import (
    CallLedger,
    IngestLedger,
    JobLedger,
    JobStore,
    RetentionLedger,
    TenantDirectory,
)
from genjobs.domain.retention import RetentionRules
from genjobs.testing import (
    MemoryCallLedger,
    MemoryIngestLedger,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    MemoryRetention,
)
from genjobs.testing.memory_access import MemoryTenantDirectory
from tests.contract.model.base import Facts
from tests.contract.model.plain_jobs import DEADLINES, INGEST, WINDOW
from tests.contract.model.plain_limits import DEFAULTS, FIRST_TENANT, PLANS
from tests.postgres import Database
from tests.row_checks import ALL_BROKEN

_T = TypeVar("_T")

_FACTS = """
SELECT j.id, j.status, j.eligible, j.attempt, j.charged, s.slot_no IS NOT NULL AS held,
    s.execution_id, j.cancel_requested_at IS NOT NULL AS cancelled, j.cancel_method,
    j.error ->> 'code' AS code, j.finished_at, j.queue_deadline
FROM genjobs.jobs j LEFT JOIN genjobs.slots s ON (s.tenant_id, s.job_id) = (j.tenant_id, j.id)
"""
_TENANT = """
WITH named AS (
    INSERT INTO genjobs.tenants (id, name, created_at, limits)
    VALUES ($1::uuid, $1::uuid::text, now(), $2)
)
INSERT INTO genjobs.tenant_load (tenant_id, weight, max_in_flight, served)
VALUES ($1, $3, $4, genjobs.first_turn())
"""
#: A few rows are deleted faster than tables are truncated. What else there is goes with the jobs.
_FORGET = (
    "DELETE FROM genjobs.slots",
    "DELETE FROM genjobs.jobs",
    *(
        f"DELETE FROM genjobs.{name}"
        for name in ("idempotency", "ingest_turns", "plans", "user_load", "tenant_load", "tenants")
    ),
    f"INSERT INTO genjobs.slots (slot_no) SELECT generate_series(1, {WINDOW})",
)


class MemoryBackend:
    """A new set of fakes for each example."""

    forgets_users = False
    store: JobStore
    ledger: JobLedger
    calls: CallLedger
    ingests: IngestLedger
    retention: RetentionLedger
    directory: TenantDirectory

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)

    async def begin(self, tenants: tuple[TenantId, TenantId]) -> None:
        self._jobs = MemoryJobs(window=WINDOW, deadlines=DEADLINES, limits=DEFAULTS)
        self._jobs.tenants.set_limits(tenants[0], **FIRST_TENANT)
        for tenant in tenants:
            for name, changes in PLANS.items():
                self._jobs.tenants.set_plan(tenant, name, **changes)
        self.store = MemoryJobStore(self._jobs)
        self.ledger = MemoryJobLedger(self._jobs)
        self.calls = MemoryCallLedger(self._jobs)
        self.ingests = MemoryIngestLedger(self._jobs, INGEST)
        self.retention = MemoryRetention(self._jobs)
        self.directory = MemoryTenantDirectory(self._jobs)

    async def facts(self) -> tuple[dict[JobId, Facts], list[str]]:
        found: dict[JobId, Facts] = {}
        for job_id, row in self._jobs.rows.items():
            job, receipt, error = row.job, row.job.cancellation, row.job.error
            found[job_id] = (
                *(job.status.value, job.eligible, job.attempt, row.charged),
                *(row.slot is not None, row.slot and row.slot.execution_id),
                receipt is not None,
                receipt.method.value if receipt and receipt.method else None,
                error.code if error else None,
                *(job.finished_at, job.queue_deadline),
            )
        return found, []


class PostgresBackend:
    """One database and its pools; what an example leaves is deleted by the next."""

    forgets_users = True

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        self._runner = runner
        self._database = database
        self._stack = AsyncExitStack()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)

    async def open(self) -> None:
        api = await self._stack.enter_async_context(open_pool(self._database.api, size=1))
        worker = await self._stack.enter_async_context(open_pool(self._database.worker, size=1))
        self._admin = await asyncpg.connect(**connect_arguments(self._database.admin))
        self._stack.push_async_callback(self._admin.close)
        self.store: JobStore = PostgresJobStore(api, DEFAULTS)
        self.ledger: JobLedger = PostgresJobLedger(worker, DEADLINES)
        self.calls: CallLedger = PostgresCallLedger(worker)
        self.ingests: IngestLedger = PostgresIngestLedger(worker, INGEST)
        self.retention: RetentionLedger = PostgresRetention(worker, RetentionRules())
        self.directory: TenantDirectory = PostgresTenantDirectory(api, DEFAULTS)

    async def close(self) -> None:
        await self._stack.aclose()

    async def begin(self, tenants: tuple[TenantId, TenantId]) -> None:
        await self._admin.execute("; ".join(_FORGET))
        for tenant in tenants:
            changes = FIRST_TENANT if tenant == tenants[0] else {}
            limits = DEFAULTS.tenant.changed_by(changes)
            await self._admin.execute(
                _TENANT, tenant, json.dumps(changes), limits.weight, limits.max_in_flight
            )
            await self._admin.executemany(
                "INSERT INTO genjobs.plans (tenant_id, name, limits) VALUES ($1, $2, $3)",
                [(tenant, name, json.dumps(limits)) for name, limits in PLANS.items()],
            )

    async def facts(self) -> tuple[dict[JobId, Facts], list[str]]:
        found = {JobId(row["id"]): tuple(row)[1:] for row in await self._admin.fetch(_FACTS)}
        broken = [row["name"] for row in await self._admin.fetch(ALL_BROKEN)]
        return found, broken


@contextmanager
def memory_backend() -> Iterator[MemoryBackend]:
    """Hold the fakes."""
    with asyncio.Runner() as runner:
        yield MemoryBackend(runner)


@contextmanager
def postgres_backend(database: Database) -> Iterator[PostgresBackend]:
    """Hold the real ports over a database, on an event loop of their own."""
    with asyncio.Runner() as runner:
        backend = PostgresBackend(runner, database)
        runner.run(backend.open())
        try:
            yield backend
        finally:
            runner.run(backend.close())
