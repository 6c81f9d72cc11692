"""Bring a database to this version's schema."""

from __future__ import annotations

import asyncio
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from genjobs.adapters.postgres.migrations import code_digest
from genjobs.adapters.postgres.owner_database import FAILURES, driver_error, owner_engine
from genjobs.adapters.postgres.revision import HEAD
from genjobs.adapters.postgres.tables import SCHEMA
from genjobs.domain.errors import Unavailable

#: Keeps upgrades of one database apart; any fixed number will do, this is "genjobs" as bytes.
_DATABASE_LOCK: Final = 0x67656E6A6F6273
#: Alembic keeps its context in a global, so a process runs one upgrade at a time.
_process_lock: Final = asyncio.Lock()


async def upgrade(owner_url: str) -> None:
    """
    Migrate the database at ``owner_url`` to this version's revision; any number may do so at once.

    A database that a later version has migrated is left as it is: two versions meet in every
    rolling deployment.

    The URL must be direct, never a transaction pooler: a session lock makes upgrades take turns.

    Raises:
        ConfigurationError: the URL is not one.
        Unavailable: the database cannot be reached, or refuses; nothing of a step that was begun
            is left.
    """
    engine = owner_engine(owner_url)
    try:
        async with _process_lock, engine.connect() as connection:
            await connection.run_sync(_upgrade)
    except FAILURES as exc:
        said = driver_error(exc)
        if said is None:
            raise Unavailable(f"The database cannot be reached: {type(exc).__name__}.") from exc
        hint = getattr(said, "hint", None)
        text = f"The database refused the upgrade: {said}" + (f" ({hint})" if hint else "")
        raise Unavailable(text) from exc
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    # Released with the connection, however this ends.
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _DATABASE_LOCK})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.commit()
    present = MigrationContext.configure(
        connection, opts={"version_table_schema": SCHEMA}
    ).get_current_revision()
    if present is not None and present > HEAD:
        return
    # The code changes between revisions too; which one the database has is said by the schema.
    digest = code_digest()
    found = connection.scalar(
        text("SELECT obj_description(cast(:schema AS regnamespace), 'pg_namespace')"),
        {"schema": SCHEMA},
    )
    if present == HEAD and found == digest:
        return
    config = Config()
    config.set_main_option("script_location", "genjobs.adapters.postgres:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
    connection.execute(text(f"COMMENT ON SCHEMA {SCHEMA} IS '{digest}'"))
    connection.commit()
