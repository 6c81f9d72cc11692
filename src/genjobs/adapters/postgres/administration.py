"""What an administrator does to the database: tenants and the size of the dispatch window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from genjobs.adapters.postgres.tables import slots, tenants
from genjobs.domain.ids import TenantId


async def ensure_tenant(owner_url: str, tenant_id: TenantId, name: str) -> None:
    """Make the tenant unless it is there."""
    row = {"id": tenant_id, "name": name, "created_at": datetime.now(UTC)}
    async with _connection(owner_url) as connection:
        await connection.execute(upsert(tenants).values(row).on_conflict_do_nothing())


async def set_window(owner_url: str, size: int) -> None:
    """Make the dispatch window ``size`` slots; slots in use above it go when they are free."""
    async with _connection(owner_url) as connection:
        # Two at once would both count and both insert.
        await connection.execute(select(func.pg_advisory_xact_lock(0x736C6F7473)))
        present = set(await connection.scalars(select(slots.c.slot_no)))
        missing = [{"slot_no": number} for number in range(1, size + 1) if number not in present]
        if missing:
            await connection.execute(insert(slots), missing)
        await connection.execute(
            delete(slots).where(slots.c.slot_no > size, slots.c.job_id.is_(None))
        )


@asynccontextmanager
async def _connection(owner_url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(owner_url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()
