"""What an administrator does to the dispatch window. Tenants are in ``tenancy``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from genjobs.adapters.postgres.tables import slots


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
