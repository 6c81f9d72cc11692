"""What a Postgres client says, read from its bytes: which statements it has executed."""

from __future__ import annotations

import struct

#: Of a message: its type and its length, which counts itself.
_HEAD = 5
_QUERY, _PARSE, _BIND = b"Q", b"P", b"B"


class ClientMessages:
    """
    Follows one connection from its start.

    A prepared statement is sent as text once and told by its name afterwards; names are looked up
    here.
    """

    def __init__(self) -> None:
        self._held = b""
        self._greeted = False
        self._texts: dict[bytes, bytes] = {}

    def executed(self, data: bytes) -> list[bytes]:
        """Return the texts of the statements whose execution begins in what comes next."""
        self._held += data
        found: list[bytes] = []
        while True:
            head = _HEAD if self._greeted else 4  # the first message has no type
            if len(self._held) < head:
                return found
            length = struct.unpack(">I", self._held[head - 4 : head])[0] + head - 4
            if len(self._held) < length:
                return found
            kind, body = self._held[: head - 4], self._held[head:length]
            self._held, self._greeted = self._held[length:], True
            if kind == _QUERY:
                found.append(body.rstrip(b"\0"))
            elif kind == _PARSE:
                name, text = body.split(b"\0")[:2]
                self._texts[name] = text
            elif kind == _BIND:
                found.append(self._texts.get(body.split(b"\0")[1], b""))
