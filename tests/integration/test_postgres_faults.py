"""Postgres that is misconfigured, failing over, silent, or behind a pooler."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from genjobs.adapters.postgres import (
    PostgresJobLedger,
    PostgresJobStore,
    open_pool,
)
from genjobs.domain.deadlines import Deadlines
from genjobs.domain.errors import Unavailable
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing import a_new_job, an_owner
from genjobs.testing.clock import BEGINNING
from tests.postgres import Database
from tests.proxy import proxied


@pytest.fixture
async def owner(database: Database) -> Owner:
    owner = an_owner()
    await database.make_tenant(owner.tenant_id)
    return owner


async def test_database_that_does_not_exist_is_unavailable(database: Database) -> None:
    async with open_pool(database.api.replace(database.name, "genjobs_test_none")) as pool:
        with pytest.raises(Unavailable):
            await PostgresJobStore(pool).check()


async def test_login_without_rights_is_unavailable(database: Database) -> None:
    async with open_pool(database.api.replace("genjobs_api", "genjobs_test_nobody")) as pool:
        with pytest.raises(Unavailable):
            await PostgresJobStore(pool).check()
    # A login that exists, of a role that may do something else.
    async with open_pool(database.worker) as pool:
        with pytest.raises(Unavailable):
            await PostgresJobStore(pool).request_cancel(
                Reach(tenant_id=an_owner().tenant_id, user_id=None),
                a_new_job(an_owner()).id,
                now=BEGINNING,
            )


async def test_standby_is_unavailable_for_writes(database: Database, owner: Owner) -> None:
    setting = f"ROLE genjobs_api IN DATABASE {database.name}"
    await database.execute(f"ALTER {setting} SET default_transaction_read_only = on")
    try:
        async with open_pool(database.api) as pool:
            with pytest.raises(Unavailable):
                await PostgresJobStore(pool).create(a_new_job(owner))
    finally:
        await database.execute(f"ALTER {setting} RESET default_transaction_read_only")


async def test_transaction_pooler_mode_prepares_nothing(database: Database, owner: Owner) -> None:
    async with (
        open_pool(_with(database.api, "pooler=transaction")) as api,
        open_pool(_with(database.worker, "pooler=transaction")) as worker,
    ):
        store, ledger = PostgresJobStore(api), PostgresJobLedger(worker, Deadlines())
        for _ in range(8):
            job = (await store.create(a_new_job(owner))).job
            await ledger.dispatch(now=BEGINNING, limit=1)
            assert await store.get(_reach(owner), job.id) is not None
        [prepared] = await api.rows(
            "SELECT count(*) AS n FROM pg_prepared_statements WHERE name <> ''"
        )
        assert prepared["n"] == 0


async def test_server_that_falls_silent_is_unavailable_in_bounded_time(
    database: Database, owner: Owner
) -> None:
    async with (
        proxied(database.api) as proxy,
        open_pool(proxy.url, size=1, command_seconds=0.5) as pool,
    ):
        store = PostgresJobStore(pool)
        job = (await store.create(a_new_job(owner))).job
        proxy.silent.set()  # connections stay open and nothing passes, as behind a dead NAT entry
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            await store.get(_reach(owner), job.id)
        # A bound on waiting, not a speed: command, its cancelling and release have a limit each.
        assert time.monotonic() - begun < 20
        proxy.silent.clear()
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unavailable):
                    assert await store.get(_reach(owner), job.id) == job
                    break
        assert pool.in_use() == 0


#: What servers say that shut down, start, fail over, are full or lose their disk.
_FAILING = (
    *("08006", "57P01", "57P02", "57P03", "57014", "25006", "53100", "53200", "53300", "58030"),
    *("40003", "58000", "57P05"),
)


@pytest.mark.parametrize("code", _FAILING)
async def test_failing_server_is_unavailable(database: Database, code: str) -> None:
    await database.execute(
        "CREATE OR REPLACE FUNCTION public.fail(p_code text) RETURNS void LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = p_code; END $$"
    )
    async with open_pool(database.api) as pool:
        with pytest.raises(Unavailable):
            await pool.rows("SELECT public.fail($1)", code)
        assert pool.in_use() == 0


def _reach(owner: Owner) -> Reach:
    return Reach(tenant_id=owner.tenant_id, user_id=owner.user_id)


def _with(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{option}"
