"""The artifact store in R2, as the settings name it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Environment, Settings

if TYPE_CHECKING:
    from genjobs.adapters.r2 import Patience
    from genjobs.domain.ports import ArtifactStore


@asynccontextmanager
async def r2_store(
    settings: Settings, patience: Patience | None = None
) -> AsyncIterator[ArtifactStore]:
    """Hold the store; ``ConfigurationError`` when the settings name none that may be used."""
    from genjobs.adapters.r2 import Credentials, open_r2_store, parse_place

    place = parse_place(settings.artifacts_url)
    if settings.env is Environment.PRODUCTION and not place.endpoint.startswith("https:"):
        raise ConfigurationError("production needs an artifacts_url with an https endpoint")
    key_id, secret = settings.r2_access_key_id, settings.r2_secret_access_key
    assert key_id is not None  # noqa: S101  (the settings refuse it)
    assert secret is not None  # noqa: S101
    credentials = Credentials(
        access_key_id=key_id.get_secret_value(), secret_access_key=secret.get_secret_value()
    )
    async with open_r2_store(place, credentials, patience=patience) as store:
        yield store
