"""
Connections to addresses that were judged, and to nothing else.

The network-backend seam of httpcore: whoever asks for a connection names the host, and gets one to
an address chosen before. Judging is ``safe_fetch``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Final, Protocol

import certifi
import httpcore

from genjobs.domain.addresses import IPAddress
from genjobs.domain.url_policy import Url

_MAX_DIALS: Final = 4
NETWORK_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,
)


class Dialer(Protocol):
    """Opens connections to addresses that were judged."""

    async def dial(
        self, address: IPAddress, port: int, *, timeout: float
    ) -> httpcore.AsyncNetworkStream:
        """Connect; raises ``OSError`` or an ``httpcore`` error within ``timeout`` seconds."""


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
        self._addresses = addresses[:_MAX_DIALS]
        self._dialer = dialer

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
        for address in self._addresses[:-1]:
            with contextlib.suppress(*NETWORK_ERRORS):  # the next address may answer
                return await self._dialer.dial(address, port, timeout=timeout)
        return await self._dialer.dial(self._addresses[-1], port, timeout=timeout)

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


def public_certificates() -> ssl.SSLContext:
    """Return a context that trusts certifi's authorities."""
    # Not ssl.create_default_context: that one listens to the environment (SSLKEYLOGFILE).
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    return context
