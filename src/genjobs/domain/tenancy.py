"""
Tenants, users and principals: who asks, and whose jobs they may touch.

How a bearer key becomes a :class:`Principal` is an adapter's business (port ``Authenticator``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from genjobs.domain.errors import InvalidRequest, NotFound, ScopeMissing
from genjobs.domain.ids import TenantId

USER_ID_PATTERN: Final = r"^[A-Za-z0-9._:@-]{1,128}$"
_USER_ID: Final = re.compile(r"[A-Za-z0-9._:@-]{1,128}")


class Scope(StrEnum):
    """What a key may do."""

    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    #: Reads across the tenant's users.
    TENANT_READ = "tenant:read"
    #: Makes short-lived tokens for end users.
    TOKENS_WRITE = "tokens:write"
    #: Erases a user with all that is theirs.
    USERS_ERASE = "users:erase"


_KNOWN: Final = frozenset(Scope)


def known_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes among ``names``: those of a later version mean nothing to this one."""
    return frozenset(Scope(name) for name in names if name in _KNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The tenant and user that a job belongs to; every file and row of the job carries both."""

    tenant_id: TenantId
    user_id: str

    def __post_init__(self) -> None:
        if not _USER_ID.fullmatch(self.user_id):
            raise InvalidRequest(
                "user_id must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -", pointer="/user_id"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a caller may see: one user's jobs, or with ``user_id`` None the whole tenant's."""

    tenant_id: TenantId
    user_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller: a key of one tenant, possibly bound to one of its users."""

    tenant_id: TenantId
    key_id: str
    scopes: frozenset[Scope]
    #: Set when the credential itself names the user (an end-user token).
    user_id: str | None = None

    def require(self, scope: Scope) -> None:
        """Raise :class:`ScopeMissing` unless the key has ``scope``."""
        if scope not in self.scopes:
            raise ScopeMissing(f"This request needs a key with the scope {scope.value}.")

    def owner(self, user_id: str | None) -> Owner:
        """
        Return the owner of what this caller creates.

        Raises:
            InvalidRequest: no user is named by the request or the credential.
            NotFound: the credential belongs to another user.
        """
        return Owner(tenant_id=self.tenant_id, user_id=self._user(user_id, required=True) or "")

    def reach(self, user_id: str | None) -> Reach:
        """
        Return what this caller may see; the whole tenant only with ``tenant:read`` and no user.

        Raises:
            InvalidRequest: no user is named and the key lacks ``tenant:read``.
            NotFound: the credential belongs to another user.
        """
        required = Scope.TENANT_READ not in self.scopes
        named = self._user(user_id, required=required)
        if named is not None:
            Owner(tenant_id=self.tenant_id, user_id=named)  # one rule for what a user id is
        return Reach(tenant_id=self.tenant_id, user_id=named)

    def _user(self, named: str | None, *, required: bool) -> str | None:
        if self.user_id is not None:
            if named not in (None, self.user_id):
                raise NotFound
            return self.user_id
        if named is None and required:
            raise InvalidRequest("user_id is required", pointer="/user_id")
        return named
