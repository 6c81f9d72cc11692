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

_GET_MEMBERS: Final = ("expires", "name", "type")
_PUT_MEMBERS: Final = ("expires", "length", "type")
_VERSION: Final = "genjobs-file-1"


class Signer:
    """Signs GET and PUT requests for files, with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("a signing key needs at least 32 bytes")
        self._key = key

    def query(self, key: str, expires: int, name: str, content_type: str) -> dict[str, str]:
        """Return the query that lets ``key`` be read until ``expires`` (Unix seconds)."""
        signed = {"expires": str(expires), "name": name, "type": content_type}
        return {**signed, "signature": self._signature("GET", key, *signed.values())}

    def put_query(self, key: str, expires: int, length: int, content_type: str) -> dict[str, str]:
        """Return the query that lets ``length`` bytes be put under ``key`` until ``expires``."""
        signed = {"expires": str(expires), "length": str(length), "type": content_type}
        return {**signed, "signature": self._signature("PUT", key, *signed.values())}

    def verify(self, key: str, query: Mapping[str, str], now: int) -> tuple[str, str]:
        """Return file name and content type of a GET signed here that has not expired."""
        _, name, content_type = self._verified("GET", _GET_MEMBERS, key, query, now)
        return name, content_type

    def verify_put(self, key: str, query: Mapping[str, str], now: int) -> tuple[int, str]:
        """Return length and content type of a PUT signed here that has not expired."""
        _, length, content_type = self._verified("PUT", _PUT_MEMBERS, key, query, now)
        return int(length), content_type  # signed, so it is a number

    def _verified(
        self, method: str, members: tuple[str, ...], key: str, query: Mapping[str, str], now: int
    ) -> list[str]:
        if query.keys() != {*members, "signature"}:
            raise NotFound
        values = [query[name] for name in members]
        try:
            expected = self._signature(method, key, *values)
        except UnicodeEncodeError:  # never signed: what is not Unicode has no encoding
            raise NotFound from None
        # Bytes, not text: a signature with other than ASCII characters is no error of ours.
        given = query["signature"].encode("utf-8", "replace")
        if not hmac.compare_digest(expected.encode(), given):
            raise NotFound
        if now >= int(query["expires"]):  # signed, so it is a number
            raise NotFound
        return values

    def _signature(self, *parts: str) -> str:
        message = b"".join(
            len(encoded).to_bytes(4, "big") + encoded
            for encoded in (part.encode() for part in (_VERSION, *parts))
        )
        digest = hmac.new(self._key, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
