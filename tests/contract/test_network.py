"""Fetchers and resolvers against their contracts; no host beyond this machine is contacted."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from genjobs.adapters.safe_fetch import FetchLimits, SafeFetcher, SystemResolver
from genjobs.testing import MemoryUrlFetcher
from genjobs.testing.contracts import Publish, ResolverContract, UrlFetcherContract
from tests.attack_server import AttackServer, Network, answer, attack_server


class TestMemoryUrlFetcher(UrlFetcherContract):
    @pytest.fixture
    def fetcher(self) -> MemoryUrlFetcher:
        return MemoryUrlFetcher()

    @pytest.fixture
    def publish(self, fetcher: MemoryUrlFetcher) -> Publish:
        def put(url: str, content: bytes | None) -> None:
            fetcher.files.pop(url, None)
            if content is not None:
                fetcher.files[url] = content

        return put


class TestSafeFetcher(UrlFetcherContract):
    @pytest.fixture
    async def scene(self) -> AsyncIterator[tuple[AttackServer, Network]]:
        async with attack_server(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as (server, network):
            yield server, network
            assert network.forbidden_dials() == []

    @pytest.fixture
    def fetcher(self, scene: tuple[AttackServer, Network]) -> SafeFetcher:
        network = scene[1]
        limits = FetchLimits(connect=5, head=5, window=5, total=20)
        return SafeFetcher(resolver=network, dialer=network, limits=limits)

    @pytest.fixture
    def publish(self, scene: tuple[AttackServer, Network]) -> Publish:
        def put(url: str, content: bytes | None) -> None:
            found = answer(status=404) if content is None else answer(content)
            scene[0].on(urlsplit(url).path, found)

        return put


class TestSystemResolver(ResolverContract):
    @pytest.fixture
    def resolver(self) -> SystemResolver:
        return SystemResolver(seconds=10)

    @pytest.fixture
    def host(self) -> str:
        return "localhost"

    @pytest.fixture
    def nowhere(self) -> str:
        return "nowhere.invalid"


class TestResolverOfTheAttacks(ResolverContract):
    @pytest.fixture
    def resolver(self) -> Network:
        names = {"good.example.com": [["203.0.114.7", "2606:4700::7"]], "nowhere.invalid": [[]]}
        return Network(port=0, tls_port=0, names=names)

    @pytest.fixture
    def host(self) -> str:
        return "good.example.com"

    @pytest.fixture
    def nowhere(self) -> str:
        return "nowhere.invalid"
