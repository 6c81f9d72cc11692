"""The real composition root on fakes: a whole genjobs in a unit test, in no time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI

from genjobs import bootstrap
from genjobs.api.app import create_app, create_reader
from genjobs.api.context import ApiContext
from genjobs.application.genjobs import Genjobs
from genjobs.application.ingesting import Ingester
from genjobs.application.supervise import TICK, Supervise, Tick
from genjobs.bootstrap import Adapters, DatabaseUrls
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.ids import TenantId
from genjobs.domain.ports import Clock, IdSource, MediaProbe, PictureSize
from genjobs.domain.url_policy import UrlPolicy
from genjobs.gpu.worker import PullWorker
from genjobs.settings import Settings
from genjobs.testing.clock import FakeClock, SequentialIds
from genjobs.testing.memory_access import (
    MemoryKeyDirectory,
    MemoryTenantDirectory,
    a_key_record,
    a_key_text,
)
from genjobs.testing.memory_artifacts import MemoryArtifactStore
from genjobs.testing.memory_calls import MemoryCaller, MemoryCallLedger
from genjobs.testing.memory_care import MemoryCancelNotices, ScriptedKeeper
from genjobs.testing.memory_erasures import MemoryErasureLedger, MemoryErasures
from genjobs.testing.memory_ingests import MemoryIngestLedger
from genjobs.testing.memory_ledger import MemoryJobLedger
from genjobs.testing.memory_pool import MemoryPoolControl, MemoryPoolLedger
from genjobs.testing.memory_reconciliation import MemoryReconciliation
from genjobs.testing.memory_retention import MemoryRetention
from genjobs.testing.memory_rows import MemoryJobs
from genjobs.testing.memory_store import MemoryJobStore
from genjobs.testing.memory_supervision import MemorySupervision, MemoryWorkerControl
from genjobs.testing.memory_uploads import MemoryUploadLedger, MemoryUploadStore
from genjobs.testing.memory_web import HeadInspector, MemoryUrlFetcher
from genjobs.testing.scripted_engine import ScriptedEngine

_KEY = a_key_text("harness")
#: The bearer key of a harness; it has every scope.
TEST_KEY = _KEY.reveal()


_UNLIMITED = {"submits_per_second": None, "submit_burst": None, "max_queued": None}


class _NoSizes:
    """The ``MediaProbe`` port for tests that do not care for pixels."""

    def picture_size(self, head: bytes) -> PictureSize | None:
        return None


class FakeAdapters(Adapters):
    """The composition root's adapters, all of them fakes."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        super().__init__(settings, stack)
        self.fake_clock = FakeClock()
        self.fake_jobs = MemoryJobs(
            window=settings.slots(),
            deadlines=settings.deadlines(),
            limits=settings.default_limits(),
        )
        tenant = TenantId(settings.tenant_id)
        self.fake_jobs.tenants.keys[_KEY.id] = a_key_record(_KEY, tenant)
        self.fake_artifacts = MemoryArtifactStore(clock=self.fake_clock)
        self.fake_workers = MemoryWorkerControl()
        self.fake_pool = MemoryPoolControl()
        self.fake_engine = ScriptedEngine()
        self.fake_keeper = ScriptedKeeper(self.fake_engine, self.fake_clock)
        self.fake_web = MemoryUrlFetcher(UrlPolicy(ports=frozenset(settings.fetch_ports)))
        self.fake_inspector = HeadInspector(settings.media_limits())
        self.fake_caller = MemoryCaller()
        self._ids = SequentialIds()

    def clock(self) -> Clock:
        """Return the fake clock."""
        return self.fake_clock

    def ids(self) -> IdSource:
        """Return ids that count."""
        return self._ids

    def probe(self) -> MediaProbe:
        """Return a probe that sees no sizes."""
        return _NoSizes()

    async def database_urls(self) -> DatabaseUrls:
        """Refuse with ``ConfigurationError``: there is no database."""
        raise ConfigurationError("a harness has no database")

    async def jobs(self) -> MemoryJobStore:
        """Return the store in memory."""
        return MemoryJobStore(self.fake_jobs)

    async def ledger(self) -> MemoryJobLedger:
        """Return the ledger in memory."""
        return MemoryJobLedger(self.fake_jobs)

    async def supervision(self) -> MemorySupervision:
        """Return what supervisors share, in memory."""
        return MemorySupervision(self.fake_jobs)

    async def retention(self) -> MemoryRetention:
        """Return what is due for removal, in memory."""
        return MemoryRetention(self.fake_jobs, self.settings.retention_rules())

    async def reconciliation(self) -> MemoryReconciliation:
        """Return what rows name, in memory."""
        return MemoryReconciliation(self.fake_jobs)

    async def erasures(self) -> MemoryErasures:
        """Return the tenant's side of erasures, in memory."""
        return MemoryErasures(self.fake_jobs)

    async def erasure_ledger(self) -> MemoryErasureLedger:
        """Return the system's side of erasures, in memory."""
        return MemoryErasureLedger(self.fake_jobs, self.settings.retention_rules())

    async def uploads(self) -> MemoryUploadStore:
        """Return the uploads in memory."""
        return MemoryUploadStore(self.fake_jobs)

    async def upload_ledger(self) -> MemoryUploadLedger:
        """Return the uploads in memory, for supervisors."""
        return MemoryUploadLedger(self.fake_jobs)

    async def calls(self) -> MemoryCallLedger:
        """Return the calls in memory."""
        return MemoryCallLedger(self.fake_jobs)

    def caller(self) -> MemoryCaller:
        """Return an engine that can be called."""
        return self.fake_caller

    def workers(self) -> MemoryWorkerControl:
        """Return workers that only pretend to be processes."""
        return self.fake_workers

    def pool(self) -> MemoryPoolControl:
        """Return a pool that only remembers what it was told."""
        return self.fake_pool

    async def pool_ledger(self) -> MemoryPoolLedger:
        """Return what is known of the pool's work, in memory."""
        return MemoryPoolLedger(self.fake_jobs)

    async def keys(self) -> MemoryKeyDirectory:
        """Return the keys in memory."""
        return MemoryKeyDirectory(self.fake_jobs)

    async def tenants(self) -> MemoryTenantDirectory:
        """Return the tenants in memory."""
        return MemoryTenantDirectory(self.fake_jobs)

    async def artifacts(self) -> MemoryArtifactStore:
        """Return the artifacts in memory."""
        return self.fake_artifacts

    def signed_files(self) -> MemoryArtifactStore:
        """Return the artifacts in memory."""
        return self.fake_artifacts

    async def ingests(self) -> MemoryIngestLedger:
        """Return the ingests in memory."""
        return self._once(
            "ingests", lambda: MemoryIngestLedger(self.fake_jobs, self.settings.ingest_rules())
        )

    def fetcher(self) -> MemoryUrlFetcher:
        """Return a web in memory."""
        return self.fake_web

    async def inspector(self) -> HeadInspector:
        """Return the inspector that believes first bytes."""
        return self.fake_inspector

    async def engine(self) -> ScriptedEngine:
        """Return the scripted engine."""
        return self.fake_engine

    async def keeper(self) -> ScriptedKeeper:
        """Return the scripted engine's keeper."""
        return self.fake_keeper

    async def notices(self) -> MemoryCancelNotices:
        """Return direct word of cancels."""
        return MemoryCancelNotices(self.fake_jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """A genjobs on fakes, and the fakes."""

    genjobs: Genjobs
    worker: PullWorker
    supervisor: Supervise
    api: FastAPI
    #: The one that only reads, for end users.
    reader: FastAPI
    clock: FakeClock
    jobs: MemoryJobs
    ledger: MemoryJobLedger
    artifacts: MemoryArtifactStore
    engine: ScriptedEngine
    keeper: ScriptedKeeper
    web: MemoryUrlFetcher
    inspector: HeadInspector
    ingester: Ingester
    workers: MemoryWorkerControl
    pool: MemoryPoolControl
    #: Called with a ``dispatch_url`` of ``modal://``.
    caller: MemoryCaller

    async def run_one(self) -> bool:
        """Run the next waiting job to its end; return whether there was one."""
        assignments = await self.ledger.dispatch(now=self.clock.now(), limit=1)
        for assignment in assignments:
            await self.worker.run_job(assignment, asyncio.Event())
        return bool(assignments)

    async def supervise_for(self, time: timedelta) -> list[Tick]:
        """Let time pass while a supervisor looks on; return its ticks."""
        ticks = [await self.supervisor.tick()]
        until = self.clock.now() + time
        while self.clock.now() < until:
            self.clock.advance(min(TICK, until - self.clock.now()))
            ticks.append(await self.supervisor.tick())
        return ticks


@asynccontextmanager
async def open_harness(**settings: object) -> AsyncIterator[Harness]:
    """Open a harness; ``settings`` are fields of :class:`~genjobs.settings.Settings`."""
    given: dict[str, object] = {
        "token_keys": ("signs the tokens of a harness, of nothing else",),
        "tenant_limits": _UNLIMITED,
        "user_limits": _UNLIMITED,
        "data_directory": Path("unused"),
        "public_url": "http://genjobs.test",
        **settings,
    }
    loaded = Settings.model_validate(given)
    async with AsyncExitStack() as stack:
        adapters = FakeAdapters(loaded, stack)
        context = await bootstrap.build_context(adapters)

        @asynccontextmanager
        async def open_context() -> AsyncIterator[ApiContext]:
            yield context

        api = create_app(open_context, version="0", cors_origins=loaded.cors_origins)
        api.state.context = context  # in-process transports run no lifespan
        reading = await bootstrap.build_reader_context(adapters)
        reader = create_reader(
            lambda: contextlib.nullcontext(reading),
            version="0",
            cors_origins=loaded.cors_origins,
        )
        reader.state.context = reading
        yield Harness(
            genjobs=context.genjobs,
            worker=await bootstrap.build_worker(adapters),
            supervisor=await bootstrap.build_supervisor(adapters),
            api=api,
            reader=reader,
            clock=adapters.fake_clock,
            jobs=adapters.fake_jobs,
            ledger=await adapters.ledger(),
            artifacts=adapters.fake_artifacts,
            engine=adapters.fake_engine,
            keeper=adapters.fake_keeper,
            web=adapters.fake_web,
            inspector=adapters.fake_inspector,
            ingester=await bootstrap.build_ingester(adapters),
            workers=adapters.fake_workers,
            pool=adapters.fake_pool,
            caller=adapters.fake_caller,
        )
