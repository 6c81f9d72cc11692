"""What the administrating commands hold. They act as the database's owner, and serve nobody."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from genjobs.application.administer_credentials import AdministerCredentials
from genjobs.application.administer_tenants import AdministerTenants
from genjobs.application.administer_users import AdministerUsers
from genjobs.application.erase import EraseUser, GetErasure
from genjobs.bootstrap.adapters import Adapters
from genjobs.bootstrap.catalogue import node_catalogue
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """The use cases of administrators."""

    tenants: AdministerTenants
    credentials: AdministerCredentials
    users: AdministerUsers


AdministrationOpener = Callable[[Settings], AbstractAsyncContextManager[Administration]]


@asynccontextmanager
async def open_administration(settings: Settings) -> AsyncIterator[Administration]:
    """
    Open the administrators' side; the embedded database is started, and stopped at the end.

    Raises:
        ConfigurationError: the settings name no database for the owner.
    """
    from genjobs.adapters.postgres import PostgresErasures, open_pool
    from genjobs.adapters.postgres.credentials import PostgresCredentials
    from genjobs.adapters.postgres.tenancy import PostgresTenancy
    from genjobs.adapters.public_keys import PemKeys

    async with AsyncExitStack() as stack:
        adapters = Adapters(settings, stack)
        urls = await adapters.database_urls()
        if urls.owner is None:
            raise ConfigurationError("GENJOBS_OWNER_DATABASE_URL is needed to administer")
        defaults = settings.default_limits()
        tenants = PostgresTenancy(urls.owner, defaults)
        # Nothing is connected before it is used.
        erasures = PostgresErasures(await stack.enter_async_context(open_pool(urls.owner, size=1)))
        yield Administration(
            tenants=AdministerTenants(
                tenants=tenants,
                catalogue=node_catalogue(settings),
                defaults=defaults,
                clock=adapters.clock(),
                ids=adapters.ids(),
            ),
            credentials=AdministerCredentials(
                tenants=tenants,
                credentials=PostgresCredentials(urls.owner),
                public_keys=PemKeys(),
                clock=adapters.clock(),
                random=secrets.token_bytes,
            ),
            users=AdministerUsers(
                tenants=tenants,
                erase_user=EraseUser(erasures=erasures, clock=adapters.clock(), ids=adapters.ids()),
                get_erasure=GetErasure(erasures=erasures),
            ),
        )
