"""
The WebSocket side: who is connected, who is told what, and in which order.

One publisher task sends everything, so every client sees one order. Kept from v0.26.0 on purpose:
the id of a client belongs to its newest socket, and closing *any* socket of that id forgets the id
(a stale socket's end makes the newer one silent); nothing is replayed on reconnecting; a message
without addressee goes to every socket.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import uuid
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from genjobs.simulator.faults import Faults

logger = logging.getLogger(__name__)

FEATURES: dict[str, Any] = {
    "supports_preview_metadata": True,
    "max_upload_size": 104857600,
    "extension": {"manager": {"supports_v4": True}},
    "node_replacements": True,
    "assets": False,
}

_PREVIEW_IMAGE = 1
_PREVIEW_IMAGE_WITH_METADATA = 4
_JPEG = 1

#: Longest wait for a client that does not read; it is dropped then. (The real server waits on.)
SEND_TIMEOUT_SECONDS = 10.0

Abort = Callable[[tuple[str, int]], None]


class _Socket:
    """One accepted connection."""

    def __init__(self, ws: WebSocket) -> None:
        self.ws = ws
        self.sent = 0
        self.silent = False
        self.supports_preview_metadata = False


class SocketHub:
    """
    Every open socket by client id.

    ``client_id`` and ``last_node_id`` are the executor's: whose prompt runs, and where it is.
    """

    def __init__(self, faults: Faults, queue_remaining: Callable[[], int]) -> None:
        self.client_id: str | None = None
        self.last_node_id: str | None = None
        #: Breaks a TCP connection without a close frame; set by the server that owns it.
        self.abort: Abort | None = None
        self._faults = faults
        self._queue_remaining = queue_remaining
        self._sockets: dict[str, _Socket] = {}
        self._messages: asyncio.Queue[tuple[str | bytes, str | None]] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._publisher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start publishing on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._publisher = self._loop.create_task(self._publish())

    async def stop(self) -> None:
        """Stop publishing; what was not sent yet is lost."""
        self._loop = None
        if self._publisher is not None:
            self._publisher.cancel()
            await asyncio.gather(self._publisher, return_exceptions=True)

    def send(self, event: str, data: dict[str, Any], sid: str | None = None) -> None:
        """Queue a message from any thread; without ``sid`` it goes to every socket."""
        self._enqueue(json.dumps({"type": event, "data": data}), sid)

    def send_status(self) -> None:
        """Tell every socket how many prompts wait or run."""
        self.send("status", {"status": self._queue_info()})

    def wants_preview_metadata(self) -> bool:
        """Return whether the running prompt's client announced that it reads preview metadata."""
        socket = self._sockets.get(self.client_id or "")
        return socket is not None and socket.supports_preview_metadata

    def send_preview(self, jpeg: bytes, metadata: dict[str, Any] | None) -> None:
        """Send a preview picture to the running prompt's client, or to all when it has none."""
        if metadata is None:
            head = struct.pack(">II", _PREVIEW_IMAGE, _JPEG)
        else:
            text = json.dumps({**metadata, "image_type": "image/jpeg"}).encode()
            head = struct.pack(">II", _PREVIEW_IMAGE_WITH_METADATA, len(text)) + text
        self._enqueue(head + jpeg, self.client_id)

    async def serve(self, ws: WebSocket) -> None:
        """Serve one connection until the client leaves."""
        sid = ws.query_params.get("clientId") or uuid.uuid4().hex
        await ws.accept()
        socket = _Socket(ws)
        self._sockets[sid] = socket
        try:
            await self._deliver(socket, _text("status", status=self._queue_info(), sid=sid))
            if self.client_id == sid and self.last_node_id is not None:
                await self._deliver(socket, _text("executing", node=self.last_node_id))
            await self._receive(socket)
        finally:
            self._sockets.pop(sid, None)  # whoever has the id now loses it: the stale-socket bug

    async def _receive(self, socket: _Socket) -> None:
        first = True
        while True:
            message = await socket.ws.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                data = json.loads(message.get("text") or "null")
            except ValueError:
                logger.debug("a client sent text that is not JSON")
                data = None
            if first and isinstance(data, dict) and data.get("type") == "feature_flags":
                flags = data.get("data", {})
                socket.supports_preview_metadata = bool(flags.get("supports_preview_metadata"))
                await self._deliver(socket, _text("feature_flags", **FEATURES))
            first = False

    def _queue_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self._queue_remaining()}}

    def _enqueue(self, message: str | bytes, sid: str | None) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._messages.put_nowait, (message, sid))

    async def _publish(self) -> None:
        while True:
            message, sid = await self._messages.get()
            if sid is None:
                targets = list(self._sockets.values())
            else:
                targets = [self._sockets[sid]] if sid in self._sockets else []
            for socket in targets:
                await self._deliver(socket, message)

    async def _deliver(self, socket: _Socket, message: str | bytes) -> None:
        await self._faults.wait_until_thawed()
        socket.sent += 1
        action = None if socket.silent else self._faults.take_socket_action(socket.sent)
        if action == "silence":
            socket.silent = True
        if socket.silent:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                if action == "drop":
                    await self._drop(socket.ws)
                elif isinstance(message, bytes):
                    await socket.ws.send_bytes(message)
                else:
                    await socket.ws.send_text(message)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:  # TimeoutError included
            logger.debug("a socket could not be sent to: %r", error)
            socket.silent = True

    async def _drop(self, ws: WebSocket) -> None:
        if self.abort is not None and ws.client is not None:
            self.abort((ws.client.host, ws.client.port))
        else:
            await ws.close(1011)


def _text(event: str, **data: Any) -> str:
    return json.dumps({"type": event, "data": data})
