"""What must be there before anything is served: schema, window, and locally a tenant with a key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from genjobs.domain.credentials import KeyRecord, KeyText
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.ids import TenantId
from genjobs.domain.tenancy import Scope
from genjobs.settings import Environment, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrls:
    """One database, three roles; ``worker`` is None where jobs are only read, and ``owner`` too."""

    api: str
    worker: str | None
    owner: str | None

    def of_worker(self) -> str:
        """Return the worker's URL; ``ConfigurationError`` when there is none."""
        if self.worker is None:
            raise ConfigurationError("worker_database_url is needed for all but reads")
        return self.worker


async def prepare_database(settings: Settings, owner_url: str) -> None:
    """
    Migrate the database, and make sure of the window and of the settings' tenant and key.

    Raises:
        ConfigurationError: the key of the settings is not of a key's form.
        Unavailable: the database cannot be reached.
    """
    from genjobs.adapters.postgres import administration, migrate
    from genjobs.adapters.postgres.credentials import PostgresCredentials
    from genjobs.adapters.postgres.tenancy import PostgresTenancy
    from genjobs.adapters.system import SystemClock

    await migrate.upgrade(owner_url)
    now, tenant_id = SystemClock().now(), TenantId(settings.tenant_id)
    tenancy = PostgresTenancy(owner_url, settings.default_limits())
    await tenancy.ensure_tenant(tenant_id, "default", now)
    if settings.env is Environment.LOCAL:
        key = KeyText.parse(api_key(settings))
        if key is None:
            raise ConfigurationError(
                "api_key is not of the form that `genjobs keys create` gives; without it one is "
                "made"
            )
        record = KeyRecord(
            id=key.id,
            tenant_id=tenant_id,
            live=key.live,
            secret_sha256=key.digest(),
            scopes=frozenset(Scope),
        )
        await PostgresCredentials(owner_url).ensure_key(record, "settings", now)
    await administration.set_window(owner_url, settings.slots())


def api_key(settings: Settings) -> str:
    """Return the settings' key; the embedded mode makes one on first use and keeps it (0600)."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    from genjobs.adapters.local.secret_file import load_or_create_secret

    return load_or_create_secret(
        settings.data_directory / "api-key",
        lambda: KeyText.make(live=False, random=secrets.token_bytes(42)).reveal(),
    )
