"""
End users' tokens as JSON Web Tokens (RFC 7519), signed and read with PyJWT.

Each key has one algorithm, fixed here: what a token's header says is never obeyed. Our own are
signed by shared secrets (HS256), of which the first signs and all are accepted; a site's own by
the asymmetric key that is registered for its issuer. Who may do what is decided elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from genjobs.domain.credentials import (
    ISSUER_ALGORITHMS,
    MOST_TOKEN_TEXT,
    OWN_ISSUER,
    TOKEN_LIFE,
    IssuerKey,
    TokenClaims,
    TokenHead,
)
from genjobs.domain.errors import ConfigurationError, InvalidRequest, Unauthenticated
from genjobs.domain.ids import TenantId, parse_tenant_id, tenant_text
from genjobs.domain.tenancy import Owner, known_scopes

_OWN_ALGORITHM: Final = "HS256"
_REQUIRED: Final = ("iss", "aud", "exp", "sub", "tenant", "scope", "jti")
_LEEWAY: Final = 10  # seconds that clocks of two machines may differ
_SHORTEST_SECRET: Final = 32  # bytes; RFC 7518 section 3.2


class JwtCodec:
    """The ``TokenCodec`` port."""

    def __init__(self, secrets: Sequence[str], *, audience: str, sites_only: bool = False) -> None:
        """
        Take the secrets of our own tokens, the newest first.

        ``sites_only``: there may be none, and only tokens that sites sign themselves are read.

        Raises:
            ConfigurationError: one is too short, or there is none and must be.
        """
        short = any(len(secret.encode()) < _SHORTEST_SECRET for secret in secrets)
        if short or not (secrets or sites_only):
            raise ConfigurationError(
                f"keys that sign tokens must have at least {_SHORTEST_SECRET} characters"
            )
        self._audience = audience
        #: By key id, the newest first; the id tells nothing of the secret.
        self._secrets = {_key_id(secret): secret for secret in secrets}
        self._reader = jwt.PyJWT()

    def sign(self, claims: TokenClaims) -> str:
        """See the port; ``ConfigurationError`` without a secret."""
        if not self._secrets:
            raise ConfigurationError("there is no key to sign tokens with")
        kid, secret = next(iter(self._secrets.items()))
        payload = {
            "iss": OWN_ISSUER,
            "aud": self._audience,
            "sub": claims.user_id,
            "tenant": tenant_text(claims.tenant_id),
            "scope": " ".join(sorted(claims.scopes)),
            "jti": claims.token_id,
            # With its fraction: a cut-off in the same second is before it, or after.
            "iat": claims.issued_at.timestamp(),
            "exp": int(claims.expires_at.timestamp()),
            "key": claims.key_id,
        }
        return jwt.encode(payload, secret, algorithm=_OWN_ALGORITHM, headers={"kid": kid})

    def read_own(self, token: str, *, now: datetime) -> TokenClaims | None:
        """See the port."""
        if self._unproven(token).get("iss") != OWN_ISSUER:
            return None
        secret = self._secrets.get(_text(self._header(token), "kid"))
        if secret is None:
            raise Unauthenticated
        claims = self._proven(token, secret, _OWN_ALGORITHM, OWN_ISSUER, now)
        return self._claims(claims, _text(claims, "key"), now)

    def head(self, token: str) -> TokenHead:
        """See the port."""
        claims = self._unproven(token)
        return TokenHead(
            issuer=_text(claims, "iss"),
            kid=_text(self._header(token), "kid"),
            tenant_id=_tenant(claims),
        )

    def read(self, token: str, key: IssuerKey, *, now: datetime) -> TokenClaims:
        """See the port."""
        if key.algorithm not in ISSUER_ALGORITHMS:
            raise Unauthenticated
        claims = self._proven(token, key.public_key, key.algorithm, key.issuer, now)
        return self._claims(claims, None, now)

    def _header(self, token: str) -> dict[str, Any]:
        try:
            return dict(jwt.get_unverified_header(token))
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated from None

    def _unproven(self, token: str) -> dict[str, Any]:
        try:
            found = self._reader.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated from None
        return dict(found)

    def _proven(
        self, token: str, key: str, algorithm: str, issuer: str, now: datetime
    ) -> dict[str, Any]:
        try:
            claims = self._reader.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=issuer,
                # Times are compared below, by the clock that everything else goes by.
                options={
                    "require": list(_REQUIRED),
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise Unauthenticated from None
        if "nbf" in claims and _time(claims, "nbf").timestamp() > now.timestamp() + _LEEWAY:
            raise Unauthenticated
        return dict(claims)

    def _claims(self, claims: dict[str, Any], key_id: str | None, now: datetime) -> TokenClaims:
        expires_at = _time(claims, "exp")
        # Without it a token counts as made as early as it can have been.
        earliest = expires_at.timestamp() - TOKEN_LIFE.total_seconds()
        issued_at = _time({"iat": earliest, **claims}, "iat")
        if issued_at.timestamp() > now.timestamp() + _LEEWAY:
            raise Unauthenticated
        scopes = _text(claims, "scope", MOST_TOKEN_TEXT * 5).split(" ")
        try:
            owner = Owner(tenant_id=_tenant(claims), user_id=_text(claims, "sub"))
        except InvalidRequest:
            raise Unauthenticated from None
        return TokenClaims(
            tenant_id=owner.tenant_id,
            user_id=owner.user_id,
            # Scopes that nobody knows are not granted, and no reason to refuse.
            scopes=known_scopes(scopes),
            issued_at=issued_at,
            expires_at=expires_at,
            token_id=_text(claims, "jti"),
            key_id=key_id,
        )


def _key_id(secret: str) -> str:
    return hashlib.sha256(f"genjobs token key id {secret}".encode()).hexdigest()[:16]


def _text(claims: dict[str, Any], name: str, most: int = MOST_TOKEN_TEXT) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most or not _storable(value):
        raise Unauthenticated
    return value


def _storable(text: str) -> bool:
    """Whether a database can be asked for it: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _tenant(claims: dict[str, Any]) -> TenantId:
    try:
        return parse_tenant_id(_text(claims, "tenant"))
    except ValueError:
        raise Unauthenticated from None


def _time(claims: dict[str, Any], name: str) -> datetime:
    """Return a NumericDate (RFC 7519 section 2)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthenticated
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        raise Unauthenticated from None
