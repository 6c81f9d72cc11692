"""
Fetching what a customer names, without reaching what nobody should.

Every hop is judged whole: the URL by the policy, then every address its name stands for, in one
look-up. The address that was judged is the one that is dialled, while ``Host``, SNI and the
certificate keep the name (the network-backend seam of httpcore). Which URLs and addresses are
allowed is ``domain.url_policy``'s; what the bytes are is the media inspector's.

Each hop has a connection of its own, and nothing outlives a fetch: no cookie, no connection, no
setting of the environment, no proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, Final

import httpcore
import structlog

from genjobs.adapters.certificates import for_names_with_underscores, public_certificates
from genjobs.adapters.dialing import Dialer, JudgedBackend, TcpDialer
from genjobs.adapters.receiving import header_values, new_file, receive
from genjobs.adapters.system_resolver import SystemResolver
from genjobs.domain.addresses import IPAddress
from genjobs.domain.errors import DownloadFailed, GenjobsError, UrlNotAllowed
from genjobs.domain.ports import Resolver
from genjobs.domain.url_policy import Url, UrlPolicy

__all__ = ["Dialer", "FetchLimits", "SafeFetcher", "SystemResolver", "TcpDialer"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_ANSWERS: Final = 64
_HEADERS: Final = (
    (b"User-Agent", b"genjobs"),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"identity"),  # what is counted is what was sent: no bomb to unpack
    (b"Connection", b"close"),
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Times in seconds. The size of headers is bounded by httpcore (100 KiB)."""

    connect: float = 5.0
    #: From the look-up's end to the last response header, of each hop.
    head: float = 15.0
    #: The longest silence.
    window: float = 10.0
    #: Bytes a second that a body must bring; those of one window may come late.
    rate: int = 1024
    total: float = 120.0
    redirects: int = 5


class SafeFetcher:
    """
    The ``UrlFetcher`` port; holds no state between two fetches.

    Args:
        resolver: looks names up; what it answers is judged.
        dialer: connects to judged addresses only, and wherever it leads them.
        ssl_context: whose authorities are trusted, in the place of certifi's. No argument turns a
            check off.
    """

    def __init__(
        self,
        policy: UrlPolicy | None = None,
        resolver: Resolver | None = None,
        dialer: Dialer | None = None,
        *,
        limits: FetchLimits | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy or UrlPolicy()
        self._resolver = resolver or SystemResolver()
        self._dialer = dialer or TcpDialer()
        self._limits = limits or FetchLimits()
        self._ssl_context = ssl_context or public_certificates()

    async def judge(self, url: str) -> None:
        """See the port."""
        judged = self._policy.parse(url)
        with contextlib.suppress(OSError):  # the download judges it again
            await self._addresses(judged)

    async def fetch(self, url: str, *, into: Path, limit: int) -> int:
        """See the port."""
        judged = self._policy.parse(url)
        try:
            with new_file(Path(into)) as file:
                async with asyncio.timeout(self._limits.total):
                    return await self._follow(judged, file, limit)
        except GenjobsError:
            raise
        except Exception as exc:
            # Whatever a peer, a resolver or a dialer comes up with is a download that failed. The
            # origin alone is logged: path and query may be a secret. Nor is the cause told on.
            _log.info("fetch.failed", origin=judged.origin, reason=type(exc).__name__)
            raise DownloadFailed from None

    async def _follow(self, url: Url, file: IO[bytes], limit: int) -> int:
        for _ in range(self._limits.redirects + 1):
            async with self._exchange(b"GET", url) as response:
                if response.status not in _REDIRECTS:
                    limits = self._limits
                    return await receive(
                        response, file, limit=limit, window=limits.window, rate=limits.rate
                    )
                location = _only(response, b"location")
            # The body of a redirect is never read.
            url = self._policy.join(url, _text(location))
        _log.info("fetch.failed", origin=url.origin, reason="redirects")
        raise DownloadFailed

    @asynccontextmanager
    async def _exchange(self, method: bytes, url: Url) -> AsyncIterator[httpcore.Response]:
        """Send one request to judged addresses of ``url`` and hold its answer's head."""
        limits = self._limits
        addresses = await self._addresses(url)
        request = httpcore.Request(
            method,
            httpcore.URL(
                scheme=url.scheme.encode(),
                host=url.host.encode(),
                port=url.port,
                target=url.target.encode(),
            ),
            headers=[(b"Host", url.authority.encode()), *_HEADERS],
            extensions={
                "timeout": {
                    "connect": limits.connect,
                    "read": limits.window,
                    "write": limits.window,
                    "pool": limits.connect,
                }
            },
        )
        async with (
            contextlib.aclosing(JudgedBackend(url, addresses, self._dialer)) as backend,
            httpcore.AsyncConnectionPool(
                ssl_context=self._underscored if "_" in url.host else self._ssl_context,
                max_connections=1,
                max_keepalive_connections=0,
                network_backend=backend,
            ) as pool,
        ):
            async with asyncio.timeout(limits.head):
                response = await pool.handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()

    @cached_property
    def _underscored(self) -> ssl.SSLContext:
        return for_names_with_underscores(self._ssl_context)

    async def _addresses(self, url: Url) -> Sequence[IPAddress]:
        """Return what the host stands for, all of it allowed; ``OSError`` when it is not known."""
        if url.address is not None:
            return (url.address,)
        try:
            async with asyncio.timeout(self._limits.head):
                answers = tuple(islice(await self._resolver.resolve(url.host), _MAX_ANSWERS + 1))
        except Exception as exc:  # resolvers have errors of their own
            _log.info("fetch.not_looked_up", origin=url.origin, reason=type(exc).__name__)
            raise OSError("the name could not be looked up") from exc
        if not answers:
            raise OSError("the name has no address")
        if len(answers) > _MAX_ANSWERS:
            raise UrlNotAllowed
        return self._policy.check_answers(answers)


def _only(response: httpcore.Response, name: bytes) -> bytes:
    values = set(header_values(response, name))
    if len(values) != 1:
        _log.info("fetch.failed", reason="redirect_without_one_location")
        raise DownloadFailed
    return values.pop()


def _text(location: bytes) -> str:
    """Return a header's text: servers send UTF-8, and bytes that are none stand for themselves."""
    try:
        return location.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in location)
