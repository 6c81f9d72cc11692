"""
From settings to adapters: URLs choose, each thing is opened once and closed in reverse.

Vendor packages are imported in the branch that needs them.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from genjobs.bootstrap.catalogue import node_catalogue
from genjobs.bootstrap.dispatching import DispatchAdapters
from genjobs.bootstrap.engine import EngineAdapters
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Environment

if TYPE_CHECKING:
    from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
    from genjobs.domain.ports import (
        ArtifactStore,
        IdSource,
        MediaInspector,
        MediaProbe,
        SignedFiles,
        TokenCodec,
        UrlFetcher,
    )

_T = TypeVar("_T")
_LOCAL_URL = "http://127.0.0.1:8000"


class Adapters(DispatchAdapters, EngineAdapters):
    """
    Opens what the settings name, each thing once; leaving the context closes all of it.

    A subclass that returns something else for a port is how tests and other deployments differ.
    What the database holds, and how jobs reach workers, is in the classes that this one extends.
    """

    # -- system -------------------------------------------------------------------------------

    def ids(self) -> IdSource:
        """Return the source of identifiers."""
        from genjobs.adapters.system import SystemIds

        return self._once("ids", SystemIds)

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

    # -- files --------------------------------------------------------------------------------

    async def artifacts(self) -> ArtifactStore:
        """Return the artifact store."""
        if not self.settings.artifacts_url.startswith("r2:"):
            return self._directory_store()
        if "artifacts" not in self._opened:
            from genjobs.bootstrap.object_storage import r2_store

            self._opened["artifacts"] = await self._stack.enter_async_context(
                r2_store(self.settings)
            )
        artifacts: ArtifactStore = self._opened["artifacts"]
        return artifacts

    def signed_files(self) -> SignedFiles | None:
        """Return the serving side of the store's URLs, when the API is to serve them."""
        return None if self.settings.artifacts_url.startswith("r2:") else self._directory_store()

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
            if not known and settings.env is Environment.PRODUCTION:
                # Asked of those who sign and read tokens only: workers have no business with keys.
                raise ConfigurationError("production needs token_keys")
            if not known:
                path = settings.data_directory / "token-key"
                known = [load_or_create_secret(path, lambda: secrets.token_urlsafe(48))]
            return JwtCodec(known, audience=settings.token_audience)

        return self._once("token_codec", make)

    def token_reader(self) -> TokenCodec:
        """
        Return what reads end users' tokens where none are made.

        In production it may be without ``token_keys``: then only those that sites sign are read.
        """
        if self.settings.token_keys or self.settings.env is not Environment.PRODUCTION:
            return self.token_codec()
        from genjobs.adapters.jwt_tokens import JwtCodec

        audience = self.settings.token_audience
        return self._once("token_reader", lambda: JwtCodec((), audience=audience, sites_only=True))
