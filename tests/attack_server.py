"""
A hostile server on loopback, and a network in which it answers for the whole Internet.

The fetcher under test resolves and dials through the two classes here. Both only translate and
record: what is allowed is decided by the code under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpcore

from genjobs.domain.addresses import IPAddress, is_public

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Behaviour = Callable[["Request", Writer], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived."""

    target: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class Network:
    """Names, their answers look-up by look-up, and every dial that was attempted."""

    port: int
    tls_port: int
    #: Host to its answers; of a list of lists each look-up takes the next.
    names: dict[str, list[list[str]]] = field(default_factory=dict)
    looked_up: list[str] = field(default_factory=list)
    dialled: list[tuple[str, int]] = field(default_factory=list)
    #: Addresses at which nobody listens.
    dead: set[str] = field(default_factory=set)

    async def resolve(self, host: str) -> Sequence[str]:
        """Answer as told, 203.0.114.7 for any other name: a public address."""
        self.looked_up.append(host)
        answers = self.names.get(host)
        if answers is None:
            return ["203.0.114.7"]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return found

    async def dial(
        self, address: IPAddress, port: int, *, timeout: float
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the server in the place of ``address``."""
        self.dialled.append((str(address), port))
        if str(address) in self.dead:
            raise ConnectionRefusedError
        real = self.tls_port if port == 443 else self.port
        return await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", real, timeout=timeout)

    def forbidden_dials(self) -> list[tuple[str, int]]:
        """Return the dials that should never have been attempted."""
        from ipaddress import ip_address

        return [
            (text, port)
            for text, port in self.dialled
            if not is_public(ip_address(text)) or port not in {80, 443}
        ]


class AttackServer:
    """Answers each request by the behaviour registered for its path."""

    def __init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.requests: list[Request] = []
        self.serving: set[asyncio.Task[None]] = set()

    def on(self, path: str, behaviour: Behaviour) -> None:
        """Answer ``path`` (without its query) so."""
        self.behaviours[path] = behaviour

    async def handle(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, KeyError):
                await self._answer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await asyncio.wait_for(writer.wait_closed(), 1)
            self.serving.discard(task)

    async def _answer(self, reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        target = first.split(" ")[1]
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        request = Request(target=target, headers=headers)
        self.requests.append(request)
        await self.behaviours[target.partition("?")[0]](request, writer)
        await writer.drain()

    async def stop(self) -> None:
        """End whatever is still being served."""
        for task in self.serving:
            task.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)


def answer(
    body: bytes = b"", *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Behaviour:
    """Return the behaviour of an ordinary server; ``headers`` may be a lie."""

    async def behave(_: Request, writer: Writer) -> None:
        lines = [f"HTTP/1.1 {status} Fine", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        if headers is None or "Content-Length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode("utf-8") + body)

    return behave


def raw(content: bytes) -> Behaviour:
    """Return the behaviour of sending exactly these bytes and closing."""

    async def behave(_: Request, writer: Writer) -> None:
        writer.write(content)

    return behave


@asynccontextmanager
async def attack_server(
    tls: ssl.SSLContext,
) -> AsyncIterator[tuple[AttackServer, Network]]:
    """Hold the server, in clear and with TLS, and the network around it."""
    server = AttackServer()
    async with (
        await asyncio.start_server(server.handle, "127.0.0.1", 0) as clear,
        await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls) as secure,
    ):
        yield (
            server,
            Network(
                port=clear.sockets[0].getsockname()[1], tls_port=secure.sockets[0].getsockname()[1]
            ),
        )
