"""A Postgres of the run's own that can be stopped, and a record of what its rows went through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from genjobs.adapters.local.embedded_postgres import EmbeddedUrls, embedded_postgres
from genjobs.adapters.local.postgres_binaries import find_binaries
from genjobs.adapters.postgres.pool import connect_arguments

#: What a connection meets while Postgres is stopped, besides OSError.
POSTGRES_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError)

#: Every change of a state, and every change of a job that is final, in the same transaction.
_RECORD = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.changes (
    number bigserial, tenant_id uuid, job_id uuid, was text, became text,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION chaos.record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.changes (tenant_id, job_id, was, became)
    VALUES (NEW.tenant_id, NEW.id, OLD.status, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_record AFTER UPDATE ON genjobs.jobs FOR EACH ROW
WHEN (OLD.status <> NEW.status OR OLD.status IN ('completed', 'failed', 'cancelled'))
EXECUTE FUNCTION chaos.record();

-- Until when an execution had its lease when its slot was freed.
CREATE TABLE chaos.leases (execution_id uuid, expires_at timestamptz);
CREATE FUNCTION chaos.record_lease() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO chaos.leases VALUES (OLD.execution_id, OLD.lease_expires_at);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_record AFTER UPDATE ON genjobs.slots FOR EACH ROW
WHEN (OLD.execution_id IS NOT NULL AND NEW.execution_id IS NULL)
EXECUTE FUNCTION chaos.record_lease();
"""


@dataclass(slots=True, kw_only=True)
class Cluster:
    """The server, and a superuser's way in."""

    urls: EmbeddedUrls
    folder: Path
    _stack: AsyncExitStack
    #: How often it was stopped.
    stops: int = 0
    #: Begin and end of each time that it was away.
    away: list[tuple[float, float]] = field(default_factory=list)

    @property
    def log(self) -> str:
        """What the server has printed."""
        return (self.folder / "cluster" / "server.log").read_text(errors="replace")

    async def stop_at_once(self) -> None:
        """Stop it in immediate mode: as a crash, without a word to anybody."""
        cluster = self.folder / "cluster"
        await asyncio.to_thread(
            find_binaries().run,
            "pg_ctl",
            *("stop", "-D", cluster, "-m", "immediate", "-w", "-t", "20"),
            timeout=30,
        )
        self.stops += 1

    async def start(self) -> None:
        """Start it again; it recovers first."""
        await self._stack.enter_async_context(embedded_postgres(self.folder))

    async def rows(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Run a statement as superuser."""
        admin = connect_arguments(self.urls.owner) | {"user": "postgres"}
        connection = await asyncpg.connect(**admin, timeout=20, command_timeout=60)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def record_changes(self) -> None:
        """Begin to record."""
        admin = connect_arguments(self.urls.owner) | {"user": "postgres"}
        connection = await asyncpg.connect(**admin, timeout=20)
        try:
            await connection.execute(_RECORD)
        finally:
            await connection.close()


@asynccontextmanager
async def open_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Hold a running cluster in ``folder``, which every user may enter."""
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(embedded_postgres(folder))
        yield Cluster(urls=urls, folder=folder, _stack=stack)
