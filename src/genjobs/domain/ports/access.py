"""Ports to who may do what: keys, tokens, and the rules of a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import (
    IssuerKey,
    KeyRecord,
    TokenClaims,
    TokenHead,
    UserStanding,
)
from genjobs.domain.ids import TenantId
from genjobs.domain.plans import Usage
from genjobs.domain.tenancy import Owner, Reach


class KeyDirectory(Protocol):
    """
    Keys, as they are stored. All methods raise ``Unavailable`` when they cannot be read.

    Nothing here judges a key, and nothing here may cache one.
    """

    async def find_key(self, key_id: str) -> KeyRecord | None:
        """Return what is stored of an API key, revoked or not; None when there is no such id."""

    async def find_issuer_key(self, head: TokenHead) -> IssuerKey | None:
        """
        Return the public key that issuer and kid name.

        It must be None when that key is of another tenant than the one that ``head`` names.
        """

    async def touch(self, used: Mapping[str, tuple[TenantId, datetime]]) -> None:
        """Note when API keys were used last; an earlier time than the noted one changes nothing."""


class TenantDirectory(Protocol):
    """Rules and counts of one tenant. Methods raise ``Unavailable`` when they cannot be read."""

    async def narrowing(self, tenant_id: TenantId) -> Narrowing:
        """Return which node classes the tenant does without; ``Narrowing()`` when none."""

    async def standing(self, owner: Owner) -> UserStanding:
        """Return what tokens of the user are held to."""

    async def usage(self, reach: Reach, *, now: datetime) -> Usage:
        """
        Return limits and what is used of them: of the tenant, and of the user if one is named.

        ``tenant`` is None when there is no such tenant.
        """


class TokenCodec(Protocol):
    """Signs and reads end users' tokens (JWT)."""

    def sign(self, claims: TokenClaims) -> str:
        """Return the token, signed with the newest of our own keys; needs ``key_id``."""

    def read_own(self, token: str, *, now: datetime) -> TokenClaims | None:
        """
        Return the claims of a token that we signed; None when its issuer is somebody else.

        Raises:
            Unauthenticated: it claims to be ours and is not valid, or any required claim is
                missing or wrong; nothing says which.
        """

    def head(self, token: str) -> TokenHead:
        """Return who claims to have signed a token that is not ours; ``Unauthenticated`` if odd."""

    def read(self, token: str, key: IssuerKey, *, now: datetime) -> TokenClaims:
        """Return the claims of a token signed by ``key``; ``Unauthenticated`` otherwise."""
