"""The database as its owner reaches it, for administration: one connection for each transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy import Executable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from genjobs.adapters.postgres.pool import NOT_MIGRATED, connect_arguments
from genjobs.domain.errors import Unavailable

#: What the driver and SQLAlchemy raise when the database is away, refuses, or fails.
FAILURES: Final = (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)
_CONNECT_SECONDS: Final = 5.0
_COMMAND_SECONDS: Final = 30.0
Row = Mapping[str, Any]


class OwnerDatabase:
    """Runs transactions; ``Unavailable`` when the database cannot be reached or refuses."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def rows(self, wanted: Executable) -> Sequence[Row]:
        """Return the rows of one statement."""
        async with self.transaction() as connection:
            return [dict(row) for row in (await connection.execute(wanted)).mappings()]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Hold a connection; what is done on it is done together, or not at all."""
        engine = owner_engine(self._url, command_seconds=_COMMAND_SECONDS)
        try:
            async with engine.begin() as connection:
                yield connection
        except FAILURES as exc:
            cause = driver_error(exc)
            if isinstance(cause, NOT_MIGRATED):
                raise Unavailable(
                    "The database has not this version's schema: run `genjobs db upgrade`."
                ) from exc
            raise Unavailable("The database cannot be reached, or refuses this role.") from exc
        finally:
            await engine.dispose()


def owner_engine(url: str, *, command_seconds: float | None = None) -> AsyncEngine:
    """
    Return an engine that connects as the pools do: the URL is read by the same rules.

    Raises:
        ConfigurationError: the URL is not one.
    """
    return create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        hide_parameters=True,  # they hold digests, and users
        connect_args={
            **connect_arguments(url),
            "timeout": _CONNECT_SECONDS,
            "command_timeout": command_seconds,
        },
    )


def driver_error(exc: BaseException) -> asyncpg.PostgresError | None:
    """Return what the server said; SQLAlchemy keeps it, one of connecting comes by itself."""
    cause = exc.__cause__ if isinstance(exc, SQLAlchemyError) else exc
    while cause is not None and not isinstance(cause, asyncpg.PostgresError):
        cause = cause.__cause__
    return cause
