"""
Whom a TLS connection trusts, and for which names.

OpenSSL compares names itself, except in one case that is told below. Connecting is ``dialing``'s.
"""

from __future__ import annotations

import ssl
from typing import Any

import certifi


def public_certificates() -> ssl.SSLContext:
    """Return a context that trusts certifi's authorities."""
    # Not ssl.create_default_context: that one listens to the environment (SSLKEYLOGFILE).
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    return context


def for_names_with_underscores(context: ssl.SSLContext) -> ssl.SSLContext:
    """
    Return a context like ``context`` whose wildcards stand for labels with underscores too.

    Buckets have such names (``my_bucket.s3.amazonaws.com``), and browsers take the certificate
    ``*.s3.amazonaws.com`` for them; OpenSSL does not. The chain is still verified by OpenSSL.
    """
    lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lenient.minimum_version = context.minimum_version
    lenient.verify_flags = context.verify_flags
    if authorities := context.get_ca_certs(binary_form=True):
        lenient.load_verify_locations(cadata=b"".join(authorities))
    lenient.check_hostname = False
    lenient.sslobject_class = _NameCheckedHere
    return lenient


class _NameCheckedHere(ssl.SSLObject):
    """A TLS connection that ends its handshake only with a certificate for the host's name."""

    def do_handshake(self) -> None:
        super().do_handshake()
        certificate: dict[str, Any] = self.getpeercert() or {}
        host = self.server_hostname or ""
        if not any(
            kind == "DNS" and covers(name, host)
            for kind, name in certificate.get("subjectAltName", ())
        ):
            raise ssl.SSLCertVerificationError("the certificate is for another name")


def covers(pattern: str, host: str) -> bool:
    """Return whether a certificate's DNS name is ``host``'s: RFC 9525 section 6.3."""
    pattern, host = pattern.lower(), host.lower()
    label, _, parent = host.partition(".")
    return pattern == host or bool(label and "." in parent and pattern == f"*.{parent}")
