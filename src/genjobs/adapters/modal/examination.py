"""The ``PlatformExaminer`` port: whether what a deployment needs is there. Nothing is made."""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from datetime import timedelta
from typing import Any

import modal
from modal import config
from modal import exception as vendor

from genjobs.adapters.modal.answers import REQUEST, bounded


class ModalExaminer:
    """``client`` None is the one of the environment."""

    def __init__(self, client: modal.Client | None = None, *, request: timedelta = REQUEST) -> None:
        self._client = client
        self._limit = request

    async def has_app(self, app: str) -> bool:
        """See the port."""
        return await self._found(modal.App.lookup.aio(app, client=self._client))

    async def has_function(self, app: str, name: str) -> bool:
        """See the port."""
        function = modal.Function.from_name(app, name, client=self._client)
        return await self._found(function.hydrate.aio())

    async def has_worker(self, app: str, name: str) -> bool:
        """See the port."""
        worker = modal.Cls.from_name(app, name, client=self._client)
        return await self._found(worker.hydrate.aio())

    async def has_secret(self, name: str, keys: Collection[str]) -> bool:
        """See the port: Modal itself compares the names of the keys."""
        secret = modal.Secret.from_name(name, required_keys=sorted(keys), client=self._client)
        return await self._found(secret.hydrate.aio())

    async def has_volume(self, name: str) -> bool:
        """See the port."""
        volume = modal.Volume.from_name(name, client=self._client)
        return await self._found(volume.hydrate.aio())

    async def image_builder(self) -> str | None:
        """See the port: this machine's setting goes before that of the environment at Modal."""
        if here := config.config.get("image_builder_version"):
            return str(here)
        place: Any = modal.Environment.from_context(client=self._client)
        await bounded(place.hydrate.aio(), self._limit)
        # The SDK keeps it to itself, behind its wrapper; in another one nothing is known of it.
        kept = vars(place).values()
        settings = next(
            (found for part in kept if (found := getattr(part, "_settings", None))), None
        )
        return getattr(settings, "image_builder_version", None)

    async def web_url(self, app: str, name: str) -> str | None:
        """Return the address of a web function, None when it has none or is not deployed."""

        async def asked() -> str | None:
            try:
                function = modal.Function.from_name(app, name, client=self._client)
                return await function.get_web_url.aio()
            except vendor.NotFoundError:
                return None

        return await bounded(asked(), self._limit)

    async def _found(self, request: Awaitable[object]) -> bool:
        async def asked() -> bool:
            try:
                await request
            except vendor.NotFoundError:
                return False
            return True

        return await bounded(asked(), self._limit)


def has_token() -> bool:
    """Whether this machine has a token for Modal, in its environment or its profile."""
    return bool(config.config.get("token_id") and config.config.get("token_secret"))
