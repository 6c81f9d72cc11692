"""The system's resolver behind its port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor


class SystemResolver:
    """
    A ``Resolver`` that asks ``getaddrinfo``.

    A look-up cannot be cancelled, so it has threads of its own: when all of them wait for a dead
    name server, look-ups fail and nothing else in the process waits.
    """

    def __init__(self, *, threads: int = 16, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolver")

    async def resolve(self, host: str) -> Sequence[str]:
        """See the port; gives up after ``seconds``."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._seconds):
            return await loop.run_in_executor(self._threads, _look_up, host)


def _look_up(host: str) -> Sequence[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as exc:  # a name that its codec does not take
        raise OSError("not a host name") from exc
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
