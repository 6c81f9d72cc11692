"""Which files are a public key of an algorithm."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from genjobs.adapters.public_keys import PemKeys
from genjobs.domain.errors import ConfigurationError


def pem(key: object) -> bytes:
    public = key.public_key()  # type: ignore[attr-defined]
    found: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


KEYS = {
    "Ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
    "Ed448": pem(ed448.Ed448PrivateKey.generate()),
    "P-256": pem(ec.generate_private_key(ec.SECP256R1())),
    "P-384": pem(ec.generate_private_key(ec.SECP384R1())),
    "secp256k1": pem(ec.generate_private_key(ec.SECP256K1())),
    "RSA 2048": pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "RSA 1024": pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
}
FIT = {("EdDSA", "Ed25519"), ("ES256", "P-256"), ("RS256", "RSA 2048")}


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
@pytest.mark.parametrize("key", KEYS)
def test_key_fits_one_algorithm_at_most(algorithm: str, key: str) -> None:
    if (algorithm, key) in FIT:
        assert PemKeys().read(KEYS[key], algorithm).encode() == KEYS[key]
        return
    with pytest.raises(ConfigurationError, match=f"{algorithm} needs"):
        PemKeys().read(KEYS[key], algorithm)


def test_nothing_but_the_key_is_kept() -> None:
    content = b"from: somebody\r\n" + KEYS["P-256"].replace(b"\n", b"\r\n") + b"\r\nsecret\r\n"
    assert PemKeys().read(content, "ES256").encode() == KEYS["P-256"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        KEYS["P-256"][:60],
        b"\x00\xff" * 50,
        b"shared secret of an HS256 token",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        KEYS["P-256"] + b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_public_key_is_refused_without_being_shown(content: bytes) -> None:
    with pytest.raises(ConfigurationError) as refused:
        PemKeys().read(content, "ES256")
    assert "AAAA" not in refused.value.message
    assert refused.value.__cause__ is None
