"""Nobody's first job waits behind the ten thousand of another, and no wake-up is lost."""

from __future__ import annotations

import asyncpg
import pytest

from bench.fairness import BOUND, crowd, worst_place
from genjobs.adapters.postgres import PostgresJobLedger, open_pool
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.domain.deadlines import Deadlines
from tests.postgres import Database


@pytest.mark.parametrize("one_tenant", [False, True], ids=["tenants", "users"])
@pytest.mark.parametrize("holding", [1, 8])
async def test_first_jobs_of_all_go_before_most_of_a_huge_queue(
    database: Database, one_tenant: bool, holding: int
) -> None:
    admin = await asyncpg.connect(**connect_arguments(database.admin))
    try:
        await crowd(admin, one_tenant=one_tenant)
    finally:
        await admin.close()
    async with open_pool(database.worker) as pool:
        ledger = PostgresJobLedger(pool, Deadlines())
        assert await worst_place(ledger, holding=holding, first=BOUND + 1) <= BOUND
