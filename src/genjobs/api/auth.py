"""
From the Authorization header to a principal with a scope.

A business route is declared with :func:`requires`; a test fails for a route that is not. Who a
key belongs to is the ``Authenticator`` port's to say.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

from genjobs.api import problems
from genjobs.api.context import reader_of
from genjobs.domain.errors import RateLimited, Unauthenticated
from genjobs.domain.tenancy import Principal, Scope

Handler = Callable[..., Awaitable[Response]]

_MAX_TOKEN_CHARS: Final = 4096


def requires(scope: Scope, *, throttled: bool = True) -> Callable[[Handler], Handler]:
    """
    Let only callers with ``scope`` reach a handler, and hand it their principal.

    Requests are counted against the caller's rate, unless the handler's own limits are exact.
    The handler takes ``request`` and ``principal`` first; FastAPI is not shown the principal.
    (A FastAPI dependency would do the same at a quarter of the cost of a read.)
    """

    def declare(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(request: Request, **parameters: Any) -> Response:
            principal = await _principal_of(request)
            principal.require(scope)
            if not throttled:
                return await handler(request, principal, **parameters)
            throttle = reader_of(request).throttle
            try:
                throttle.take(principal)
            except RateLimited:
                problems.add_to_refusal(request, throttle.fields(principal))
                raise
            response = await handler(request, principal, **parameters)
            response.headers.update(throttle.fields(principal))
            return response

        signature = inspect.signature(handler, eval_str=True)
        shown = [item for name, item in signature.parameters.items() if name != "principal"]
        guarded.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
        guarded.required_scope = scope  # type: ignore[attr-defined]
        return guarded

    return declare


async def _principal_of(request: Request) -> Principal:
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN_CHARS:
        raise Unauthenticated
    client = request.client.host if request.client else None
    return await reader_of(request).genjobs.authenticator.authenticate(token, client=client)
