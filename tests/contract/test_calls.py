"""What is kept of calls, and who makes them: fakes and real ones against the same contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from genjobs.adapters.postgres import (
    PostgresCallLedger,
    PostgresJobLedger,
    PostgresJobStore,
)
from genjobs.domain.attempts import Assignment
from genjobs.domain.deadlines import Deadlines
from genjobs.testing import (
    MemoryCaller,
    MemoryCallLedger,
    MemoryJobLedger,
    MemoryJobs,
    MemoryJobStore,
    a_tenant_id,
)
from genjobs.testing.contracts import CallerContract, CallLedgerContract, CallsBackend, Platform
from tests.postgres import Database


class TestMemoryCallLedger(CallLedgerContract):
    @pytest.fixture
    def jobs(self) -> CallsBackend:
        data = MemoryJobs(window=8)
        return CallsBackend(
            store=MemoryJobStore(data),
            ledger=MemoryJobLedger(data),
            calls=MemoryCallLedger(data),
            tenants=(a_tenant_id(), a_tenant_id()),
        )


class TestPostgresCallLedger(CallLedgerContract):
    @pytest.fixture
    async def jobs(self, database: Database) -> AsyncIterator[CallsBackend]:
        tenants = await database.make_two_tenants()
        async with database.open_pools() as (api, worker):
            yield CallsBackend(
                store=PostgresJobStore(api),
                ledger=PostgresJobLedger(worker, Deadlines()),
                calls=PostgresCallLedger(worker),
                tenants=tenants,
            )


class TestMemoryCaller(CallerContract):
    @pytest.fixture
    def caller(self) -> MemoryCaller:
        return MemoryCaller()

    @pytest.fixture
    def unreachable(self) -> MemoryCaller:
        caller = MemoryCaller()
        caller.available = False
        return caller

    @pytest.fixture
    def platform(self, caller: MemoryCaller) -> Platform:
        async def is_open(call_id: str) -> bool:
            return call_id in caller.open

        async def given(call_id: str) -> Assignment:
            return caller.open[call_id]

        return Platform(is_open=is_open, given=given, foreign=("process:host/1/2:3",))
