"""
Cancel notices by LISTEN on a connection of its own.

``genjobs.request_cancel`` sends one for each running job. A transaction pooler cannot carry them:
for its URL there is ``HeartbeatOnly``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import asyncpg
import structlog

from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.domain.ids import ExecutionId

CHANNEL: Final = "genjobs_cancel"
_CONNECT_SECONDS: Final = 5.0
#: How often a silent connection is asked for a sign of life: a dead one says nothing of itself.
_ASK: Final = timedelta(seconds=20)
_BACKOFF: Final = timedelta(seconds=0.5)
_LONGEST_BACKOFF: Final = timedelta(seconds=10)

_log = structlog.get_logger(__name__)


class PostgresCancelNotices:
    """The ``CancelNotices`` port; connects as the worker role."""

    def __init__(self, url: str) -> None:
        self._arguments = connect_arguments(url)

    async def listen(self, heard: Callable[[ExecutionId | None], None]) -> None:
        """See the port."""
        pause = _BACKOFF
        while True:
            try:
                connection = await asyncpg.connect(
                    **self._arguments,
                    timeout=_CONNECT_SECONDS,
                    command_timeout=_CONNECT_SECONDS,
                    server_settings={"application_name": "genjobs notices"},
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
                _log.info("cancel_notices.unavailable", reason=type(exc).__name__)
            else:
                pause = _BACKOFF
                await self._hold(connection, heard)
            await asyncio.sleep(pause.total_seconds())
            pause = min(2 * pause, _LONGEST_BACKOFF)

    async def _hold(
        self, connection: asyncpg.Connection[Any], heard: Callable[[ExecutionId | None], None]
    ) -> None:
        """Listen until the connection is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())

        def notice(*parts: object) -> None:
            with contextlib.suppress(ValueError):  # not one of ours
                heard(ExecutionId(UUID(str(parts[-1]))))

        try:
            await connection.add_listener(CHANNEL, notice)
            _log.info("cancel_notices.listening")
            heard(None)
            while not lost.is_set():
                try:
                    async with asyncio.timeout(_ASK.total_seconds()):
                        await lost.wait()
                except TimeoutError:
                    await connection.execute("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            _log.info("cancel_notices.lost", reason=type(exc).__name__)
        finally:
            connection.terminate()


class HeartbeatOnly:
    """The ``CancelNotices`` port where nothing carries them: cancels come with the heartbeat."""

    async def listen(self, heard: Callable[[ExecutionId | None], None]) -> None:
        """See the port; hears nothing."""
        await asyncio.Event().wait()


def carries_notices(url: str) -> bool:
    """Whether a database URL leads to the server itself, not to a transaction pooler."""
    return dict(parse_qsl(urlsplit(url).query)).get("pooler") != "transaction"
