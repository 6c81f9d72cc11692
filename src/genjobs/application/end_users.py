"""Let in end users only, and only to read: for what those reach who hold nothing but a token."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from genjobs.domain.errors import Unauthenticated
from genjobs.domain.ports import Authenticator
from genjobs.domain.tenancy import Principal, Scope

_KEYS: Final = "gj_"
_GRANTED: Final = frozenset({Scope.JOBS_READ})


@dataclass(frozen=True, slots=True)
class EndUsersOnly:
    """The ``Authenticator`` port over another one: of its principals those of tokens, reading."""

    inner: Authenticator

    async def authenticate(self, token: str, *, client: str | None = None) -> Principal:
        """See the port; a tenant's key is not even looked up, so a valid one looks like any."""
        if token.startswith(_KEYS):
            raise Unauthenticated
        principal = await self.inner.authenticate(token, client=client)
        if principal.user_id is None:
            raise Unauthenticated
        return dataclasses.replace(principal, scopes=principal.scopes & _GRANTED)
