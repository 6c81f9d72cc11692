"""Clients that are slow, endless, silent or gone, on real sockets: each ends, and others go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from genjobs.api.app import create_app
from genjobs.api.middleware import Edge
from genjobs.cli.connections import GuardedProtocol, guarded
from genjobs.cli.serving import Server, server_config
from genjobs.settings import Settings
from genjobs.testing import Harness, a_workflow, open_harness
from genjobs.testing.harness import TEST_KEY
from tests.e2e.processes import peak_memory

HEAD = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TEST_KEY}\r\n"
JSON = "Content-Type: application/json\r\n"


class Line:
    """A connection, byte by byte; what came before a reset is not lost."""

    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened
        self._came = b""

    async def send(self, text: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._opened, text.encode("latin-1"))

    async def drip(self, text: str, *, every: float, times: int) -> None:
        """Send a text again and again, until it is not taken any more."""
        with contextlib.suppress(OSError):
            for _ in range(times):
                await self.send(text)
                await asyncio.sleep(every)

    async def _more(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            chunk = await loop.sock_recv(self._opened, 65_536)
        except ConnectionResetError:  # it was cut off while it went on sending
            chunk = b""
        self._came += chunk
        return bool(chunk)

    async def until(self, end: bytes) -> bytes:
        """Return what comes, up to this."""
        async with asyncio.timeout(5):
            while end not in self._came:
                assert await self._more()
        found, _, self._came = self._came.partition(end)
        return found

    async def ends(self, seconds: float = 5) -> bytes:
        """Return what comes until the server closes."""
        async with asyncio.timeout(seconds):
            while await self._more():
                pass
        return self._came

    async def answer(self, seconds: float = 5) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Return status, headers and JSON; the connection must be closed after it."""
        raw = await self.ends(seconds)
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), headers, json.loads(body)


class Place:
    """The server, in this process."""

    def __init__(self, port: int, server: Server, harness: Harness) -> None:
        self.port, self.server, self.harness = port, server, harness

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        with socket.socket() as opened:
            opened.setblocking(False)
            await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", self.port))
            yield Line(opened)

    async def has_no_job(self) -> None:
        genjobs = self.harness.genjobs
        assert (await genjobs.list(genjobs.reach())).views == []

    async def serves_others(self) -> None:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", trust_env=False
        ) as http:
            assert (await http.get("/livez")).status_code == 200


@asynccontextmanager
async def served(protocol: type[GuardedProtocol], **limits: float) -> AsyncIterator[Place]:
    async with open_harness() as harness:
        app = harness.api
        for middleware in app.user_middleware:
            if middleware.cls is Edge:
                middleware.kwargs.update(limits)
        config = server_config(app, Settings.model_validate({}), protocol)
        config.lifespan = "off"
        server = Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                yield Place(listener.getsockname()[1], server, harness)
            finally:
                server.should_exit = True
                server.force_exit = True
                await serving


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A server of little patience."""
    protocol = guarded(head_seconds=0.4, unread_seconds=1.0)
    async with served(protocol, silence=0.3, longest=0.8) as opened:
        yield opened


def assert_problem(
    answer: tuple[int, dict[str, str], dict[str, Any]], status: int, code: str
) -> None:
    got, headers, body = answer
    assert (got, body["status"], body["code"]) == (status, status, code)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert body["request_id"].startswith("req_")


async def test_connection_without_a_word_is_closed(place: Place) -> None:
    async with place.line() as line:
        assert await line.ends(2) == b""
    await place.serves_others()


@pytest.mark.parametrize("drop", ["X", "X-More: x\r\n"])
async def test_head_that_drips_is_refused_in_time(place: Place, drop: str) -> None:
    async with place.line() as line:
        await line.send(HEAD)
        dripping = asyncio.create_task(line.drip(drop, every=0.05, times=60))
        assert_problem(await line.answer(2), 408, "request_timeout")
        await dripping
    await place.serves_others()


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        ("GET /livez HTTP/1.1\r\nHost: x\r\nX-Big: ", "x" * 10_000),
        ("GET /livez HTTP/1.1\r\nHost: x\r\n", "X-Many: x\r\n" * 1_000),
        ("GET /livez?", "x" * 10_000),
    ],
    ids=["one header", "many headers", "request line"],
)
async def test_endless_head_is_refused_and_not_kept(place: Place, begin: str, more: str) -> None:
    before = peak_memory(os.getpid())
    async with place.line() as line:
        await line.send(begin)
        dripping = asyncio.create_task(line.drip(more, every=0.0001, times=5_000))
        said = await line.ends(3)
        await dripping
    # A client that goes on sending may be cut off before it has read why.
    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
    assert peak_memory(os.getpid()) - before < 20_000_000
    await place.serves_others()


async def test_large_head_that_comes_at_once_is_refused_like_a_slow_one(place: Place) -> None:
    async with place.line() as line:
        await line.send(f"GET /livez HTTP/1.1\r\nHost: x\r\nX-Big: {'x' * 66_000}\r\n\r\n")
        assert_problem(await line.answer(), 431, "headers_too_large")
    async with place.line() as line:
        fits = (
            f"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Big: {'x' * 60_000}\r\n\r\n"
        )
        await line.send(fits)
        assert (await line.answer())[0] == 200


async def test_what_is_not_http_is_a_problem_document(place: Place) -> None:
    async with place.line() as line:
        await line.send("\x16\x03\x01 GET / nonsense\r\n\r\n")
        assert_problem(await line.answer(), 400, "malformed_http")
    await place.serves_others()


@pytest.mark.parametrize("body", ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"])
async def test_body_that_does_not_come_is_refused_and_leaves_nothing(
    place: Place, body: str
) -> None:
    async with place.line() as line:
        await line.send(f"{HEAD}{JSON}{body}\r\n")
        await line.send("1\r\n{\r\n" if "chunked" in body else "{")
        assert_problem(await line.answer(2), 408, "request_timeout")
    await place.has_no_job()
    await place.serves_others()


async def test_body_that_drips_is_refused_in_time(place: Place) -> None:
    async with place.line() as line:
        await line.send(f"{HEAD}{JSON}Content-Length: 1000\r\n\r\n")
        dripping = asyncio.create_task(line.drip(" ", every=0.1, times=50))
        assert_problem(await line.answer(3), 408, "request_timeout")
        await dripping


async def test_body_as_slow_as_it_may_be_is_taken(place: Place) -> None:
    content = json.dumps({"user_id": "u_1", "workflow": a_workflow()})
    async with place.line() as line:
        head = f"{HEAD}{JSON}Connection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        await line.send(head + content[:5])
        await asyncio.sleep(0.1)
        await line.send(content[5:])
        assert (await line.answer())[0] == 202


async def test_client_that_hangs_up_in_the_middle_leaves_nothing(place: Place) -> None:
    async with place.line() as line:
        await line.send(f"{HEAD}{JSON}Content-Length: 1000\r\n\r\n{{")
    async with asyncio.timeout(2):
        while place.server.server_state.connections:
            await asyncio.sleep(0.01)
    await place.has_no_job()


async def test_requests_on_one_connection_have_their_time_each(place: Place) -> None:
    async with place.line() as line:
        for _ in range(4):  # longer than the limit for one head
            await line.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await line.until(b'{"status":"ok"}')).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.2)
        await line.send("GET /livez HTTP/1.1\r\nHos")
        assert_problem(await line.answer(2), 408, "request_timeout")


async def test_idle_connection_is_closed() -> None:
    async with served(guarded(head_seconds=0.4)) as place:
        place.server.config.timeout_keep_alive = 1  # of 5
        async with place.line() as line:
            await line.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await line.ends(3)).startswith(b"HTTP/1.1 200")


async def test_reader_that_stops_reading_is_let_go(place: Place) -> None:
    harness = place.harness
    harness.engine.script.outputs = {"big.bin": bytes(32_000_000)}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{place.port}",
        headers={"Authorization": f"Bearer {TEST_KEY}"},
        trust_env=False,
    ) as http:
        body = {"user_id": "u_1", "workflow": a_workflow()}
        made = (await http.post("/v1/jobs", json=body)).json()
        await harness.run_one()
        job = (await http.get(made["urls"]["self"])).json()
    path = job["outputs"][0]["url"].removeprefix("http://genjobs.test")
    with socket.socket() as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        idle.connect(("127.0.0.1", place.port))
        idle.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await asyncio.sleep(0.3)
        assert place.server.server_state.tasks
        async with asyncio.timeout(20):
            while place.server.server_state.tasks:
                await asyncio.sleep(0.05)
    await place.serves_others()


async def test_peer_that_is_gone_is_looked_for(place: Place) -> None:
    async with place.line() as line:
        await line.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        await line.until(b'{"status":"ok"}')
        [connection] = place.server.server_state.connections
        opened = connection.transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        probes = [
            opened.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert probes[0] + probes[1] * probes[2] <= 60


async def test_upgrade_to_a_socket_is_no_way_in(place: Place) -> None:
    async with place.line() as line:
        await line.send(
            "GET /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await line.ends()).startswith(b"HTTP/1.1 401")


def test_what_is_served_has_these_bounds() -> None:
    config = server_config(create_app(lambda: None, version="0"), Settings())  # type: ignore[arg-type,return-value]
    assert config.http is GuardedProtocol
    assert (GuardedProtocol.head_seconds, GuardedProtocol.max_head_bytes) == (15.0, 65_536)
    assert config.timeout_keep_alive == 5
