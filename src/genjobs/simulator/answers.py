"""What every route has in common: bodies read with a limit, answers shaped like aiohttp's."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

logger = logging.getLogger(__name__)

#: Largest request body, in bytes (ComfyUI's ``--max-upload-size``, 100 MiB).
MAX_BODY_BYTES = 104857600

Endpoint = Callable[[Request], Awaitable[Response]]


class BodyTooLargeError(Exception):
    """The request body exceeds the limit."""


def json_answer(value: Any, status: int = 200) -> Response:
    """Return ``value`` as JSON."""
    text = json.dumps(value)
    return Response(text, status, media_type="application/json; charset=utf-8")


def server_error() -> Response:
    """Return the bare 500 of aiohttp."""
    text = "500 Internal Server Error\n\nServer got itself in trouble"
    return PlainTextResponse(text, 500)


async def limited_body(request: Request) -> AsyncIterator[bytes]:
    """
    Yield the body piece by piece.

    Raises:
        BodyTooLargeError: more than MAX_BODY_BYTES.

    """
    total = 0
    async for piece in request.stream():
        total += len(piece)
        if total > MAX_BODY_BYTES:
            raise BodyTooLargeError
        yield piece


async def read_json(request: Request) -> Any:
    """Return the body as JSON; raises ValueError when it is not."""
    return json.loads(b"".join([piece async for piece in limited_body(request)]))


def guarded(endpoint: Endpoint) -> Endpoint:
    """Turn what an endpoint raises into the answers of aiohttp."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BodyTooLargeError:
            text = f"Maximum request body size {MAX_BODY_BYTES} exceeded."
            return PlainTextResponse(text, 413)
        except (HTTPException, ClientDisconnect):
            raise
        except Exception:
            logger.debug("%s %s failed", request.method, request.url.path, exc_info=True)
            return server_error()

    return answer


async def plain_http_error(_request: Request, error: Exception) -> Response:
    """Return aiohttp's text for an unknown path or a wrong method."""
    if not isinstance(error, HTTPException):
        raise error
    return PlainTextResponse(f"{error.status_code}: {error.detail}", error.status_code)
