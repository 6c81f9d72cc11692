"""
Signed URLs of the local artifact store: what is signed, and how a signature is checked.

HMAC-SHA256 (RFC 2104) over an encoding in which no two different requests look the same. A
request that is not exactly what was signed is ``NotFound``, whatever is wrong with it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from genjobs.domain.errors import NotFound

_MEMBERS: Final = frozenset({"expires", "name", "type", "signature"})
_VERSION: Final = "genjobs-file-1"


class Signer:
    """Signs GET requests for files, with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("a signing key needs at least 32 bytes")
        self._key = key

    def query(self, key: str, expires: int, name: str, content_type: str) -> dict[str, str]:
        """Return the query that lets ``key`` be read until ``expires`` (Unix seconds)."""
        return {
            "expires": str(expires),
            "name": name,
            "type": content_type,
            "signature": self._signature(key, str(expires), name, content_type),
        }

    def verify(self, key: str, query: Mapping[str, str], now: int) -> tuple[str, str]:
        """Return file name and content type of a request signed here that has not expired."""
        if query.keys() != _MEMBERS:
            raise NotFound
        try:
            expected = self._signature(key, query["expires"], query["name"], query["type"])
        except UnicodeEncodeError:  # never signed: what is not Unicode has no encoding
            raise NotFound from None
        # Bytes, not text: a signature with other than ASCII characters is no error of ours.
        given = query["signature"].encode("utf-8", "replace")
        if not hmac.compare_digest(expected.encode(), given):
            raise NotFound
        if now >= int(query["expires"]):  # signed, so it is a number
            raise NotFound
        return query["name"], query["type"]

    def _signature(self, *parts: str) -> str:
        message = b"".join(
            len(encoded).to_bytes(4, "big") + encoded
            for encoded in (part.encode() for part in (_VERSION, "GET", *parts))
        )
        digest = hmac.new(self._key, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
