"""
From settings to adapters: URLs choose, each thing is opened once and closed in reverse.

Vendor packages are imported in the branch that needs them.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from genjobs.bootstrap.catalogue import node_catalogue
from genjobs.bootstrap.engine import EngineAdapters
from genjobs.bootstrap.preparing import DatabaseUrls, prepare_database
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Environment

if TYPE_CHECKING:
    from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
    from genjobs.adapters.postgres import Pool
    from genjobs.domain.ports import (
        ArtifactStore,
        CancelNotices,
        IdSource,
        IngestLedger,
        JobLedger,
        JobStore,
        KeyDirectory,
        MediaInspector,
        MediaProbe,
        Signals,
        SignedFiles,
        TenantDirectory,
        TokenCodec,
        UrlFetcher,
    )

_T = TypeVar("_T")
_LOCAL_URL = "http://127.0.0.1:8000"


class Adapters(EngineAdapters):
    """
    Opens what the settings name, each thing once; leaving the context closes all of it.

    A subclass that returns something else for a port is how tests and other deployments differ.
    """

    # -- system -------------------------------------------------------------------------------

    def ids(self) -> IdSource:
        """Return the source of identifiers."""
        from genjobs.adapters.system import SystemIds

        return self._once("ids", SystemIds)

    def signals(self) -> Signals:
        """Return this process's wake-ups."""
        from genjobs.adapters.local.signals import LocalSignals

        return self._once("signals", LocalSignals)

    def probe(self) -> MediaProbe:
        """Return what looks into pictures."""
        from genjobs.adapters.media_probe import PillowProbe

        return self._once("probe", PillowProbe)

    def fetcher(self) -> UrlFetcher:
        """Return what downloads what customers name."""
        from genjobs.adapters.safe_fetch import SafeFetcher
        from genjobs.domain.url_policy import UrlPolicy

        return self._once(
            "fetcher", lambda: SafeFetcher(UrlPolicy(ports=frozenset(self.settings.fetch_ports)))
        )

    async def inspector(self) -> MediaInspector:
        """Return what proves what a file is."""
        if "inspector" not in self._opened:
            from genjobs.adapters.media_inspection import SubprocessInspector

            self._opened["inspector"] = await self._stack.enter_async_context(
                SubprocessInspector(self.settings.media_limits())
            )
        inspector: MediaInspector = self._opened["inspector"]
        return inspector

    def catalogue(self) -> NodeCatalogue:
        """Return the node classes that workflows may use."""
        return self._once("catalogue", lambda: node_catalogue(self.settings))

    # -- database -----------------------------------------------------------------------------

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
            assert worker is not None  # noqa: S101  (the settings refuse it)
            urls = DatabaseUrls(
                api=settings.database_url.get_secret_value(),
                worker=worker.get_secret_value(),
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
        from genjobs.adapters.postgres import PostgresJobLedger

        pool = await self._worker_pool()
        return self._once("ledger", lambda: PostgresJobLedger(pool, self.settings.deadlines()))

    async def ingests(self) -> IngestLedger:
        """Return the ingests of all tenants."""
        from genjobs.adapters.postgres import PostgresIngestLedger

        pool = await self._worker_pool()
        return self._once(
            "ingests", lambda: PostgresIngestLedger(pool, self.settings.ingest_rules())
        )

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

        url = (await self.database_urls()).worker
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
                open_pool(urls.worker, size=self.settings.database_pool_size)
            )
        pool: Pool = self._opened["worker_pool"]
        return pool

    # -- files --------------------------------------------------------------------------------

    def artifacts(self) -> ArtifactStore:
        """Return the artifact store."""
        return self._directory_store()

    def signed_files(self) -> SignedFiles | None:
        """Return the serving side of the store's URLs, when the API is to serve them."""
        return self._directory_store()

    def _directory_store(self) -> DirectoryArtifactStore:
        from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
        from genjobs.adapters.local.secret_file import load_or_create_secret

        def make() -> DirectoryArtifactStore:
            settings = self.settings
            scheme, _, place = settings.artifacts_url.partition(":")
            if scheme != "file":
                raise ConfigurationError(f"artifacts_url has the unknown scheme {scheme!r}")
            root = (
                Path(place.removeprefix("//")) if place else settings.data_directory / "artifacts"
            )
            if settings.signing_key is not None:
                key = settings.signing_key.get_secret_value()
            else:
                key = load_or_create_secret(
                    settings.data_directory / "signing-key", lambda: secrets.token_urlsafe(48)
                )
            base_url = str(settings.public_url or _LOCAL_URL).rstrip("/")
            return DirectoryArtifactStore(root, signing_key=key.encode(), base_url=base_url)

        return self._once("directory_store", make)

    def token_codec(self) -> TokenCodec:
        """Return what signs and reads end users' tokens."""
        from genjobs.adapters.jwt_tokens import JwtCodec
        from genjobs.adapters.local.secret_file import load_or_create_secret

        def make() -> JwtCodec:
            settings = self.settings
            known = [key.get_secret_value() for key in settings.token_keys]
            if not known:
                path = settings.data_directory / "token-key"
                known = [load_or_create_secret(path, lambda: secrets.token_urlsafe(48))]
            return JwtCodec(known, audience=settings.token_audience)

        return self._once("token_codec", make)
