"""
What a connection may do before a request is one: how long its head may take, how large it may be.

uvicorn bounds neither, and does not notice a peer that is gone or reads no more. Bodies are bounded
in ``api.middleware``, where more is known of them.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from asyncio.events import TimerHandle
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from genjobs.api import problems
from genjobs.api.context import set_request_id

#: What a peer is probed with that says nothing; only there where the system has it.
_PROBES: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class _TooLarge(Exception):
    """The head is larger than allowed."""


class GuardedProtocol(HttpToolsProtocol):
    """
    HTTP/1.1 as uvicorn serves it, within bounds.

    What is not HTTP, or beyond a bound, is answered with a problem document, and the connection is
    closed. A connection on which nothing was sent at all is closed without a word.
    """

    #: From the connection, or the first byte of a further request, to the end of its head.
    head_seconds: ClassVar[float] = 15.0
    #: Request line and fields together.
    max_head_bytes: ClassVar[int] = 64 * 1024
    #: How long bytes that we sent may stay without an acknowledgement, or find no room.
    unread_seconds: ClassVar[float] = 60.0

    _head_bytes = 0
    #: Whether the head of a request is awaited or under way.
    _in_head = True
    _too_large = False
    _head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count the time, and have the system find out about peers that are gone."""
        super().connection_made(transport)
        self._await_head()
        opened = transport.get_extra_info("socket")
        if opened is None or opened.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        options = {**_PROBES, "TCP_USER_TIMEOUT": round(self.unread_seconds * 1000)}
        for name, value in options.items():
            if hasattr(socket, name):
                opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; refuse a head that grows too large before it has ended."""
        if self._in_head:
            if self._head_timer is None:  # a further request on this connection
                self._await_head()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.max_head_bytes:
            self._refuse("headers_too_large")

    def on_headers_complete(self) -> None:
        """Serve the request, unless its head is too large."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.max_head_bytes:
            self._too_large = True
            raise _TooLarge
        self._in_head = False
        self._forget_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Await the next head, at the latest when uvicorn's limit for idle connections ends."""
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def send_400_response(self, msg: str) -> None:
        """Refuse what uvicorn cannot read."""
        self._refuse("headers_too_large" if self._too_large else "malformed_http")

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_seconds, self._out_of_time)

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _out_of_time(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse("request_timeout")
        else:
            self.transport.close()

    def _refuse(self, code: str) -> None:
        self._forget_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # else its answer is under way
            set_request_id(f"req_{uuid.uuid4().hex}")
            answer = problems.of_http_code(code, headers={"Connection": "close"})
            fields: list[tuple[bytes, bytes]] = answer.raw_headers
            head = b"".join(b"%s: %s\r\n" % field for field in fields)
            self.transport.write(STATUS_LINE[answer.status_code] + head + b"\r\n" + answer.body)
        self.transport.close()


def guarded(**bounds: Any) -> type[GuardedProtocol]:
    """Return the protocol with other bounds, by the names of its attributes."""
    return type("GuardedProtocol", (GuardedProtocol,), bounds)
