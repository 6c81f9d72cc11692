"""From settings to what is kept in the database; see ``adapters``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from genjobs.bootstrap.opened import Opened
from genjobs.bootstrap.preparing import DatabaseUrls, prepare_database
from genjobs.settings import Environment

if TYPE_CHECKING:
    from genjobs.adapters.postgres import Pool
    from genjobs.domain.ports import (
        CancelNotices,
        ErasureLedger,
        ErasureStore,
        IngestLedger,
        JobLedger,
        JobStore,
        KeyDirectory,
        PoolLedger,
        Reconciliation,
        RetentionLedger,
        Supervision,
        TenantDirectory,
        UploadLedger,
        UploadStore,
    )

_T = TypeVar("_T")


class DatabaseAdapters(Opened):
    """Opens pools and what runs on them, each thing once."""

    #: Whether a worker is all that this process does, so that it may be killed as one.
    worker_is_alone = False

    async def database_urls(self) -> DatabaseUrls:
        """Return the database's URLs; the embedded one is started and migrated first."""
        if "urls" in self._opened:
            urls: DatabaseUrls = self._opened["urls"]
            return urls
        settings = self.settings
        if settings.embedded_database:
            urls = await self._start_embedded()
        else:
            worker, owner = settings.worker_database_url, settings.owner_database_url
            urls = DatabaseUrls(
                api=settings.database_url.get_secret_value(),
                worker=worker.get_secret_value() if worker else None,
                owner=owner.get_secret_value() if owner else None,
            )
        self._opened["urls"] = urls
        return urls

    async def _start_embedded(self) -> DatabaseUrls:
        from genjobs.adapters.local.embedded_postgres import embedded_postgres

        directory = self.settings.data_directory / "postgres"
        started = await self._stack.enter_async_context(embedded_postgres(directory))
        await prepare_database(self.settings, started.owner)
        return DatabaseUrls(api=started.api, worker=started.worker, owner=started.owner)

    async def jobs(self) -> JobStore:
        """Return the tenant's side of the jobs."""
        if "jobs" not in self._opened:
            from genjobs.adapters.postgres import PostgresJobStore

            pool = await self._api_pool()
            store = PostgresJobStore(pool, self.settings.default_limits())
            if self.settings.env is Environment.PRODUCTION:
                await store.refuse_powerful_role()
            self._opened["jobs"] = store
        jobs: JobStore = self._opened["jobs"]
        return jobs

    async def ledger(self) -> JobLedger:
        """Return the system's side of the jobs."""
        from genjobs.adapters.local.processes import own_call_id
        from genjobs.adapters.postgres import PostgresJobLedger

        pool = await self._worker_pool()
        # Where workers are called, each attempt says who runs it.
        pulled = self.settings.dispatch_url.startswith("local:")
        call_id = own_call_id(alone=self.worker_is_alone) if pulled else None
        return self._once(
            "ledger", lambda: PostgresJobLedger(pool, self.settings.deadlines(), call_id)
        )

    async def supervision(self) -> Supervision:
        """Return what supervisors share."""
        from genjobs.adapters.postgres import PostgresSupervision

        pool = await self._worker_pool()
        return self._once(
            "supervision", lambda: PostgresSupervision(pool, self.settings.deadlines())
        )

    async def erasures(self) -> ErasureStore:
        """Return the tenant's side of erasures."""
        from genjobs.adapters.postgres import PostgresErasures

        pool = await self._api_pool()
        return self._once("erasures", lambda: PostgresErasures(pool))

    async def erasure_ledger(self) -> ErasureLedger:
        """Return the system's side of erasures."""
        from genjobs.adapters.postgres import PostgresErasureLedger

        pool = await self._worker_pool()
        return self._once(
            "erasure_ledger",
            lambda: PostgresErasureLedger(pool, self.settings.retention_rules()),
        )

    async def retention(self) -> RetentionLedger:
        """Return what is due for removal."""
        from genjobs.adapters.postgres import PostgresRetention

        pool = await self._worker_pool()
        return self._once(
            "retention", lambda: PostgresRetention(pool, self.settings.retention_rules())
        )

    async def pool_ledger(self) -> PoolLedger:
        """Return what is known of the pool's work."""
        from genjobs.adapters.postgres import PostgresPoolLedger

        pool = await self._worker_pool()
        return self._once("pool_ledger", lambda: PostgresPoolLedger(pool))

    async def reconciliation(self) -> Reconciliation:
        """Return what rows name."""
        from genjobs.adapters.postgres import PostgresReconciliation

        pool = await self._worker_pool()
        return self._once("reconciliation", lambda: PostgresReconciliation(pool))

    async def ingests(self) -> IngestLedger:
        """Return the ingests of all tenants."""
        from genjobs.adapters.postgres import PostgresIngestLedger

        pool = await self._worker_pool()
        return self._once(
            "ingests", lambda: PostgresIngestLedger(pool, self.settings.ingest_rules())
        )

    async def uploads(self) -> UploadStore:
        """Return the tenant's side of the uploads."""
        from genjobs.adapters.postgres import PostgresUploadStore

        pool = await self._api_pool()
        return self._once(
            "uploads", lambda: PostgresUploadStore(pool, self.settings.default_limits())
        )

    async def upload_ledger(self) -> UploadLedger:
        """Return the system's side of the uploads."""
        from genjobs.adapters.postgres import PostgresUploadLedger

        pool = await self._worker_pool()
        return self._once("upload_ledger", lambda: PostgresUploadLedger(pool))

    async def keys(self) -> KeyDirectory:
        """Return the keys of all tenants."""
        from genjobs.adapters.postgres import PostgresKeyDirectory

        pool = await self._api_pool()
        return self._once("keys", lambda: PostgresKeyDirectory(pool))

    async def tenants(self) -> TenantDirectory:
        """Return the rules and counts of tenants."""
        from genjobs.adapters.postgres import PostgresTenantDirectory

        pool = await self._api_pool()
        return self._once(
            "tenants", lambda: PostgresTenantDirectory(pool, self.settings.default_limits())
        )

    async def notices(self) -> CancelNotices:
        """Return what brings direct word of cancels."""
        from genjobs.adapters.postgres import HeartbeatOnly, PostgresCancelNotices, carries_notices

        url = (await self.database_urls()).of_worker()
        if not self.settings.direct_notices or not carries_notices(url):
            return self._once("notices", HeartbeatOnly)
        return self._once("notices", lambda: PostgresCancelNotices(url))

    async def _api_pool(self) -> Pool:
        if "api_pool" not in self._opened:
            from genjobs.adapters.postgres import open_pool

            urls = await self.database_urls()
            self._opened["api_pool"] = await self._stack.enter_async_context(
                open_pool(urls.api, size=self.settings.database_pool_size)
            )
        pool: Pool = self._opened["api_pool"]
        return pool

    async def _worker_pool(self) -> Pool:
        if "worker_pool" not in self._opened:
            from genjobs.adapters.postgres import open_pool

            urls = await self.database_urls()
            self._opened["worker_pool"] = await self._stack.enter_async_context(
                open_pool(urls.of_worker(), size=self.settings.database_pool_size)
            )
        pool: Pool = self._opened["worker_pool"]
        return pool
