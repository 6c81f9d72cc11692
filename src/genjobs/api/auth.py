"""
From the Authorization header to a principal with a scope.

A business route declares its scope with :func:`authorized`; a test fails for a route that does
not. Who a key belongs to is the ``Authenticator`` port's to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request
from fastapi.security import HTTPBearer

from genjobs.api.context import context_of
from genjobs.domain.errors import Unauthenticated
from genjobs.domain.tenancy import Principal, Scope

#: Documents the scheme in OpenAPI; the header itself is read below.
BEARER: Final = HTTPBearer(
    auto_error=False, description="A tenant's API key: Authorization: Bearer <key>"
)
_MAX_TOKEN_CHARS: Final = 4096


class Authorized:
    """A dependency that returns the principal, or refuses it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        """Raise ``Unauthenticated`` or ``ScopeMissing`` unless the caller may do this."""
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN_CHARS:
            raise Unauthenticated
        principal = await context_of(request).genjobs.authenticator.authenticate(token)
        principal.require(self.scope)
        return principal


def authorized(scope: Scope) -> Callable[[Request], Awaitable[Principal]]:
    """Return the dependency for a route that needs ``scope``."""
    return Authorized(scope)
