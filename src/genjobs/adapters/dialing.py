"""
Connections to addresses that were judged, and to nothing else.

The network-backend seam of httpcore: whoever asks for a connection names the host, and gets one to
an address chosen before. Judging is ``safe_fetch``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import zip_longest
from typing import Any, Final, Protocol

import httpcore

from genjobs.domain.addresses import IPAddress
from genjobs.domain.url_policy import Url

_MAX_DIALS: Final = 4


class Dialer(Protocol):
    """
    Opens connections to addresses that were judged.

    ``httpcore.AnyIOBackend().connect_tcp(str(address), port, timeout=timeout)`` is one way to. An
    implementer may lead the connection elsewhere (a test's server), but looks nothing up and adds
    no TLS: that is put on afterwards, in the name of the URL's host.
    """

    async def dial(
        self, address: IPAddress, port: int, *, timeout: float
    ) -> httpcore.AsyncNetworkStream:
        """
        Connect within ``timeout`` seconds.

        Whatever it raises, the next address of the host is tried; with none left the download
        has failed.
        """


class TcpDialer:
    """Dials, and makes sure of who is there."""

    async def dial(
        self, address: IPAddress, port: int, *, timeout: float
    ) -> httpcore.AsyncNetworkStream:
        """See the protocol."""
        stream = await httpcore.AnyIOBackend().connect_tcp(str(address), port, timeout=timeout)
        peer = stream.get_extra_info("server_addr")
        if peer is None or (ip_address(peer[0]), peer[1]) != (address, port):
            await stream.aclose()
            raise httpcore.ConnectError("connected to another address than the one judged")
        return stream


class JudgedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the judged addresses of one URL and to nothing else."""

    def __init__(self, url: Url, addresses: Sequence[IPAddress], dialer: Dialer) -> None:
        self._url = url
        self._addresses = _in_turn(addresses)[:_MAX_DIALS]
        self._dialer = dialer
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return a connection to the first address that answers."""
        if (host, port) != (self._url.host, self._url.port) or timeout is None:
            raise httpcore.ConnectError("asked for another host than the one judged")
        for address in self._addresses:
            try:
                async with asyncio.timeout(timeout):
                    stream = await self._dialer.dial(address, port, timeout=timeout)
                self._opened.append(stream)
                return stream
            except Exception as exc:  # dialers have errors of their own; the next address may do
                last = exc
        raise httpcore.ConnectError("no address answers") from last

    async def aclose(self) -> None:
        """Close what was opened: httpcore forgets a connection whose handshake was cancelled."""
        for stream in self._opened:
            with contextlib.suppress(Exception):
                await stream.aclose()

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no URL names one."""
        raise httpcore.ConnectError("no Unix sockets")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def _in_turn(addresses: Sequence[IPAddress]) -> list[IPAddress]:
    """Let the families take turns, the preferred one first: one may have no route (RFC 8305)."""
    preferred = [address for address in addresses if address.version == addresses[0].version]
    others = [address for address in addresses if address.version != addresses[0].version]
    pairs = zip_longest(preferred, others)
    return [address for pair in pairs for address in pair if address is not None]
