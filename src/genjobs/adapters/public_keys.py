"""
Public keys from PEM (RFC 7468), each for exactly one algorithm (RFC 7518, RFC 8037).

What is stored is written anew from the key that was read, so that nothing else of a file is kept.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from genjobs.domain.errors import ConfigurationError

_SHORTEST_RSA: Final = 2048  # bits
_WANTED: Final = {
    "EdDSA": "an Ed25519 key",
    "ES256": "a key on the curve P-256",
    "RS256": f"an RSA key of {_SHORTEST_RSA} bits or more",
}


class PemKeys:
    """The ``PublicKeyReader`` port."""

    def read(self, content: bytes, algorithm: str) -> str:
        """See the port."""
        wanted = _WANTED.get(algorithm)
        if wanted is None:
            raise ConfigurationError(f"the algorithm must be one of {', '.join(_WANTED)}")
        if b"PRIVATE KEY" in content:
            raise ConfigurationError(
                "the file holds a private key, which stays with the site; give the public one"
            )
        if b"BEGIN CERTIFICATE" in content:
            raise ConfigurationError("the file holds a certificate; give its public key")
        try:
            key = load_pem_public_key(content)
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigurationError("the file holds no public key in PEM") from None
        if not _fits(key, algorithm):
            raise ConfigurationError(f"{algorithm} needs {wanted}")
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _fits(key: object, algorithm: str) -> bool:
    match algorithm:
        case "EdDSA":
            return isinstance(key, Ed25519PublicKey)
        case "ES256":
            return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    return isinstance(key, RSAPublicKey) and key.key_size >= _SHORTEST_RSA
