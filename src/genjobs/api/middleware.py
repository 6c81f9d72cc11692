"""
The outermost ring: request ids, limits of bodies, security headers, a log line for each request.

Reads that succeed are logged at debug level only. Pure ASGI, so that it costs little and does not
buffer. Nothing logged here holds a query, a credential or a user.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genjobs.api import problems
from genjobs.api.context import set_request_id

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
#: What the log says of a caller who went away; nginx's number for it.
_GONE: Final = 499
_log = structlog.get_logger(__name__)


class _Refused(Exception):
    """The body is beyond a limit; the first argument is the code."""


class _Body:
    """A request's body as it comes: held to a size, to how long it is silent, and takes in all."""

    def __init__(self, receive: Receive, most: int, silence: float, longest: float) -> None:
        self._receive = receive
        self._most = most
        self._silence = silence
        self._longest = longest
        self._coming = True
        self._seen = 0
        self._until = 0.0

    async def receive(self) -> Message:
        """Return the next message, as ASGI's ``receive`` does."""
        if not self._coming:  # the end is awaited, of a peer that may stay as long as it likes
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + self._longest
        try:
            async with asyncio.timeout_at(min(now + self._silence, self._until)):
                message = await self._receive()
        except TimeoutError:
            raise _Refused("request_timeout") from None
        self._coming = message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._seen > self._most:
            raise _Refused("body_too_large")
        return message


class Edge:
    """
    The ASGI middleware around the whole application.

    A body may have ``max_body_bytes``, be silent for ``silence`` seconds, and take ``longest``
    seconds in all.
    """

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: int, silence: float = 20.0, longest: float = 120.0
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._silence = silence
        self._longest = longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        name = given if _SANE_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        set_request_id(name)
        begun = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", name.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            await self._app(scope, self._held(scope, headers, receive), sending)
        except _Refused as refused:
            await self._refuse(str(refused), status, scope, receive, sending)
        except ClientDisconnect:
            status = _GONE  # for the log: there is nobody to answer
        except Exception:
            # The edge of the process: whatever was not foreseen is logged here, once, and the
            # caller learns nothing of it.
            _log.exception("api.crashed", request_id=name, path=scope["path"])
            await self._refuse("internal_error", status, scope, receive, sending)
        finally:
            # Reads that succeed are most of the traffic, and polling: only of use when debugging.
            log = _log.debug if scope["method"] == "GET" and 200 <= status < 400 else _log.info
            log(
                "api.request",
                request_id=name,
                method=scope["method"],
                # The template, not the path: it holds no ids.
                route=getattr(scope.get("route"), "path", None),
                status=status,
                milliseconds=round((time.perf_counter() - begun) * 1000, 1),
            )

    def _held(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """Return what receives the body within its limits; refuse one that is declared larger."""
        # Behind a signed URL the signature says how long a body may be, and the route holds it to
        # that, and to limits of time, before it reads any of it.
        if scope["method"] == "PUT" and scope["path"].startswith("/files/"):
            return receive
        if _declared(headers) > self._max_body_bytes:
            raise _Refused("body_too_large")
        return _Body(receive, self._max_body_bytes, self._silence, self._longest).receive

    async def _refuse(
        self, code: str, status: int, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if status:  # an answer is already under way: cutting it short is all that is left
            return
        response = problems.of_http_code(code, headers={"Connection": "close"})
        await response(scope, receive, send)


def _declared(headers: dict[bytes, bytes]) -> float:
    length = headers.get(b"content-length", b"0")
    # As a float: Python makes no integer of thousands of digits, and says so by an error.
    return float(length) if length.isdigit() else 0
