"""A whole API with two tenants, on fakes or on Postgres; files and time are fakes in both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from genjobs import bootstrap
from genjobs.api.app import create_app
from genjobs.api.context import ApiContext
from genjobs.application.supervise import TICK, Supervise
from genjobs.bootstrap import Adapters, DatabaseUrls
from genjobs.domain.ids import TenantId
from genjobs.domain.ports import JobLedger
from genjobs.domain.tenancy import Scope
from genjobs.gpu.worker import PullWorker
from genjobs.settings import Settings
from genjobs.testing import (
    FakeClock,
    MemoryArtifactStore,
    ScriptedEngine,
    a_key_record,
    a_key_text,
    a_tenant_id,
    open_harness,
)
from genjobs.testing.contracts import Arrangement
from genjobs.testing.harness import FakeAdapters
from tests.arrangements import MemoryArrangement, PostgresArrangement
from tests.documented import documented
from tests.postgres import Database

_UNLIMITED = {"submits_per_second": None, "submit_burst": None, "max_queued": None}
BASE = "http://genjobs.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The API, and what a test reaches around it."""

    api: FastAPI
    clock: FakeClock
    artifacts: MemoryArtifactStore
    engine: ScriptedEngine
    ledger: JobLedger
    worker: PullWorker
    supervisor: Supervise
    arrange: Arrangement
    #: Tenants A and B.
    tenants: tuple[TenantId, TenantId]

    async def key(
        self, name: str, *scopes: Scope, tenant: int = 0, live: bool = False, **parts: Any
    ) -> str:
        """Make a key of a tenant, with every scope unless some are given."""
        text = a_key_text(name, live=live)
        await self.arrange.add_key(a_key_record(text, self.tenants[tenant], *scopes, **parts))
        return text.reveal()

    def client(self, token: str | None = None, *, address: str = "127.0.0.1") -> httpx.AsyncClient:
        """Return a client with a bearer credential."""
        transport = httpx.ASGITransport(
            app=self.api, raise_app_exceptions=False, client=(address, 1234)
        )
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(
            transport=transport,
            base_url=BASE,
            headers=headers,
            timeout=60,
            event_hooks={"response": [documented]},
        )

    async def run_one(self) -> bool:
        """Run the next waiting job to its end; return whether there was one."""
        assignments = await self.ledger.dispatch(now=self.clock.now(), limit=1)
        for assignment in assignments:
            await self.worker.run_job(assignment, asyncio.Event())
        return bool(assignments)

    async def supervise_for(self, time: timedelta) -> None:
        """Let time pass while a supervisor looks on."""
        until = self.clock.now() + time
        await self.supervisor.tick()
        while self.clock.now() < until:
            self.clock.advance(min(TICK, until - self.clock.now()))
            await self.supervisor.tick()


@asynccontextmanager
async def memory_world(**settings: object) -> AsyncIterator[World]:
    """Open a world on fakes."""
    async with open_harness(**settings) as harness:
        yield World(
            api=harness.api,
            clock=harness.clock,
            artifacts=harness.artifacts,
            engine=harness.engine,
            ledger=harness.ledger,
            worker=harness.worker,
            supervisor=harness.supervisor,
            arrange=MemoryArrangement(harness.jobs),
            tenants=(a_tenant_id(), a_tenant_id()),
        )


class PostgresAdapters(FakeAdapters):
    """Fakes, but for the database."""

    def __init__(self, settings: Settings, stack: AsyncExitStack, database: Database) -> None:
        super().__init__(settings, stack)
        self._database = database

    async def database_urls(self) -> DatabaseUrls:
        return DatabaseUrls(
            api=self._database.api, worker=self._database.worker, owner=self._database.owner
        )

    ids = Adapters.ids  # two processes make no id twice
    jobs = Adapters.jobs  # type: ignore[assignment]
    ledger = Adapters.ledger  # type: ignore[assignment]
    keys = Adapters.keys  # type: ignore[assignment]
    tenants = Adapters.tenants  # type: ignore[assignment]
    ingests = Adapters.ingests  # type: ignore[assignment]
    supervision = Adapters.supervision  # type: ignore[assignment]
    reconciliation = Adapters.reconciliation  # type: ignore[assignment]
    retention = Adapters.retention  # type: ignore[assignment]
    erasures = Adapters.erasures  # type: ignore[assignment]
    erasure_ledger = Adapters.erasure_ledger  # type: ignore[assignment]
    uploads = Adapters.uploads  # type: ignore[assignment]
    upload_ledger = Adapters.upload_ledger  # type: ignore[assignment]


@asynccontextmanager
async def postgres_world(
    database: Database,
    *,
    tenants: tuple[TenantId, TenantId] | None = None,
    clock: FakeClock | None = None,
    **settings: object,
) -> AsyncIterator[World]:
    """Open a world on Postgres; ``tenants`` and ``clock`` are those of one that is open already."""
    loaded = Settings.model_validate(
        {
            "token_keys": ("signs the tokens of a test, of nothing else",),
            "tenant_limits": _UNLIMITED,
            "user_limits": _UNLIMITED,
            "data_directory": Path("unused"),
            "public_url": BASE,
            **settings,
        }
    )
    if tenants is None:
        tenants = (a_tenant_id(), a_tenant_id())
        for tenant in tenants:
            await database.make_tenant(tenant)
    async with AsyncExitStack() as stack:
        adapters = PostgresAdapters(loaded, stack, database)
        if clock is not None:
            adapters.fake_clock = clock
        context = await bootstrap.build_context(adapters)

        @asynccontextmanager
        async def open_context() -> AsyncIterator[ApiContext]:
            yield context

        api = create_app(open_context, version="0", cors_origins=loaded.cors_origins)
        api.state.context = context
        yield World(
            api=api,
            clock=adapters.fake_clock,
            artifacts=adapters.fake_artifacts,
            engine=adapters.fake_engine,
            ledger=await adapters.ledger(),
            worker=await bootstrap.build_worker(adapters),
            supervisor=await bootstrap.build_supervisor(adapters),
            arrange=PostgresArrangement(database),
            tenants=tenants,
        )
