"""
The ``DatabaseExaminer`` port: what a login of the database is, may do, and is connected through.

Reads catalogues only. Each statement is in a transaction of its own and prepared by no name, so
that it works behind any pooler.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.domain.errors import Unavailable
from genjobs.domain.ports import LoginFacts, NotReached, SchemaFacts

_SECONDS: Final = 5.0
#: Turns of two connections; a pooler whose free connections others take may need several.
_TURNS: Final = 6
#: Values of ``ssl`` or ``sslmode`` with which the driver never goes on in clear.
_ENCRYPTED: Final = frozenset({"require", "verify-ca", "verify-full"})

_LOGIN: Final = """
WITH ours AS (SELECT oid, nspowner FROM pg_namespace WHERE nspname = 'genjobs'),
     jobs AS (SELECT c.oid FROM pg_class c JOIN ours ON ours.oid = c.relnamespace
              WHERE c.relname = 'jobs'),
     uses AS (SELECT bool_and(has_schema_privilege(ours.oid, 'USAGE')) AS it FROM ours)
SELECT current_user AS login, current_setting('server_version_num')::int AS server_version,
    clock_timestamp() AS now, r.rolsuper AS superuser, r.rolbypassrls AS bypasses_rls,
    EXISTS (SELECT FROM pg_roles p WHERE (p.rolsuper OR p.rolbypassrls) AND p.oid <> r.oid
            AND pg_has_role(r.oid, p.oid, 'MEMBER')) AND NOT r.rolsuper AS may_become_powerful,
    EXISTS (SELECT FROM pg_class c JOIN ours ON ours.oid = c.relnamespace
            WHERE pg_has_role(r.oid, c.relowner, 'MEMBER')) AS owns_tables,
    (SELECT pg_has_role(r.oid, nspowner, 'MEMBER') FROM ours) AS owns_schema,
    (SELECT pg_has_role(r.oid, oid, 'MEMBER') FROM pg_roles WHERE rolname = 'genjobs_api')
        AS is_api,
    (SELECT pg_has_role(r.oid, oid, 'MEMBER') FROM pg_roles WHERE rolname = 'genjobs_worker')
        AS is_worker,
    has_database_privilege(current_database(), 'CREATE') AS creates_in_database,
    r.rolcreaterole AS creates_roles,
    (SELECT uses.it AND has_table_privilege(jobs.oid, 'SELECT') FROM jobs, uses) AS reads_jobs,
    (SELECT bool_and(uses.it AND has_function_privilege(p.oid, 'EXECUTE'))
        FROM pg_proc p JOIN ours ON ours.oid = p.pronamespace, uses
        WHERE p.proname = 'create_job') AS makes_jobs,
    (SELECT bool_and(uses.it AND has_function_privilege(p.oid, 'EXECUTE'))
        FROM pg_proc p JOIN ours ON ours.oid = p.pronamespace, uses
        WHERE p.proname = 'dispatch') AS dispatches,
    (SELECT row_security_active(oid) FROM jobs) AS walled,
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int AS most_connections
FROM pg_roles r WHERE r.rolname = current_user
"""
_HAS_REVISION: Final = """
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'genjobs' AND c.relname = 'alembic_version')
"""
_REVISION: Final = """
SELECT version_num AS revision,
    (SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'genjobs')
        AS code
FROM genjobs.alembic_version
"""


def tls_of(url: str) -> str:
    """Return what a URL asks of the way: ``local``, ``required`` or ``optional``."""
    arguments = connect_arguments(url)
    host = arguments["host"] or ""
    if not host or host.startswith("/") or host in {"localhost", "127.0.0.1", "::1"}:
        return "local"
    return "required" if arguments["ssl"] in _ENCRYPTED else "optional"


class PostgresExaminer:
    """Looks at what a URL leads to."""

    def __init__(self, url: str) -> None:
        self._arguments = connect_arguments(url)

    async def login(self) -> LoginFacts | NotReached:
        """See the port."""
        try:
            async with self._connected() as connection:
                row = await _row(connection, _LOGIN)
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError):
            return NotReached(code="database_login_refused", seen="the server refuses the login")
        except asyncpg.InvalidCatalogNameError:
            return NotReached(code="database_missing", seen="the server has no such database")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            return NotReached(code="database_unreachable", seen=type(exc).__name__)
        if row is None:  # only when the role was dropped this moment
            return NotReached(code="database_login_refused", seen="the login is gone")
        return LoginFacts(**dict(row))

    async def schema(self) -> SchemaFacts:
        """See the port."""
        try:
            async with self._connected() as connection:
                found = await _row(connection, _HAS_REVISION)
                if found is None or not found[0]:
                    return SchemaFacts(revision=None, code=None)
                row = await _row(connection, _REVISION)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise Unavailable(
                f"The schema's revision cannot be read: {type(exc).__name__}."
            ) from exc
        return SchemaFacts(
            revision=None if row is None else row["revision"],
            code=None if row is None else row["code"],
        )

    async def is_shared(self) -> bool:
        """See the port: two of our connections that meet the same process of the server."""
        statement = "SELECT pg_backend_pid()"
        met: tuple[set[int], set[int]] = (set(), set())
        try:
            async with self._connected() as first, self._connected() as second:
                for _ in range(_TURNS):
                    for connection, pids in zip((first, second), met, strict=True):
                        row = await _row(connection, statement)
                        pids.add(0 if row is None else int(row[0]))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise Unavailable(f"The database lets no two in: {type(exc).__name__}.") from exc
        return bool(met[0] & met[1]) or any(len(pids) > 1 for pids in met)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        connection = await asyncpg.connect(
            **self._arguments,
            timeout=_SECONDS,
            command_timeout=_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": "genjobs doctor"},
        )
        try:
            yield connection
        finally:
            try:
                await connection.close(timeout=1)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()  # nobody waits for a goodbye


async def _row(connection: asyncpg.Connection[Any], statement: str) -> asyncpg.Record | None:
    # A pooler keeps one server for a transaction, and only for that.
    async with connection.transaction(readonly=True):
        return await connection.fetchrow(statement)
