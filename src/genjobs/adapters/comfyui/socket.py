"""
The WebSocket beside a render: progress, and a hint that it has ended.

Never the truth: the socket may die, or fall silent while it stays open. A new client id is used
for each connection, because ComfyUI silences an id that a second socket has used.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from genjobs.adapters.comfyui.client import Unreachable

_OPEN_SECONDS: Final = 15.0
_MAX_MESSAGE: Final = 64 * 1024 * 1024  # previews and big graphs; the library's 1 MiB kills jobs
_ENDINGS: Final = frozenset({"execution_success", "execution_error", "execution_interrupted"})

_log = structlog.get_logger(__name__)


class RenderSocket:
    """One prompt's view of the socket."""

    def __init__(self, prompt_id: str, on_message: Callable[[str, Mapping[str, Any]], None]):
        self._prompt_id = prompt_id
        self._on_message = on_message
        #: Set when a message says that the prompt has ended; ``/history`` follows shortly.
        self.ended = asyncio.Event()
        #: Set when nothing more will come.
        self.closed = asyncio.Event()

    async def listen(self, connection: ClientConnection) -> None:
        """Read until the socket closes."""
        try:
            async for message in connection:
                if isinstance(message, str):  # binary messages are previews
                    self._heed(message)
        except WebSocketException as exc:
            _log.info("comfyui.socket_lost", reason=type(exc).__name__)
        finally:
            self.closed.set()

    def _heed(self, message: str) -> None:
        try:
            parsed = json.loads(message)
            kind, data = parsed["type"], parsed["data"]
            # Without a prompt id it may be about anybody's prompt.
            mine = data.get("prompt_id") == self._prompt_id
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        if not mine:
            return
        if kind in _ENDINGS or (kind == "executing" and data.get("node") is None):
            self.ended.set()
            return
        try:
            self._on_message(kind, data)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as exc:
            _log.info("comfyui.message_unreadable", kind=kind, reason=type(exc).__name__)


@asynccontextmanager
async def open_socket(
    url: str,
    client_id: str,
    prompt_id: str,
    on_message: Callable[[str, Mapping[str, Any]], None],
) -> AsyncIterator[RenderSocket]:
    """Hold a socket that reports on one prompt; ``Unreachable`` when it cannot be opened."""
    address = f"{url.replace('http', 'ws', 1)}/ws?{urlencode({'clientId': client_id})}"
    try:
        connection = await connect(
            address,
            open_timeout=_OPEN_SECONDS,
            close_timeout=1.0,
            max_size=_MAX_MESSAGE,
            max_queue=64,
            # Code that holds Python's lock answers no ping for long; silence is no proof of death.
            ping_interval=None,
            proxy=None,
        )
    except (OSError, TimeoutError, WebSocketException) as exc:
        raise Unreachable(type(exc).__name__, refused=isinstance(exc, OSError)) from exc
    socket = RenderSocket(prompt_id, on_message)
    listening = asyncio.create_task(socket.listen(connection))
    try:
        yield socket
    finally:
        listening.cancel()
        [ending] = await asyncio.gather(listening, return_exceptions=True)
        if isinstance(ending, Exception):
            _log.warning("comfyui.listener_failed", reason=type(ending).__name__)
        await connection.close()
