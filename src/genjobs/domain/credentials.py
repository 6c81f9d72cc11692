"""
Credentials: the text of an API key, and what is known of keys and of end users' tokens.

Pure. How keys are kept is the ``KeyDirectory`` port's, tokens are signed and read by a
``TokenCodec``, and who is let in is decided in ``application.authenticate``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from genjobs.domain.ids import TenantId
from genjobs.domain.tenancy import Scope

#: What tokens of end users may carry at most.
TOKEN_SCOPES: Final = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})
#: The longest life of a token, whoever signed it.
TOKEN_LIFE: Final = timedelta(hours=1)
#: Algorithms of a site's own signing keys; never one that takes a shared secret.
ISSUER_ALGORITHMS: Final = ("EdDSA", "ES256", "RS256")
#: Who signs our own tokens, so no site's issuer.
OWN_ISSUER: Final = "genjobs"
#: Characters of an issuer, a key id, a token id, at most.
MOST_TOKEN_TEXT: Final = 200

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_CHARS: Final = 12
_SECRET_CHARS: Final = 43  # 256 bits in base 62
_CHECK_CHARS: Final = 6  # 32 bits
_ID: Final = re.compile(rf"[0-9A-Za-z]{{{_ID_CHARS}}}", re.ASCII)
_KEY: Final = re.compile(
    rf"(?P<head>gj_(?P<kind>live|test)_(?P<id>[0-9A-Za-z]{{{_ID_CHARS}}})"
    rf"_(?P<secret>[0-9A-Za-z]{{{_SECRET_CHARS}}}))(?P<check>[0-9A-Za-z]{{{_CHECK_CHARS}}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyText:
    """An API key as its holder has it: ``gj_<live|test>_<id>_<secret><checksum>``."""

    live: bool
    id: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls, *, live: bool, random: bytes) -> KeyText:
        """Return a new key from 42 random bytes; 32 of them are the secret."""
        if len(random) != 42:
            raise ValueError("a key is made of 42 random bytes")
        return cls(
            live=live,
            id=_base62(int.from_bytes(random[32:]), _ID_CHARS),
            secret=_base62(int.from_bytes(random[:32]), _SECRET_CHARS),
        )

    @classmethod
    def parse(cls, text: str) -> KeyText | None:
        """Return the key that ``text`` is, None when it is none: no database is asked then."""
        match = _KEY.fullmatch(text)
        if match is None or not hmac.compare_digest(match["check"], _checksum(match["head"])):
            return None
        return cls(live=match["kind"] == "live", id=match["id"], secret=match["secret"])

    @classmethod
    def is_id(cls, text: str) -> bool:
        """Return whether ``text`` has the form of a key's id, which is no secret."""
        return _ID.fullmatch(text) is not None

    def reveal(self) -> str:
        """Return the whole text: for its holder, once."""
        head = f"gj_{'live' if self.live else 'test'}_{self.id}_{self.secret}"
        return head + _checksum(head)

    def digest(self) -> bytes:
        """
        Return what is stored of the secret: SHA-256.

        A fast hash is right for a secret of 256 random bits: there is nothing to guess.
        """
        return hashlib.sha256(self.secret.encode()).digest()


def _checksum(head: str) -> str:
    return _base62(zlib.crc32(head.encode()), _CHECK_CHARS)


def _base62(number: int, chars: int) -> str:
    text = ""
    for _ in range(chars):
        number, digit = divmod(number, 62)
        text = _ALPHABET[digit] + text
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is stored of an API key."""

    id: str
    tenant_id: TenantId
    live: bool
    secret_sha256: bytes = field(repr=False)
    scopes: frozenset[Scope]
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def valid(self, now: datetime) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKey:
    """A public key by which a tenant's own site signs tokens of its end users."""

    tenant_id: TenantId
    issuer: str
    kid: str
    algorithm: str
    #: PEM.
    public_key: str
    scopes: frozenset[Scope]
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHead:
    """What a token says of who signed it, nothing of it proven."""

    issuer: str
    kid: str
    tenant_id: TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """What a token whose signature was proven says."""

    tenant_id: TenantId
    user_id: str
    scopes: frozenset[Scope]
    issued_at: datetime
    expires_at: datetime
    token_id: str
    #: The API key that the token was made with; None for a token of the site's own.
    key_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStanding:
    """What every token of a user is held to."""

    #: Tokens made before are dead.
    tokens_since: datetime | None
    #: Whether the user's plan lets tokens submit.
    browser_writes: bool
