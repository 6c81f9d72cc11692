"""What an administrator does to the dispatch window. Tenants are in ``tenancy``."""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select, update

from genjobs.adapters.postgres.owner_database import OwnerDatabase
from genjobs.adapters.postgres.tables import slots, supervision


async def set_window(owner_url: str, size: int) -> None:
    """
    Make the dispatch window ``size`` slots.

    Slots in use above it are not given out again; the supervisor's next tick after they have become
    free removes them.
    """
    database = OwnerDatabase(owner_url)
    # By itself: who holds this row must not wait for slots, which dispatchers lock before.
    async with database.transaction() as connection:
        await connection.execute(update(supervision).values(window_size=size))
    async with database.transaction() as connection:
        # Two at once would both count and both insert.
        await connection.execute(select(func.pg_advisory_xact_lock(0x736C6F7473)))
        present = set(await connection.scalars(select(slots.c.slot_no)))
        missing = [{"slot_no": number} for number in range(1, size + 1) if number not in present]
        if missing:
            await connection.execute(insert(slots), missing)
        await connection.execute(
            delete(slots).where(slots.c.slot_no > size, slots.c.job_id.is_(None))
        )
