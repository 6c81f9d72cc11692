"""What the tests of the fetcher share: a hostile server, and a fetcher in its network."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from genjobs.adapters.safe_fetch import FetchLimits, SafeFetcher
from genjobs.domain.errors import DownloadFailed, UrlNotAllowed
from tests.attack_server import AttackServer, Network, attack_server

LIMIT = 1024 * 1024
MIB = 1024 * 1024
PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.168.1.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::a9fe:a9fe",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
]


@dataclass(slots=True)
class Scene:
    """What a test holds."""

    server: AttackServer
    network: Network
    fetcher: SafeFetcher
    folder: Path

    async def fetch(self, url: str, *, limit: int = LIMIT) -> bytes:
        """Download and return the content; afterwards nothing half-written may be left."""
        into = self.folder / "file"
        try:
            size = await self.fetcher.fetch(url, into=into, limit=limit)
            content = into.read_bytes()
            assert size == len(content)
            into.unlink()
            return content
        finally:
            assert list(self.folder.iterdir()) == []
            assert self.network.forbidden_dials() == []

    async def fails(self, url: str, *, limit: int = LIMIT) -> DownloadFailed:
        """Return how the download fails; it must say neither who answered nor what."""
        with pytest.raises(DownloadFailed) as caught:
            await self.fetch(url, limit=limit)
        assert caught.value.message in {
            "The file could not be downloaded.",
            "The file to download is larger than allowed.",
        }
        return caught.value

    async def refused(self, url: str) -> None:
        """Check that the fetch is refused, in words that name no address."""
        with pytest.raises(UrlNotAllowed) as caught:
            await self.fetch(url)
        assert not any(address in caught.value.message for address in PRIVATE)


@asynccontextmanager
async def open_scene(folder: Path) -> AsyncIterator[Scene]:
    """Hold a scene whose server has certificates that the fetcher trusts."""
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = ("example.com", "bücher.de", "2606:4700::7", "*.buckets.com")
    authority.issue_cert(*names).configure_cert(serving)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    limits = FetchLimits(connect=1, head=1.5, window=0.5, rate=4096, total=4)
    async with attack_server(serving) as (server, network):
        fetcher = SafeFetcher(resolver=network, dialer=network, limits=limits, ssl_context=trusting)
        yield Scene(server, network, fetcher, folder)
