"""
Real Postgres for tests: one server, a migrated template, an emptied database for each test.

The server is ``GENJOBS_TEST_DATABASE_URL`` (a superuser's) or an embedded one. There is no skip:
tests without Postgres would prove nothing.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from genjobs.adapters.local.embedded_postgres import embedded_postgres
from genjobs.adapters.postgres import administration, migrate
from genjobs.adapters.postgres.pool import Pool, connect_arguments, open_pool
from genjobs.adapters.postgres.tenancy import PostgresTenancy
from genjobs.domain.ids import TenantId
from genjobs.domain.plans import DefaultLimits
from genjobs.testing.clock import BEGINNING
from genjobs.testing.factories import a_tenant_id
from tests import environment

_WINDOW = 8
#: What a test leaves is a few rows, and deleting those is ten times faster than TRUNCATE, which
#: makes new files; only a test that left many rows is cleaned up after with that.
_EMPTY = f"""
DO $$
DECLARE
    v_table regclass;
BEGIN
    SET LOCAL session_replication_role = replica;  -- each table by itself: no foreign keys
    FOR v_table IN SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = 'genjobs'::regnamespace AND c.relkind = 'r'
          AND c.relname <> 'alembic_version'
    LOOP
        IF pg_relation_size(v_table) > 2000000 THEN
            EXECUTE format('TRUNCATE %s CASCADE', v_table);
        ELSE
            EXECUTE format('DELETE FROM %s', v_table);
        END IF;
    END LOOP;
    INSERT INTO genjobs.supervision DEFAULT VALUES;
    INSERT INTO genjobs.slots (slot_no) SELECT generate_series(1, {_WINDOW});
END $$
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database under test, for the three roles and the superuser."""

    name: str
    admin: str
    owner: str
    api: str
    worker: str

    async def make_tenant(self, tenant_id: TenantId) -> None:
        """Make a tenant without limits."""
        tenancy = PostgresTenancy(self.owner, DefaultLimits())
        await tenancy.ensure_tenant(tenant_id, f"test {tenant_id}", BEGINNING)

    async def make_two_tenants(self) -> tuple[TenantId, TenantId]:
        """Make two tenants without limits."""
        tenants = (a_tenant_id(), a_tenant_id())
        for tenant in tenants:
            await self.make_tenant(tenant)
        return tenants

    @asynccontextmanager
    async def open_pools(self) -> AsyncIterator[tuple[Pool, Pool]]:
        """Open the API's pool and the workers'; no connection is left checked out at the end."""
        async with open_pool(self.api) as api, open_pool(self.worker) as worker:
            yield api, worker
            assert api.in_use() == worker.in_use() == 0

    async def execute(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Run a statement as superuser."""
        connection = await asyncpg.connect(**connect_arguments(self.admin))
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
async def server(anyio_backend: str) -> AsyncIterator[str]:
    """The URL of a superuser on some database of the server."""
    async with AsyncExitStack() as stack:
        if environment.DATABASE_URL is not None:
            yield environment.DATABASE_URL
            return
        # One server for all test processes of this user; the last one stops it.
        folder = Path(tempfile.gettempdir()) / f"genjobs-tests-{os.getuid()}"
        urls = await stack.enter_async_context(embedded_postgres(folder))
        await _hasten(urls.admin)
        yield urls.admin


async def _hasten(url: str) -> None:
    """Let the server wait for no disk: what a test keeps need not outlive the machine."""
    admin = await asyncpg.connect(**connect_arguments(url))
    try:
        for setting in ("fsync", "full_page_writes"):
            await admin.execute(f"ALTER SYSTEM SET {setting} = off")
        await admin.execute("SELECT pg_reload_conf()")
    finally:
        await admin.close()


@asynccontextmanager
async def fresh_database(server: str) -> AsyncIterator[Database]:
    """A new, empty database on the server, with the three roles."""
    name = f"genjobs_test_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(**connect_arguments(server))
    try:
        for role in ("genjobs_owner", "genjobs_api", "genjobs_worker"):
            try:
                await admin.execute(f"CREATE ROLE {role} LOGIN")
            except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
                # Roles belong to the server, and two test processes may not alter one at once.
                async with admin.transaction():
                    await admin.execute("SELECT pg_advisory_xact_lock(1)")
                    await admin.execute(f"ALTER ROLE {role} LOGIN")
        await admin.execute(f"CREATE DATABASE {name} OWNER genjobs_owner")
        try:
            yield Database(
                name=name,
                admin=_url(server, None, name),
                owner=_url(server, "genjobs_owner", name),
                api=_url(server, "genjobs_api", name),
                worker=_url(server, "genjobs_worker", name),
            )
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture(scope="session")
async def migrated(server: str) -> AsyncIterator[Database]:
    """A migrated database, one for each test process."""
    async with fresh_database(server) as database:
        await migrate.upgrade(database.owner)
        await administration.set_window(database.owner, _WINDOW)
        yield database


@pytest.fixture
async def database(migrated: Database) -> Database:
    """The migrated database, emptied."""
    await migrated.execute(_EMPTY)
    return migrated


def _url(server: str, role: str | None, name: str) -> str:
    address = connect_arguments(server)
    role = role or address["user"]
    if str(address["host"] or "").startswith("/"):
        return f"postgresql+asyncpg://{role}@/{name}?host={quote(address['host'])}"
    port = f":{address['port']}" if address["port"] else ""
    return f"postgresql+asyncpg://{role}@{address['host']}{port}/{name}"
