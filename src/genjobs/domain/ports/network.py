"""Ports to hosts that a customer names: looking them up, and downloading from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Resolver(Protocol):
    """Looks host names up. It judges nothing."""

    async def resolve(self, host: str) -> Sequence[str]:
        """
        Return every address of ``host`` as text, in the order of preference.

        Raises:
            OSError: there is none, or none was found in time (``TimeoutError`` is one, and so is
                ``socket.gaierror``). Callers take any other exception for the same.
        """


class UrlFetcher(Protocol):
    """Downloads what customers name, and reaches nothing but the public Internet."""

    async def judge(self, url: str) -> None:
        """
        Raise ``UrlNotAllowed`` if it is certain that ``url`` would not be fetched.

        Contacts a resolver and no other host. A name that cannot be looked up is not refused.
        """

    async def fetch(self, url: str, *, into: Path, limit: int) -> int:
        """
        Download ``url`` to the file ``into`` and return its size in bytes, at most ``limit``.

        The file appears whole or not at all.

        Raises:
            UrlNotAllowed: the URL, a redirect's target or an address is not allowed.
            DownloadTooLarge: there are more than ``limit`` bytes.
            DownloadFailed: anything else; it says neither who answered nor what.
            Unavailable: the file cannot be written.
        """
