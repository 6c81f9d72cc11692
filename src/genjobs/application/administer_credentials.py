"""
What administrators do to API keys, a site's own signing keys, and the tokens of a user.

A new key's text leaves here once; what is stored of it is a digest. Nothing here is reached by a
request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from genjobs.application.administer_tenants import check_name
from genjobs.domain.administration import ListedIssuerKey, ListedKey
from genjobs.domain.credentials import (
    MOST_TOKEN_TEXT,
    OWN_ISSUER,
    TOKEN_SCOPES,
    IssuerKey,
    KeyRecord,
    KeyText,
)
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.ids import TenantId
from genjobs.domain.ports import (
    Clock,
    CredentialAdministration,
    PublicKeyReader,
    TenantAdministration,
)
from genjobs.domain.tenancy import Owner, Scope

_MOST_DAYS: Final = 3650
_RANDOM_BYTES: Final = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just made; its text is for its holder, and nowhere else."""

    text: KeyText
    record: KeyRecord
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministerCredentials:
    """The use cases."""

    tenants: TenantAdministration
    credentials: CredentialAdministration
    public_keys: PublicKeyReader
    clock: Clock
    #: So many bytes that nobody can guess.
    random: Callable[[int], bytes]

    async def create_key(
        self,
        tenant: str,
        scopes: Collection[str],
        *,
        name: str = "",
        live: bool = True,
        expires_days: int | None = None,
    ) -> NewKey:
        """
        Make a key of a tenant; it is never shown again.

        Raises:
            ConfigurationError: the name, a scope or the number of days cannot be.
            NotFound: there is no such tenant.
            Unavailable: the database cannot be reached; perhaps a key was made that nobody has.
        """
        if name:
            check_name(name, "a key's name")
        granted = scopes_of(scopes, frozenset(Scope))
        if expires_days is not None and not 1 <= expires_days <= _MOST_DAYS:
            raise ConfigurationError(f"a key may live for 1 to {_MOST_DAYS} days")
        found = await self.tenants.tenant_named(tenant)
        now = self.clock.now()
        text = KeyText.make(live=live, random=self.random(_RANDOM_BYTES))
        record = KeyRecord(
            id=text.id,
            tenant_id=found.id,
            live=live,
            secret_sha256=text.digest(),
            scopes=granted,
            expires_at=None if expires_days is None else now + timedelta(days=expires_days),
        )
        await self.credentials.add_key(record, name, now)
        return NewKey(text=text, record=record, name=name)

    async def list_keys(self, tenant: str | None) -> Sequence[ListedKey]:
        """Return keys, of one tenant or of all."""
        return await self.credentials.list_keys(await self._tenant_id(tenant))

    async def revoke_key(self, key_id: str) -> None:
        """
        Revoke a key, and with it all tokens that were made by it; repeating it is harmless.

        Raises:
            ConfigurationError: ``key_id`` is no id of a key; it is not repeated.
            NotFound: there is no such key.
        """
        if not KeyText.is_id(key_id):
            # Not repeated: it may be a whole key.
            raise ConfigurationError(
                "a key is revoked by its id, the 12 characters after gj_live_ or gj_test_; "
                "never give a whole key on a command line"
            )
        await self.credentials.revoke_key(key_id, self.clock.now())

    # -- a site's own signing keys --------------------------------------------------------------

    async def add_issuer_key(
        self,
        tenant: str,
        *,
        issuer: str,
        kid: str,
        algorithm: str,
        content: bytes,
        scopes: Collection[str],
    ) -> IssuerKey:
        """
        Let a site sign tokens of its own users with the private part of this key.

        ``content`` is the public part in PEM.

        Raises:
            ConfigurationError: a text, a scope or the key cannot be, or is registered already.
            NotFound: there is no such tenant.
        """
        for text, what in ((issuer, "the issuer"), (kid, "the key id")):
            if not 0 < len(text) <= MOST_TOKEN_TEXT or not text.isprintable() or " " in text:
                raise ConfigurationError(
                    f"{what} is 1 to {MOST_TOKEN_TEXT} printable characters without spaces"
                )
        if issuer == OWN_ISSUER:
            raise ConfigurationError(f"the issuer {OWN_ISSUER!r} is this service itself")
        granted = scopes_of(scopes, TOKEN_SCOPES)
        public_key = self.public_keys.read(content, algorithm)
        found = await self.tenants.tenant_named(tenant)
        key = IssuerKey(
            tenant_id=found.id,
            issuer=issuer,
            kid=kid,
            algorithm=algorithm,
            public_key=public_key,
            scopes=granted,
        )
        await self.credentials.add_issuer_key(key, self.clock.now())
        return key

    async def list_issuer_keys(self, tenant: str | None) -> Sequence[ListedIssuerKey]:
        """Return public keys, of one tenant or of all."""
        return await self.credentials.list_issuer_keys(await self._tenant_id(tenant))

    async def revoke_issuer_key(self, issuer: str, kid: str) -> None:
        """Revoke a public key, and with it all tokens that are signed by it."""
        await self.credentials.revoke_issuer_key(issuer, kid, self.clock.now())

    # -- tokens -------------------------------------------------------------------------------

    async def revoke_tokens(self, tenant: str, user_id: str) -> None:
        """Let all tokens of a user be dead that were made until now, whoever signed them."""
        found = await self.tenants.tenant_named(tenant)
        owner = Owner(tenant_id=found.id, user_id=user_id)
        await self.credentials.revoke_tokens(owner, self.clock.now())

    async def _tenant_id(self, name: str | None) -> TenantId | None:
        return None if name is None else (await self.tenants.tenant_named(name)).id


def scopes_of(names: Collection[str], allowed: frozenset[Scope]) -> frozenset[Scope]:
    """Return the scopes that are named; ``ConfigurationError`` for none, or one not allowed."""
    unknown = sorted(set(names) - {scope.value for scope in allowed})
    if unknown or not names:
        wrong = f"{unknown[0]!r} is no scope here" if unknown else "no scope is named"
        raise ConfigurationError(f"{wrong}; there are {', '.join(sorted(allowed))}")
    return frozenset(Scope(name) for name in names)
