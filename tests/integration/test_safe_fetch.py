"""The fetcher against a hostile server: after each attack, nothing forbidden was dialled."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpcore
import pytest
import structlog
import trustme

from genjobs.adapters.safe_fetch import FetchLimits, SafeFetcher, SystemResolver, TcpDialer
from genjobs.domain.addresses import parse_address
from genjobs.domain.errors import DownloadFailed, DownloadTooLarge, UrlNotAllowed
from tests.attack_server import (
    AttackServer,
    Network,
    Request,
    Writer,
    answer,
    attack_server,
    raw,
)

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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority that the fetcher under test trusts."""
    return trustme.CA()


@pytest.fixture
async def scene(authority: trustme.CA, tmp_path: Path) -> AsyncIterator[Scene]:
    """Hold a hostile server and a fetcher in its network."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("example.com", "bücher.de", "2606:4700::7").configure_cert(serving)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    limits = FetchLimits(connect=1, head=1.5, window=0.5, rate=4096, total=4)
    async with attack_server(serving) as (server, network):
        fetcher = SafeFetcher(resolver=network, dialer=network, limits=limits, ssl_context=trusting)
        yield Scene(server, network, fetcher, tmp_path)


# -- what must work ---------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_file_arrives_byte_for_byte(scene: Scene, scheme: str) -> None:
    content = os.urandom(300_000)
    scene.server.on("/a.png", answer(content))

    assert await scene.fetch(f"{scheme}://EXAMPLE.com./a.png?sig=a%2Fb&x=1|2") == content
    [request] = scene.server.requests
    assert request.target == "/a.png?sig=a%2Fb&x=1|2"
    assert request.headers["host"] == "example.com"
    assert request.headers["accept-encoding"] == "identity"
    assert {"cookie", "authorization", "referer"}.isdisjoint(request.headers)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://bücher.de/a", "xn--bcher-kva.de"),
        ("http://my_bucket.example.com/a", "my_bucket.example.com"),
        ("http://8.8.8.8/a", "8.8.8.8"),
        ("https://[2606:4700::7]/a", "[2606:4700::7]"),
        ("http://example.com:443/a", "example.com:443"),
    ],
)
async def test_unusual_hosts_are_fetched(scene: Scene, url: str, host: str) -> None:
    scene.server.on("/a", answer(b"x"))
    if url == "http://example.com:443/a":
        await scene.fails(url)  # a TLS port that is spoken to in clear
        return
    assert await scene.fetch(url) == b"x"
    assert scene.server.requests[0].headers["host"] == host


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_by_judged_hops(scene: Scene, status: int) -> None:
    scene.server.on("/a", answer(b"ignored", status=status, headers={"Location": "/b?x=1"}))
    scene.server.on(
        "/b", answer(status=status, headers={"Location": "https://example.com/\u00e7a"})
    )
    scene.server.on("/%C3%A7a", answer(b"found"))

    assert await scene.fetch("http://one.example.org/a") == b"found"
    assert scene.network.looked_up == ["one.example.org", "one.example.org", "example.com"]
    assert [port for _, port in scene.network.dialled] == [80, 80, 443]


async def test_body_of_unknown_length_is_taken(scene: Scene) -> None:
    scene.server.on("/close", raw(b"HTTP/1.0 200 OK\r\n\r\nabc"))
    scene.server.on(
        "/chunked",
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    )
    assert await scene.fetch("http://example.com/close") == b"abc"
    assert await scene.fetch("http://example.com/chunked") == b"abc"


async def test_empty_file_and_a_file_of_exactly_the_limit_arrive(scene: Scene) -> None:
    scene.server.on("/empty", answer(b""))
    scene.server.on("/full", answer(b"x" * LIMIT))
    assert await scene.fetch("http://example.com/empty") == b""
    assert len(await scene.fetch("http://example.com/full")) == LIMIT


async def test_second_address_is_dialled_when_the_first_is_dead(scene: Scene) -> None:
    scene.network.names["example.com"] = [["2606:4700::9", "8.8.8.8"]]
    scene.network.dead.add("2606:4700::9")
    scene.server.on("/a", answer(b"x"))
    assert await scene.fetch("http://example.com/a") == b"x"
    assert scene.network.dialled == [("2606:4700::9", 80), ("8.8.8.8", 80)]


async def test_existing_file_is_kept_when_the_download_fails(scene: Scene) -> None:
    into = scene.folder / "kept"
    into.write_bytes(b"old")
    scene.server.on("/a", answer(status=500))
    with pytest.raises(DownloadFailed):
        await scene.fetcher.fetch("http://example.com/a", into=into, limit=10)
    assert into.read_bytes() == b"old"


# -- names and addresses ----------------------------------------------------------------------


@pytest.mark.parametrize("address", PRIVATE)
async def test_name_of_a_private_address_is_not_dialled(scene: Scene, address: str) -> None:
    scene.network.names["example.com"] = [[address]]
    await scene.refused("http://example.com/a")
    scene.network.names["example.com"] = [["8.8.8.8", address]]
    await scene.refused("http://example.com/a")
    assert scene.network.dialled == []
    with pytest.raises(UrlNotAllowed):
        await scene.fetcher.judge("http://example.com/a")


async def test_rebinding_name_is_looked_up_once_a_hop(scene: Scene) -> None:
    scene.network.names["example.com"] = [["8.8.8.8"], ["127.0.0.1"]]
    scene.server.on("/a", answer(status=302, headers={"Location": "/b"}))
    await scene.refused("http://example.com/a")
    assert scene.network.dialled == [("8.8.8.8", 80)]


async def test_name_that_rebinds_after_the_judgement_is_judged_again(scene: Scene) -> None:
    scene.network.names["example.com"] = [["8.8.8.8"], ["169.254.169.254"]]
    await scene.fetcher.judge("http://example.com/a")
    await scene.refused("http://example.com/a")
    assert scene.network.dialled == []


async def test_endless_answers_are_refused(scene: Scene) -> None:
    scene.network.names["example.com"] = [[f"8.8.{n}.8" for n in range(200)]]
    await scene.refused("http://example.com/a")


async def test_name_without_an_answer_is_no_refusal_but_a_failure(scene: Scene) -> None:
    class Nowhere:
        async def resolve(self, host: str) -> list[str]:
            raise OSError(host)

    class Silent:
        async def resolve(self, host: str) -> list[str]:
            await asyncio.sleep(60)
            return []

    limits = FetchLimits(head=0.2, total=1)
    for resolver in (Nowhere(), Silent()):
        fetcher = SafeFetcher(resolver=resolver, dialer=scene.network, limits=limits)
        await fetcher.judge("http://example.com/a")
        with pytest.raises(DownloadFailed):
            await fetcher.fetch("http://example.com/a", into=scene.folder / "x", limit=1)


# -- redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("hops", [0, 1, 4])
async def test_redirect_to_a_private_place_is_refused(scene: Scene, status: int, hops: int) -> None:
    for hop in range(hops):
        scene.server.on(f"/{hop}", answer(status=status, headers={"Location": f"/{hop + 1}"}))
    scene.server.on(
        f"/{hops}",
        answer(status=status, headers={"Location": "http://169.254.169.254/latest/meta-data/"}),
    )
    await scene.refused("http://example.com/0")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://[::1]/",
        "//localhost/",
        "http://2130706433/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "ftp://example.com/a",
        "data:text/plain,hello",
        "http://example.com:6379/",
        "http://user:password@example.com/",
        "http://internal.example.org/",
        "\\\\127.0.0.1\\x",
    ],
)
async def test_redirect_is_judged_whole(scene: Scene, location: str) -> None:
    scene.network.names["internal.example.org"] = [["10.1.2.3"]]
    scene.server.on("/a", answer(status=302, headers={"Location": location}))
    await scene.refused("https://example.com/a")


async def test_sixth_redirect_is_one_too_many(scene: Scene) -> None:
    for hop in range(6):
        scene.server.on(f"/{hop}", answer(status=302, headers={"Location": f"/{hop + 1}"}))
    scene.server.on("/6", answer(b"x"))
    await scene.fails("http://example.com/0")
    assert await scene.fetch("http://example.com/1") == b"x"


@pytest.mark.parametrize("headers", [{}, {"Location": ""}])
async def test_redirect_that_leads_nowhere_fails(scene: Scene, headers: dict[str, str]) -> None:
    scene.server.on("/a", answer(status=302, headers=headers))
    await scene.fails("http://example.com/a")


async def test_endless_body_of_a_redirect_is_not_read(scene: Scene) -> None:
    async def endless(_: Request, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    scene.server.on("/a", endless)
    scene.server.on("/b", answer(b"x"))
    assert await scene.fetch("http://example.com/a") == b"x"


# -- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["gzip", "gzip, gzip", "deflate", "br", "zstd", "identity, gzip", "x-unknown"]
)
async def test_packed_answers_are_not_taken(scene: Scene, encoding: str) -> None:
    bomb = gzip.compress(gzip.compress(bytes(10 * MIB)))
    scene.server.on("/a", answer(bomb, headers={"Content-Encoding": encoding}))
    await scene.fails("http://example.com/a")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\n\r\nabc",  # ends early
        b"Content-Length: -1\r\n\r\nabc",
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Length: 3a\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        b"X: a\r\n" * 50_000 + b"\r\n",
        b"Bad Header\r\n\r\n",
    ],
    ids=lambda head: head[:24].decode(),
)
async def test_broken_answer_fails(scene: Scene, head: bytes) -> None:
    scene.server.on("/a", raw(b"HTTP/1.1 200 OK\r\n" + head))
    await scene.fails("http://example.com/a")


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 404, 418, 500, 503])
async def test_answer_that_is_no_file_fails(scene: Scene, status: int) -> None:
    scene.server.on("/a", answer(b"", status=status))
    await scene.fails("http://example.com/a")


async def test_bytes_after_the_announced_length_are_not_read(scene: Scene) -> None:
    scene.server.on("/a", answer(b"abcdef", headers={"Content-Length": "3"}))
    assert await scene.fetch("http://example.com/a") == b"abc"


async def test_announced_size_over_the_limit_is_refused_before_the_body(scene: Scene) -> None:
    scene.server.on("/a", answer(headers={"Content-Length": str(LIMIT + 1)}))
    assert isinstance(await scene.fails("http://example.com/a"), DownloadTooLarge)
    scene.server.on("/a", answer(headers={"Content-Length": "9" * 400}))
    await scene.fails("http://example.com/a")


async def test_endless_body_ends_at_the_limit_with_memory_flat(scene: Scene) -> None:
    async def endless(_: Request, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    scene.server.on("/a", endless)
    tracemalloc.start()
    try:
        failure = await scene.fails("http://example.com/a", limit=32 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(failure, DownloadTooLarge)
    assert peak < 4 * MIB


async def test_dripping_body_ends(scene: Scene) -> None:
    async def drip(_: Request, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    scene.server.on("/a", drip)
    async with asyncio.timeout(3):  # before the total deadline
        await scene.fails("http://example.com/a")


async def test_dripping_head_ends(scene: Scene) -> None:
    async def drip(_: Request, writer: Writer) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 10_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    scene.server.on("/a", drip)
    async with asyncio.timeout(3):
        await scene.fails("http://example.com/a")


async def test_body_that_is_fast_enough_but_never_ends_meets_the_deadline(scene: Scene) -> None:
    async def trickle(_: Request, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 1024)
            await writer.drain()
            await asyncio.sleep(0.05)

    scene.server.on("/a", trickle)
    async with asyncio.timeout(6):
        await scene.fails("http://example.com/a")


async def test_peer_that_falls_silent_ends(scene: Scene) -> None:
    async def silent(_: Request, __: Writer) -> None:
        await asyncio.sleep(30)

    async def half(_: Request, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await asyncio.sleep(30)

    async def more_to_come(_: Request, writer: Writer) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()

    for behaviour in (silent, half, more_to_come):
        scene.server.on("/a", behaviour)
        async with asyncio.timeout(4):
            await scene.fails("http://example.com/a")


# -- between fetches --------------------------------------------------------------------------


async def test_cookies_and_connections_are_not_carried_over(scene: Scene) -> None:
    scene.server.on(
        "/a", answer(status=302, headers={"Location": "/b", "Set-Cookie": "tenant=a; Path=/"})
    )
    scene.server.on("/b", answer(b"x", headers={"Set-Cookie": "tenant=b"}))
    await scene.fetch("http://example.com/a")
    await scene.fetch("http://example.com/b")
    assert all("cookie" not in request.headers for request in scene.server.requests)
    assert len(scene.network.dialled) == 3


async def test_proxies_of_the_environment_are_not_used(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    scene.server.on("/a", answer(b"x"))
    assert await scene.fetch("http://example.com/a") == b"x"


async def test_certificate_of_another_name_is_refused(scene: Scene) -> None:
    scene.server.on("/a", answer(b"x"))
    await scene.fails("https://example.org/a")
    assert scene.server.requests == []
    trusting_nobody_here = SafeFetcher(resolver=scene.network, dialer=scene.network)
    with pytest.raises(DownloadFailed):
        await trusting_nobody_here.fetch("https://example.com/a", into=scene.folder / "x", limit=1)


async def test_path_and_query_are_not_logged(scene: Scene) -> None:
    scene.server.on("/secret", answer(status=500))
    with structlog.testing.capture_logs() as logs:
        await scene.fails("http://example.com/secret?token=hidden")
        await scene.refused("http://user@example.com/secret?token=hidden")
    assert logs
    assert "secret" not in repr(logs)
    assert "hidden" not in repr(logs)


async def test_cancelled_fetch_leaves_nothing(scene: Scene) -> None:
    async def silent(_: Request, __: Writer) -> None:
        await asyncio.sleep(30)

    scene.server.on("/a", silent)
    task = asyncio.create_task(scene.fetch("http://example.com/a"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- the system's parts -----------------------------------------------------------------------


async def test_dialled_peer_is_the_judged_address(scene: Scene) -> None:
    stream = await TcpDialer().dial(parse_address("127.0.0.1"), scene.network.port, timeout=1)
    assert stream.get_extra_info("server_addr")[:2] == ("127.0.0.1", scene.network.port)
    await stream.aclose()


async def test_connection_that_leads_elsewhere_is_not_used(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = httpcore.AnyIOBackend.connect_tcp

    async def elsewhere(
        backend: httpcore.AnyIOBackend, host: str, port: int, *, timeout: float
    ) -> httpcore.AsyncNetworkStream:
        return await connect(backend, "127.0.0.1", scene.network.port, timeout=timeout)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", elsewhere)
    for address, port in (("8.8.8.8", scene.network.port), ("127.0.0.1", 1)):
        with pytest.raises(httpcore.ConnectError, match="another address"):
            await TcpDialer().dial(parse_address(address), port, timeout=1)


async def test_system_resolver_knows_this_machine_and_gives_up_in_time() -> None:
    resolver = SystemResolver(threads=1, seconds=5)
    assert "127.0.0.1" in await resolver.resolve("localhost")
    with pytest.raises(OSError, match=r"not known|No address|resolution|not a host"):
        await resolver.resolve("does-not-exist.invalid")
    with pytest.raises(OSError, match="not a host name"):
        await resolver.resolve("a" * 70 + ".com")
