# ruff: noqa: RUF001 (look-alike characters are what is tested)
"""The fetcher against answers of all kinds: odd but legal ones are taken, broken ones are not."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import resource
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpcore
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from genjobs.adapters.certificates import covers
from genjobs.adapters.safe_fetch import FetchLimits, SafeFetcher
from genjobs.domain.addresses import IPAddress
from genjobs.domain.errors import DownloadFailed, DownloadTooLarge, Unavailable, UrlNotAllowed
from tests.attack_server import Behaviour, Request, Writer, answer, attack_server, raw
from tests.integration.fetching import LIMIT, Scene, open_scene

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LIMITS = FetchLimits(connect=0.3, head=1, window=0.5, total=2)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path) as opened:
        yield opened


def dripping(start: bytes, drop: bytes) -> Behaviour:
    """Return the behaviour of sending ``start`` and then a little, again and again."""

    async def behave(_: Request, writer: Writer) -> None:
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.05)

    return behave


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.0 200 OK\r\n\r\nabc",
        OK + b"Connection: close\r\n\r\nabc",
        OK + b"content-length:3\r\n\r\nabc",
        OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Length: 3, 3\r\n\r\nabc",
        OK + b"Content-Length: 0003\r\n\r\nabc",
        OK + b"X: a\r\n  folded\r\nContent-Length: 3\r\n\r\nabc",
        OK + "X: maçã\r\nContent-Length: 3\r\n\r\nabc".encode(),
        OK + b"X: ma\xe7\xe3\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"X: " + b"a" * 60_000 + b"\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Encoding: Identity\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Encoding:\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
        b"HTTP/1.1 203 Sure\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + OK + b"\r\nabc",
        OK + b"TRANSFER-ENCODING: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b'1;a=b\r\na\r\n002;c="d"\r\nbc\r\n0;e\r\n\r\n',
        CHUNKED + b"3\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n",
        OK + b"Content-Length: 3\r\n\r\nabc" + OK + b"Content-Length: 3\r\n\r\nxyz",
    ],
    ids=lambda content: repr(content[-40:]),
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_odd_but_legal_answer_is_taken(scene: Scene, content: bytes, scheme: str) -> None:
    scene.server.on("/a", raw(content))
    assert await scene.fetch(f"{scheme}://example.com/a") == b"abc"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>hi</html>",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x16\x03\x01\x00\xff\r\n\r\n",
        b"HTTP/2 200\r\n\r\nabc",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nabc",
        b"HTTP/1.1 300 Choices\r\nLocation: /a\r\n\r\n",
        b"HTTP/1.1 302 F\r\nLocation: /a\r\nLocation: http://127.0.0.1/\r\n\r\n",
        OK + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
        OK + b"Content-Length: +3\r\n\r\nabc",
        OK + b"Content-Length:\r\n\r\nabc",
        OK + b"Content-Length: 3, 4\r\n\r\nabcd",
        OK + "Content-Length: ３\r\n\r\nabc".encode(),
        OK + b"Content-Length : 3\r\n\r\nabc",
        OK + b"X: a\0b\r\n\r\nabc",
        CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabcX0\r\n\r\n",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"f" * 30 + b"\r\nabc",
    ],
    ids=lambda content: repr(content[-40:]),
)
async def test_answer_that_is_no_http_or_no_whole_file_fails(scene: Scene, content: bytes) -> None:
    scene.server.on("/a", raw(content))
    await scene.fails("http://example.com/a")


@pytest.mark.parametrize("length", [f"{LIMIT + 1}, {LIMIT + 1}", f"000{LIMIT + 1}"])
async def test_announced_size_is_read_in_every_spelling(scene: Scene, length: str) -> None:
    scene.server.on("/a", raw(OK + f"Content-Length: {length}\r\n\r\n".encode()))
    assert isinstance(await scene.fails("http://example.com/a"), DownloadTooLarge)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/ma\xc3\xa7\xc3\xa3", "/ma%C3%A7%C3%A3"),
        (b"/ma\xe7\xe3", "/ma%E7%E3"),  # not UTF-8: the bytes stand for themselves
        (b"/b;", "/b;"),
        (b"b?#top", "/b?"),
        (b"  /b  ", "/b"),
        (b"//my_own.buckets.com/b?sig=%2F+~|{}\"'@:", "/b?sig=%2F+~|{}\"'@:"),
        ("https://bücher.de/b".encode(), "/b"),
    ],
)
async def test_location_is_understood_as_browsers_do(
    scene: Scene, location: bytes, target: str
) -> None:
    scene.server.on("/a", raw(b"HTTP/1.1 302 F\r\nlocation: " + location + b"\r\n\r\n"))
    scene.server.on(target.partition("?")[0], answer(b"x"))
    assert await scene.fetch("https://example.com/a") == b"x"
    assert scene.server.requests[-1].target == target


@pytest.mark.parametrize("location", ["///127.0.0.1/", "////127.0.0.1/", "http:///127.0.0.1/"])
async def test_location_with_an_empty_host_is_refused(scene: Scene, location: str) -> None:
    scene.server.on("/a", answer(status=302, headers={"Location": location}))
    await scene.refused("http://example.com/a")
    assert len(scene.network.dialled) == 1


# -- time -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    [
        dripping(CHUNKED + b"3;", b"x"),
        dripping(CHUNKED, b"0"),
        dripping(CHUNKED + b"3\r\nabc\r\n0\r\nX: ", b"x"),
        dripping(OK + b"\r\n" + b"x" * 500_000, b"x"),
        dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["chunk extension", "chunk size", "trailer", "after a burst", "hints"],
)
async def test_drip_in_any_part_ends_before_the_total_deadline(
    scene: Scene, behaviour: Behaviour
) -> None:
    scene.server.on("/a", behaviour)
    async with asyncio.timeout(2.5):
        await scene.fails("http://example.com/a")


async def test_slow_body_above_the_rate_arrives(scene: Scene) -> None:
    async def in_lumps(_: Request, writer: Writer) -> None:
        writer.write(OK + b"Content-Length: 10240\r\n\r\n")
        for _ in range(5):  # 5 KiB a second where 4 are wanted
            writer.write(b"x" * 2048)
            await writer.drain()
            await asyncio.sleep(0.4)

    scene.server.on("/a", in_lumps)
    assert await scene.fetch("http://example.com/a") == b"x" * 10240


async def test_body_of_tiny_chunks_leaves_others_their_turn(scene: Scene) -> None:
    async def tiny(_: Request, writer: Writer) -> None:
        writer.write(CHUNKED)
        for _ in range(4):
            writer.write(b"1\r\nx\r\n" * 2000)
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    scene.server.on("/a", tiny)
    fetching = asyncio.create_task(scene.fetch("http://example.com/a"))
    turns = 0
    while not fetching.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 4_000
    assert await fetching == b"x" * 8_000


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_connection_reset_in_the_body_fails(scene: Scene, scheme: str) -> None:
    async def reset(_: Request, writer: Writer) -> None:
        writer.write(OK + b"\r\nabc")
        await writer.drain()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    scene.server.on("/a", reset)
    await scene.fails(f"{scheme}://example.com/a")


# -- resolvers and dialers --------------------------------------------------------------------


class Answering:
    """A resolver that answers or raises as told."""

    def __init__(self, answers: Callable[[], object]) -> None:
        self._answers = answers

    async def resolve(self, host: str) -> object:
        return self._answers()


@pytest.mark.parametrize(
    "answers",
    [
        lambda: [ipaddress.ip_address("8.8.8.8")],
        lambda: {"8.8.8.8"},
        lambda: iter(["8.8.8.8", "8.8.8.8"]),
        lambda: ["2606:4700:0:0:0:0:0:7"],
    ],
)
async def test_answers_are_taken_in_any_collection(
    scene: Scene, answers: Callable[[], object]
) -> None:
    scene.server.on("/a", answer(b"x"))
    resolver = Answering(answers)
    fetcher = SafeFetcher(resolver=resolver, dialer=scene.network)  # type: ignore[arg-type]
    assert await fetcher.fetch("http://example.com/a", into=scene.folder / "x", limit=1) == 1


@pytest.mark.parametrize(
    "failure",
    [socket.gaierror(-2, "x"), TimeoutError(), UnicodeError("x"), RuntimeError("x"), KeyError("x")],
    ids=lambda failure: type(failure).__name__,
)
async def test_look_up_that_fails_in_any_way_is_no_refusal(
    scene: Scene, failure: Exception
) -> None:
    def fail() -> object:
        raise failure

    for answers in (fail, lambda: None, lambda: 5):
        resolver = Answering(answers)
        fetcher = SafeFetcher(resolver=resolver, dialer=scene.network)  # type: ignore[arg-type]
        await fetcher.judge("http://example.com/a")
        with pytest.raises(DownloadFailed):
            await fetcher.fetch("http://example.com/a", into=scene.folder / "x", limit=1)
    assert scene.network.dialled == []


@pytest.mark.parametrize("found", [None, 5, b"8.8.8.8", ("8.8.8.8", 80), "8.8.8.8\n", 134744072])
async def test_answer_that_is_no_address_refuses_the_name(scene: Scene, found: object) -> None:
    resolver = Answering(lambda: ["8.8.8.8", found])
    fetcher = SafeFetcher(resolver=resolver, dialer=scene.network)  # type: ignore[arg-type]
    with pytest.raises(UrlNotAllowed):
        await fetcher.fetch("http://example.com/a", into=scene.folder / "x", limit=1)
    assert scene.network.dialled == []


@pytest.mark.parametrize("failure", [OSError("x"), RuntimeError("x"), EOFError(), TimeoutError()])
async def test_dialer_that_fails_in_any_way_is_asked_for_the_next_address(
    scene: Scene, failure: Exception
) -> None:
    class Failing:
        dialled = 0

        async def dial(
            self, address: ipaddress.IPv4Address, port: int, *, timeout: float
        ) -> httpcore.AsyncNetworkStream:
            self.dialled += 1
            if isinstance(failure, TimeoutError):
                await asyncio.sleep(60)
            raise failure

    scene.network.names["example.com"] = [["8.8.8.8", "8.8.4.4"]]
    dialer = Failing()
    fetcher = SafeFetcher(
        resolver=scene.network,
        dialer=dialer,  # type: ignore[arg-type]
        limits=LIMITS,
    )
    with pytest.raises(DownloadFailed):
        await fetcher.fetch("http://example.com/a", into=scene.folder / "x", limit=1)
    assert dialer.dialled == 2


async def test_address_families_take_turns(scene: Scene) -> None:
    sixes = [f"2606:4700::{n}" for n in range(1, 9)]
    scene.network.names["example.com"] = [[*sixes, "8.8.8.8"]]
    scene.network.dead.update(sixes)  # as on a machine without a route for them
    scene.server.on("/a", answer(b"x"))
    assert await scene.fetch("http://example.com/a") == b"x"
    assert scene.network.dialled == [("2606:4700::1", 80), ("8.8.8.8", 80)]


@pytest.mark.parametrize("limits", [FetchLimits(), FetchLimits(head=0.1), FetchLimits(total=0.1)])
async def test_connection_does_not_outlive_its_fetch(scene: Scene, limits: FetchLimits) -> None:
    """A handshake that stalls is ended from outside: nobody but the fetch knows the connection."""
    scene.network.tls_port = scene.network.port  # there nobody answers a TLS greeting
    fetcher = SafeFetcher(resolver=scene.network, dialer=scene.network, limits=limits)
    gc.disable()
    try:
        fetching = asyncio.create_task(
            fetcher.fetch("https://example.com/a", into=scene.folder / "x", limit=1)
        )
        await asyncio.sleep(0.2)
        assert fetching.cancel() == (limits == FetchLimits())
        await asyncio.gather(fetching, return_exceptions=True)
        async with asyncio.timeout(1):
            while scene.server.serving:
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


# -- certificates -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["a.buckets.com", "my_own.buckets.com", "bücher.buckets.com"])
async def test_wildcard_stands_for_one_label(scene: Scene, host: str) -> None:
    scene.server.on("/a", answer(b"x"))
    assert await scene.fetch(f"https://{host}/a") == b"x"


@pytest.mark.parametrize(
    "host", ["my_own.example.com", "a.my_own.buckets.com", "_.com", "a_b.com", "buckets.com"]
)
async def test_no_other_name_is_covered(scene: Scene, host: str) -> None:
    scene.server.on("/a", answer(b"x"))
    await scene.fails(f"https://{host}/a")
    assert scene.server.requests == []


async def test_underscore_makes_no_stranger_trusted(tmp_path: Path) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("*.buckets.com").configure_cert(serving)
    async with attack_server(serving) as (server, network):
        fetcher = SafeFetcher(resolver=network, dialer=network, limits=LIMITS)
        with pytest.raises(DownloadFailed):
            await fetcher.fetch("https://my_own.buckets.com/a", into=tmp_path / "x", limit=1)
        assert server.requests == []


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("my_own.example.com", "my_own.example.com", True),
        ("*.Example.com", "my_own.example.com", True),
        ("*.example.com", "my_own.sub.example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.com", "a_b.com", False),
        ("*", "a_b", False),
        ("*.*.com", "a_b.example.com", False),
        ("my*.example.com", "my_own.example.com", False),
    ],
)
def test_certificate_name_is_matched_by_the_standard(
    pattern: str, host: str, expected: bool
) -> None:
    assert covers(pattern, host) is expected


# -- the file ---------------------------------------------------------------------------------


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the system refuse longer files, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [5_000, 800_000])
async def test_full_disk_is_our_trouble_and_not_the_urls(scene: Scene, size: int) -> None:
    scene.server.on("/a", answer(b"x" * size))
    with no_file_larger_than(4096), pytest.raises(Unavailable):
        await scene.fetch("http://example.com/a")


# -- any bytes --------------------------------------------------------------------------------


_PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 302 F\r\n",
        b"HTTP/1.1 103 E\r\n\r\n",
        b"Location: /b\r\n",
        b"Location: http://127.0.0.1/\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n",
        b"\r\n",
        b"abc",
    ]
)


@given(st.lists(_PIECES | st.binary(max_size=20), max_size=12))
def test_any_bytes_are_a_file_or_a_failure(pieces: list[bytes]) -> None:
    dialled = []

    class Canned:
        async def resolve(self, host: str) -> list[str]:
            return ["8.8.8.8"]

        async def dial(
            self, address: IPAddress, port: int, *, timeout: float
        ) -> httpcore.AsyncNetworkStream:
            dialled.append(str(address))
            return httpcore.AsyncMockStream(list(pieces))

    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "file"
        fetcher = SafeFetcher(resolver=Canned(), dialer=Canned(), ssl_context=NO_TLS)
        try:
            asyncio.run(fetcher.fetch("http://example.com/a", into=into, limit=5))
        except (DownloadFailed, UrlNotAllowed):
            assert list(Path(folder).iterdir()) == []
        else:
            assert into.stat().st_size <= 5
    assert set(dialled) == {"8.8.8.8"}
    assert len(dialled) <= 6
