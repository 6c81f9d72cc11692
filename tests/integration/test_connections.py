"""How many connections each kind of process opens when it is busiest, held against the document."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genjobs import bootstrap
from genjobs.bootstrap import Adapters
from genjobs.bootstrap.reading import build_reader_context
from genjobs.domain.ids import JobId, TenantId
from genjobs.domain.tenancy import Reach
from genjobs.settings import Settings
from genjobs.settings.deployment import WORKER
from genjobs.testing import ScriptedEngine, a_tenant_id
from genjobs.testing.memory_care import ScriptedKeeper
from tests.architecture.test_examples import ROOT
from tests.postgres import Database

POOL = 3
#: More at once than any pool has connections.
AT_ONCE = 8 * POOL


class NoComfyUI(Adapters):
    """Everything is real but ComfyUI."""

    async def engine(self) -> ScriptedEngine:  # type: ignore[override]
        return self._once("scripted", ScriptedEngine)

    async def keeper(self) -> ScriptedKeeper:  # type: ignore[override]
        engine = await self.engine()
        return self._once("scripted keeper", lambda: ScriptedKeeper(engine, self.clock()))

    def pools(self) -> set[str]:
        """Return the pools that were opened, used or not."""
        return {name for name in self._opened if name.endswith("_pool")}


def documented() -> dict[str, int]:
    """Return the document's rows as numbers."""
    text = (ROOT / "docs/operations.md").read_text().partition("<!-- connections -->")[2]
    rows = re.findall(r"^\| (.+?) \| (\d) pools?(?:, (\d) for cancels)? \|$", text, flags=re.M)
    return {
        process.replace("`", ""): int(pools) * POOL + int(more or 0)
        for process, pools, more in rows
    }


async def asks(adapters: Adapters) -> None:
    """Ask as many things of the API's side at once as a busy one is asked."""
    tenant = TenantId(a_tenant_id())
    jobs = await adapters.jobs()
    reach = Reach(tenant_id=tenant, user_id=None)
    await asyncio.gather(*(jobs.get(reach, JobId(a_tenant_id())) for _ in range(AT_ONCE)))


async def works(adapters: Adapters) -> None:
    """The same of the workers' side."""
    ledger, now = await adapters.ledger(), adapters.clock().now()
    await asyncio.gather(*(ledger.overview(now=now) for _ in range(AT_ONCE)))


@asynccontextmanager
async def serving(adapters: Adapters, *, worker: bool, beside: bool) -> AsyncIterator[None]:
    await bootstrap.build_context(adapters)
    if beside:
        await bootstrap.build_ingester(adapters)
        await bootstrap.build_supervisor(adapters)
    async with running(adapters, pull=worker):
        yield


@asynccontextmanager
async def running(adapters: Adapters, *, pull: bool = True) -> AsyncIterator[None]:
    if not pull:
        yield
        return
    worker, stop = await bootstrap.build_worker(adapters), asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def called(adapters: Adapters) -> AsyncIterator[None]:
    worker = await bootstrap.build_pushed_worker(adapters)
    await worker.open()
    try:
        yield
    finally:
        await worker.close()


@asynccontextmanager
async def only(work: Awaitable[Any]) -> AsyncIterator[None]:
    await work
    yield


Opener = Callable[[Adapters], Any]
#: What each process opens, as its command or its function does.
KINDS: dict[str, tuple[str, Opener, tuple[Any, ...]]] = {
    "genjobs serve": (
        "local://",
        lambda adapters: serving(adapters, worker=True, beside=True),
        (asks, works),
    ),
    "genjobs serve --no-worker": (
        "local://",
        lambda adapters: serving(adapters, worker=False, beside=True),
        (asks, works),
    ),
    "genjobs worker": ("local://", running, (works,)),
    "genjobs ingest": (
        "local://",
        lambda adapters: only(bootstrap.build_ingester(adapters)),
        (works,),
    ),
    "genjobs supervise": (
        "local://",
        lambda adapters: only(bootstrap.build_supervisor(adapters)),
        (works,),
    ),
    "container of api": (
        f"modal://genjobs/{WORKER}",
        lambda adapters: serving(adapters, worker=False, beside=False),
        (asks, works),
    ),
    "container of reader": (
        f"modal://genjobs/{WORKER}",
        lambda adapters: only(build_reader_context(adapters)),
        (asks,),
    ),
    f"container of {WORKER}": (f"modal://genjobs/{WORKER}", called, (works,)),
    "container of ingest": (
        f"modal://genjobs/{WORKER}",
        lambda adapters: only(bootstrap.build_ingester(adapters)),
        (works,),
    ),
    "container of supervise": (
        f"modal://genjobs/{WORKER}",
        lambda adapters: only(bootstrap.build_supervisor(adapters)),
        (works,),
    ),
}


def test_every_process_of_the_document_is_counted() -> None:
    assert set(documented()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
async def test_process_opens_as_many_connections_as_the_document_says(
    kind: str, database: Database, tmp_path: Path
) -> None:
    dispatch, opener, busy = KINDS[kind]
    settings = Settings.model_validate(
        {
            "database_url": database.api,
            "worker_database_url": database.worker,
            "database_pool_size": POOL,
            "dispatch_url": dispatch,
            "data_directory": tmp_path,
            "token_keys": ("signs the tokens of a test, of nothing else",),
        }
    )
    async with AsyncExitStack() as stack:
        adapters = NoComfyUI(settings, stack)
        await stack.enter_async_context(opener(adapters))
        await asyncio.gather(*(work(adapters) for work in busy))
        # No pool is there that this test keeps idle.
        assert adapters.pools() == {{asks: "api_pool", works: "worker_pool"}[work] for work in busy}
        wanted = documented()[kind]
        async with asyncio.timeout(10):
            while (seen := await connections(database)) < wanted:
                await asyncio.sleep(0.05)  # LISTEN is on its way
        assert seen == wanted


async def connections(database: Database) -> int:
    [row] = await database.execute(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = $1 "
        "AND usename IN ('genjobs_api', 'genjobs_worker')",
        database.name,
    )
    return int(row["n"])
