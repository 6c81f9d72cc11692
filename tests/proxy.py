"""
A TCP proxy before Postgres that misbehaves on demand: delays, resets, swallows, cuts after COMMIT.

Statements here are each a transaction, so "its reply" is everything that the server says from the
moment the statement is executed until it is ready for the next one: then it has committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from genjobs.adapters.postgres.pool import connect_arguments
from tests.postgres_wire import ClientMessages

#: ReadyForQuery, outside of a transaction.
_READY = b"Z\x00\x00\x00\x05I"


@dataclass(slots=True)
class Proxy:
    """A proxy and its switches."""

    url: str
    #: Seconds before anything is passed on.
    latency: float = 0.0
    #: Set: everything is swallowed and connections stay open, as behind a dead NAT entry.
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    #: Set: connections are reset at once, as by a server that is down.
    down: asyncio.Event = field(default_factory=asyncio.Event)
    #: The next statement that holds this text reaches the server and is carried out; its answer
    #: does not come back, and the connection is reset.
    cut_reply_of: bytes | None = None
    #: How many answers were cut off.
    cut: int = 0
    connections: set[asyncio.StreamWriter] = field(default_factory=set)
    _mutes: set[asyncio.Event] = field(default_factory=set)

    def forget(self) -> None:
        """Let the connections there are fall silent for good; new ones are served."""
        for mute in self._mutes:
            mute.set()

    def url_as(self, role: str) -> str:
        """Return the proxy's URL for another role."""
        return self.url.replace(self.url.partition("://")[2].partition("@")[0], role, 1)

    def reset(self) -> None:
        """Reset all connections."""
        for writer in list(self.connections):
            writer.transport.abort()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    """Hold a proxy before the server of ``url``."""
    address = connect_arguments(url)
    host, port = str(address["host"]), int(str(address["port"] or 5432))

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    proxy = Proxy(url="")
    tasks: set[asyncio.Task[None]] = set()

    async def serve(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if proxy.down.is_set():
            back.transport.abort()
            return
        try:
            far, there = await connect()
        except OSError:  # the server is down, and so is its proxy
            back.transport.abort()
            return
        proxy.connections.update((back, there))
        armed, mute = asyncio.Event(), asyncio.Event()
        proxy._mutes.add(mute)
        passing = [
            asyncio.create_task(_requests(proxy, near, there, armed, mute)),
            asyncio.create_task(_answers(proxy, far, back, armed, mute)),
        ]
        tasks.update(passing)
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        tasks.difference_update(passing)
        proxy._mutes.discard(mute)
        for writer in (back, there):
            proxy.connections.discard(writer)
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    number = server.sockets[0].getsockname()[1]
    name = quote(str(address["database"]))
    proxy.url = f"postgresql+asyncpg://{address['user']}@127.0.0.1:{number}/{name}?ssl=disable"
    try:
        yield proxy
    finally:
        server.close()
        proxy.reset()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _requests(
    proxy: Proxy,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    armed: asyncio.Event,
    mute: asyncio.Event,
) -> None:
    messages = ClientMessages()
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            if proxy.latency:
                await asyncio.sleep(proxy.latency)
            if proxy.silent.is_set() or mute.is_set():
                continue
            for statement in messages.executed(data):
                if proxy.cut_reply_of is not None and proxy.cut_reply_of in statement:
                    proxy.cut_reply_of = None
                    armed.set()
            writer.write(data)
            await writer.drain()


async def _answers(
    proxy: Proxy,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    armed: asyncio.Event,
    mute: asyncio.Event,
) -> None:
    carried_out = b""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            if proxy.latency:
                await asyncio.sleep(proxy.latency)
            if proxy.silent.is_set() or mute.is_set():
                continue
            if armed.is_set():
                carried_out += data
                if _READY in carried_out:
                    proxy.cut += 1
                    return
                continue
            writer.write(data)
            await writer.drain()
