"""
A site's own signing keys, and tokens as a site or a forger writes them.

Tokens are put together by hand: a library would refuse to write most of what has to be refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from genjobs.domain.credentials import IssuerKey
from genjobs.domain.ids import TenantId, tenant_text
from genjobs.domain.tenancy import Scope

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteKey:
    """A key pair of a site: ``sign`` is the secret half, ``public`` is what we are given."""

    public: IssuerKey
    sign: Sign

    def header(self, **changes: Any) -> dict[str, Any]:
        """Return the header of a token; None leaves a member out."""
        header = {"alg": self.public.algorithm, "typ": "JWT", "kid": self.public.kid}
        return _changed(header, changes)

    def claims(self, now: datetime, user_id: str = "u_1", **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token of ``now``; None leaves one out."""
        claims = {
            "iss": self.public.issuer,
            "aud": "genjobs",
            "sub": user_id,
            "tenant": tenant_text(self.public.tenant_id),
            "scope": "jobs:read",
            "jti": "token-1",
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=10)).timestamp()),
        }
        return _changed(claims, changes)

    def token(self, now: datetime, user_id: str = "u_1", **changes: Any) -> str:
        """Return a good token, but for ``changes`` of its claims."""
        return jws(self.header(), self.claims(now, user_id, **changes), self.sign)


def a_site_key(
    tenant_id: TenantId,
    algorithm: str = "EdDSA",
    *,
    issuer: str = "https://site.test",
    kid: str = "k1",
    scopes: frozenset[Scope] = frozenset({Scope.JOBS_READ}),
) -> SiteKey:
    """Return a key pair of an algorithm: always the same pair, for everybody."""
    public_key, sign = _pair(algorithm)
    return SiteKey(
        public=IssuerKey(
            tenant_id=tenant_id,
            issuer=issuer,
            kid=kid,
            algorithm=algorithm,
            public_key=public_key,
            scopes=scopes,
        ),
        sign=sign,
    )


def of_algorithm(key: IssuerKey, algorithm: str) -> IssuerKey:
    """Return the key as if it were registered for another algorithm."""
    return replace(key, algorithm=algorithm)


def jws(header: object, payload: object, sign: Sign) -> str:
    """Return a JWS in compact form (RFC 7515); bytes are taken as they are, else JSON is made."""
    signed = f"{_part(header)}.{_part(payload)}"
    return f"{signed}.{_encode(sign(signed.encode()))}"


def by_secret(secret: str | bytes) -> Sign:
    """Return how HS256 signs."""
    key = secret.encode() if isinstance(secret, str) else secret
    return lambda data: hmac.new(key, data, hashlib.sha256).digest()


def _changed(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


def _part(value: object) -> str:
    return _encode(value if isinstance(value, bytes) else json.dumps(value).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@lru_cache
def _pair(algorithm: str) -> tuple[str, Sign]:
    private: Any
    sign: Sign
    match algorithm:
        case "EdDSA":
            private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
            sign = private.sign
        case "ES256":
            private = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())

            def sign(data: bytes) -> bytes:
                numbers = utils.decode_dss_signature(private.sign(data, ec.ECDSA(hashes.SHA256())))
                return b"".join(number.to_bytes(32, "big") for number in numbers)
        case "RS256":
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

            def sign(data: bytes) -> bytes:
                return bytes(private.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        case _:
            raise ValueError(algorithm)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public.decode(), sign
