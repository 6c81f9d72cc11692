"""The contracts of the ports to hosts that a customer names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from genjobs.domain.errors import (
    DownloadFailed,
    DownloadTooLarge,
    GenjobsError,
    Unavailable,
    UrlNotAllowed,
)
from genjobs.domain.ports import Resolver, UrlFetcher

#: Puts content at a URL; None takes it away.
Publish = Callable[[str, bytes | None], None]

_URL = "http://files.example.com/photo.png?signature=secret"
_MANY = 200_000
_FORBIDDEN = (
    "ftp://files.example.com/a",
    "http://127.0.0.1/a",
    "http://[::1]/a",
    "http://169.254.169.254/latest",
    "http://localhost/a",
    "http://user:secret@files.example.com/a",
    "http://files.example.com:22/a",
    "http://files.example.com\\@127.0.0.1/a",
    "//files.example.com/a",
    "",
)


class UrlFetcherContract:
    """Needs the fixtures ``fetcher`` and ``publish``."""

    @pytest.fixture
    def fetcher(self) -> UrlFetcher:
        """Return the fetcher under test."""
        raise NotImplementedError

    @pytest.fixture
    def publish(self) -> Publish:
        """Return what puts content where the fetcher under test finds it."""
        raise NotImplementedError

    @pytest.mark.parametrize("size", [0, 1, _MANY])
    async def test_file_is_what_was_there(
        self, fetcher: UrlFetcher, publish: Publish, tmp_path: Path, size: int
    ) -> None:
        content = bytes(n % 251 for n in range(size))
        publish(_URL, content)
        into = tmp_path / "file"

        assert await fetcher.fetch(_URL, into=into, limit=_MANY) == size
        assert into.read_bytes() == content

    async def test_limit_is_the_most_that_is_taken(
        self, fetcher: UrlFetcher, publish: Publish, tmp_path: Path
    ) -> None:
        publish(_URL, bytes(1000))
        assert await fetcher.fetch(_URL, into=tmp_path / "file", limit=1000) == 1000
        (tmp_path / "file").unlink()

        with pytest.raises(DownloadTooLarge):
            await fetcher.fetch(_URL, into=tmp_path / "file", limit=999)
        assert list(tmp_path.iterdir()) == []

    async def test_what_is_not_there_has_failed_and_leaves_nothing(
        self, fetcher: UrlFetcher, publish: Publish, tmp_path: Path
    ) -> None:
        publish(_URL, None)
        with pytest.raises(DownloadFailed) as failed:
            await fetcher.fetch(_URL, into=tmp_path / "file", limit=_MANY)

        assert list(tmp_path.iterdir()) == []
        assert not isinstance(failed.value, DownloadTooLarge)
        self._tells_nothing(failed.value)

    @pytest.mark.parametrize("url", _FORBIDDEN)
    async def test_forbidden_url_is_judged_and_fetched_alike(
        self, fetcher: UrlFetcher, tmp_path: Path, url: str
    ) -> None:
        with pytest.raises(UrlNotAllowed) as judged:
            await fetcher.judge(url)
        with pytest.raises(UrlNotAllowed) as fetched:
            await fetcher.fetch(url, into=tmp_path / "file", limit=_MANY)

        assert list(tmp_path.iterdir()) == []
        assert fetched.value.code == judged.value.code
        self._tells_nothing(judged.value)

    async def test_allowed_url_is_judged_without_being_fetched(
        self, fetcher: UrlFetcher, publish: Publish
    ) -> None:
        publish(_URL, None)
        await fetcher.judge(_URL)

    async def test_file_that_cannot_be_written_is_no_fault_of_the_url(
        self, fetcher: UrlFetcher, publish: Publish, tmp_path: Path
    ) -> None:
        publish(_URL, b"content")
        with pytest.raises(Unavailable) as away:
            await fetcher.fetch(_URL, into=tmp_path / "no folder" / "file", limit=_MANY)
        assert str(tmp_path) not in away.value.message

    async def test_many_at_once_have_each_their_own(
        self, fetcher: UrlFetcher, publish: Publish, tmp_path: Path
    ) -> None:
        urls = [f"http://files.example.com/{n}" for n in range(8)]
        for n, url in enumerate(urls):
            publish(url, str(n).encode())
        await asyncio.gather(
            *(fetcher.fetch(url, into=tmp_path / str(n), limit=9) for n, url in enumerate(urls))
        )

        for n in range(8):
            assert (tmp_path / str(n)).read_text() == str(n)

    def _tells_nothing(self, error: GenjobsError) -> None:
        for secret in ("secret", "127.0.0.1", "203.0.113", "404", "/photo"):
            assert secret not in error.message


class ResolverContract:
    """Needs the fixtures ``resolver``, ``host`` and ``nowhere``."""

    @pytest.fixture
    def resolver(self) -> Resolver:
        """Return the resolver under test."""
        raise NotImplementedError

    @pytest.fixture
    def host(self) -> str:
        """Return a name that it knows."""
        raise NotImplementedError

    @pytest.fixture
    def nowhere(self) -> str:
        """Return a name that it does not know."""
        raise NotImplementedError

    async def test_answers_are_addresses_and_there_is_one(
        self, resolver: Resolver, host: str
    ) -> None:
        found = await resolver.resolve(host)
        assert found
        assert all(ip_address(address) for address in found)
        assert len(set(found)) == len(found)

    async def test_same_name_may_be_looked_up_many_times_at_once(
        self, resolver: Resolver, host: str
    ) -> None:
        found = await asyncio.gather(*(resolver.resolve(host) for _ in range(40)))
        assert all(found)

    async def test_name_without_an_address_is_an_error_of_the_system(
        self, resolver: Resolver, nowhere: str
    ) -> None:
        with pytest.raises(OSError):  # noqa: PT011  (the contract says no more)
            await resolver.resolve(nowhere)

    @pytest.mark.parametrize("name", ["", "." * 10, "a" * 300, "ä" * 200, "a b", "\udc80", "a\0b"])
    async def test_what_is_no_name_is_an_error_of_the_system(
        self, resolver: Resolver, name: str
    ) -> None:
        try:
            found = await resolver.resolve(name)
        except OSError:
            return
        assert all(ip_address(address) for address in found)
