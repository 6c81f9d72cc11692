"""
The connection pool: one place where asyncpg is set up, and where its errors become genjobs'.

Which statements run on it is in the store and the ledger.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit
from weakref import WeakKeyDictionary

import asyncpg
import structlog

from genjobs.domain.errors import ConfigurationError, Unavailable

_CONNECT_SECONDS: Final = 5.0
_ACQUIRE_SECONDS: Final = 5.0
_COMMAND_SECONDS: Final = 15.0
_CLOSE_SECONDS: Final = 3.0
_FORM: Final = (
    "a database URL must look like postgresql+asyncpg://user:password@host:port/database, with "
    "characters in the password percent-encoded that mean something in URLs"
)
_TRIES: Final = 8  # of a transaction that lost a race
_MAX_PAUSE: Final = 0.25  # seconds

_T = TypeVar("_T")
Record = asyncpg.Record
_log = structlog.get_logger(__name__)

#: Another transaction was in the way: trying again is the cure (serialization, deadlock).
_RACES: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_OUTAGES: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.StatementCompletionUnknownError,
    asyncpg.exceptions.InternalClientError,
)
#: The server answers, but not to this login or not with this database: an operator's mistake, or
#: a failover on its way (a standby refuses to write).
_NOT_READY: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,
)
NOT_MIGRATED: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
)


class Pool:
    """Runs single statements, each a round trip on a pooled connection."""

    def __init__(
        self,
        pool: asyncpg.Pool[Record],
        made: WeakKeyDictionary[asyncpg.Connection[Record], float],
        command_seconds: float,
    ) -> None:
        """Take a pool, and when it made each of its connections."""
        self._pool = pool
        self._made = made
        self._command_seconds = command_seconds
        #: Server processes whose connections run a statement now. A count, for a connection may
        #: be taken again before who had it has done with it.
        self._busy: Counter[int] = Counter()

    def in_use(self) -> int:
        """Return how many connections run a statement now."""
        return self._pool.get_size() - self._pool.get_idle_size()

    async def rows(
        self, statement: str, *values: Any, seconds: float | None = None
    ) -> list[Record]:
        """
        Return the rows of a statement; a lost race is tried again.

        ``seconds`` is how long it may take once it has a connection, if that is less than usual.

        Raises:
            Unavailable: the database cannot be reached, does not answer in time, or has not the
                schema that the statement needs. Whether it took effect is then not known.
        """
        most = self._command_seconds if seconds is None else min(seconds, self._command_seconds)

        async def once(connection: asyncpg.pool.PoolConnectionProxy[Record]) -> list[Record]:
            return list(await connection.fetch(statement, *values, timeout=most))

        return await self._run(once)

    async def row(self, statement: str, *values: Any) -> Record | None:
        """Return the first row of a statement, None when there is none; raises as ``rows``."""
        found = await self.rows(statement, *values)
        return found[0] if found else None

    async def _run(
        self, once: Callable[[asyncpg.pool.PoolConnectionProxy[Record]], Awaitable[_T]]
    ) -> _T:
        for attempt in range(1, _TRIES + 1):
            try:
                # Not acquire(timeout=...): that makes a task for every statement.
                async with asyncio.timeout(_ACQUIRE_SECONDS):
                    connection = await self._pool.acquire()
                process, begun = connection.get_server_pid(), time.monotonic()
                self._busy[process] += 1
                try:
                    return await once(connection)
                except (asyncio.CancelledError, TimeoutError) as exc:
                    # Not asyncpg's way, which asks the server to cancel the statement and waits
                    # for that: one that has gone silent would hold the caller for ever.
                    connection.terminate()
                    if isinstance(exc, TimeoutError):
                        self._drop_idle(begun)
                    raise
                finally:
                    try:
                        await self._pool.release(connection)
                    finally:
                        self._busy[process] -= 1
                        if not self._busy[process]:
                            del self._busy[process]
            except _RACES as exc:
                if attempt == _TRIES:
                    raise Unavailable("The database is too busy just now.") from exc
                await asyncio.sleep(random.uniform(0, min(_MAX_PAUSE, 0.005 * 2**attempt)))  # noqa: S311
            except NOT_MIGRATED as exc:
                _log.error("database.not_migrated", reason=str(exc))
                raise Unavailable("The database has not this version's schema.") from exc
            except _NOT_READY as exc:
                _log.error("database.not_ready", reason=type(exc).__name__)
                raise Unavailable("The database is not ready for this service.") from exc
            except _OUTAGES as exc:
                _log.warning("database.unavailable", reason=type(exc).__name__)
                raise Unavailable("The database cannot be reached just now.") from exc
        raise AssertionError  # the loop returns or raises

    def _drop_idle(self, since: float) -> None:
        """
        Let go of idle connections after one fell silent; they are made anew when needed.

        What forgot that one on its way, such as a firewall, has forgotten the others as well, and
        each would cost a time-out of its own. Connections that were made ``since`` (monotonic) are
        proof of the contrary, and perhaps somebody's who has not begun to use them.
        """
        for connection, made_at in list(self._made.items()):
            if connection.is_closed() or made_at >= since:
                continue
            if connection.get_server_pid() not in self._busy:
                connection.terminate()


def connect_arguments(url: str) -> dict[str, Any]:
    """
    Return what asyncpg needs to find and enter the database.

    Raises:
        ConfigurationError: the URL is not of the form that is read; the message does not repeat it.
    """
    try:
        parsed = urlsplit(url)
        port = parsed.port
    except ValueError:  # a port that is none, half a pair of brackets
        raise ConfigurationError(_FORM) from None
    if parsed.scheme not in {"postgresql+asyncpg", "postgresql"} or not parsed.path.strip("/"):
        raise ConfigurationError(_FORM)
    query = dict(parse_qsl(parsed.query))
    return {
        "host": query.get("host") or parsed.hostname,
        "port": port,
        "user": unquote(parsed.username) if parsed.username else None,
        "password": unquote(parsed.password) if parsed.password else None,
        "database": unquote(parsed.path.strip("/")),
        "ssl": query.get("ssl") or query.get("sslmode"),
    }


def session_arguments(url: str) -> dict[str, Any]:
    """Return how asyncpg sets up every connection."""
    if dict(parse_qsl(urlsplit(url).query)).get("pooler") == "transaction":
        # The pooler knows no other settings, and statements that are planned each time anew need
        # none.
        return {"statement_cache_size": 0, "server_settings": {"application_name": "genjobs"}}
    return {
        "server_settings": {
            "application_name": "genjobs",
            # A prepared statement is planned once for all tenants, by statistics of some earlier
            # day; for the average tenant's few rows the planner would sort a big one's every time.
            # Whatever is ordered here has an index in that order to walk.
            "enable_bitmapscan": "off",
            "enable_sort": "off",
        }
    }


async def _keep(_: asyncpg.Connection[Any]) -> None:
    """
    Return a connection as it is: single statements leave nothing behind to be reset.

    asyncpg's own reset is another round trip after each of ours.
    """


@asynccontextmanager
async def open_pool(
    url: str, *, size: int = 10, command_seconds: float = _COMMAND_SECONDS
) -> AsyncIterator[Pool]:
    """
    Hold a pool for a URL of the form ``postgresql+asyncpg://user:password@host:port/database``.

    ``?host=<directory>`` names a Unix socket; ``?pooler=transaction`` says that a pooler may give
    every statement another connection, so that none is prepared on one. Nothing is connected
    before the first statement, so a process starts, and says that it is not ready, while the
    database is away.

    Raises:
        ConfigurationError: the URL is not one.
    """
    made: WeakKeyDictionary[asyncpg.Connection[Record], float] = WeakKeyDictionary()

    async def note(connection: asyncpg.Connection[Record]) -> None:
        made[connection] = time.monotonic()

    pool = asyncpg.create_pool(
        **connect_arguments(url),
        **session_arguments(url),
        min_size=0,
        max_size=size,
        timeout=_CONNECT_SECONDS,
        command_timeout=command_seconds,
        init=note,
        reset=_keep,
    )
    await pool
    try:
        yield Pool(pool, made, command_seconds)
    finally:
        with suppress(TimeoutError):
            # A database that has gone silent must not keep a process from ending.
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        pool.terminate()
