"""How the contracts of signed PUTs send content through httpx."""

from __future__ import annotations

from collections.abc import AsyncIterator


def sent(content: bytes | list[bytes]) -> bytes | AsyncIterator[bytes]:
    """Return what httpx sends: bytes with their length, pieces in chunks without one."""
    return content if isinstance(content, bytes) else _pieces(content)


async def _pieces(content: list[bytes]) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece
