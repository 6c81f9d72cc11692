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
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import httpcore
import structlog

from genjobs.adapters.dialing import (
    NETWORK_ERRORS,
    Dialer,
    JudgedBackend,
    TcpDialer,
    public_certificates,
)
from genjobs.adapters.system_resolver import SystemResolver
from genjobs.domain.addresses import IPAddress
from genjobs.domain.errors import DownloadFailed, DownloadTooLarge, Unavailable, UrlNotAllowed
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
    #: The longest silence, and the span over which the rate is measured.
    window: float = 10.0
    #: Bytes a second that a body must bring over every window.
    rate: int = 1024
    total: float = 120.0
    redirects: int = 5


class SafeFetcher:
    """The ``UrlFetcher`` port; holds no state between two fetches."""

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
        try:
            await self._addresses(judged)
        except OSError as exc:
            _log.info("fetch.not_looked_up", origin=judged.origin, reason=type(exc).__name__)

    async def fetch(self, url: str, *, into: Path, limit: int) -> int:
        """See the port."""
        judged = self._policy.parse(url)
        try:
            with _new_file(Path(into)) as file:
                async with asyncio.timeout(self._limits.total):
                    return await self._follow(judged, file, limit)
        except NETWORK_ERRORS as exc:
            # The origin alone: path and query may be a secret. Nor may the cause be told on.
            _log.info("fetch.failed", origin=judged.origin, reason=type(exc).__name__)
            raise DownloadFailed from None

    async def _follow(self, url: Url, file: IO[bytes], limit: int) -> int:
        for _ in range(self._limits.redirects + 1):
            async with self._exchange(b"GET", url) as response:
                if response.status not in _REDIRECTS:
                    return await self._receive(response, file, limit)
                location = _only(response, b"location")
            # The body of a redirect is never read.
            url = self._policy.join(url, _text(location))
        _log.info("fetch.failed", origin=url.origin, reason="redirects")
        raise DownloadFailed

    @asynccontextmanager
    async def _exchange(self, method: bytes, url: Url) -> AsyncIterator[httpcore.Response]:
        """Send one request to judged addresses of ``url`` and hold its answer's head."""
        limits = self._limits
        backend = JudgedBackend(url, await self._addresses(url), self._dialer)
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
        async with httpcore.AsyncConnectionPool(
            ssl_context=self._ssl_context,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=backend,
        ) as pool:
            async with asyncio.timeout(limits.head):
                response = await pool.handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()

    async def _addresses(self, url: Url) -> Sequence[IPAddress]:
        """Return what the host stands for, all of it allowed; ``OSError`` when it is not known."""
        if url.address is not None:
            return (url.address,)
        async with asyncio.timeout(self._limits.head):
            answers = await self._resolver.resolve(url.host)
        if not answers:
            raise OSError("the name has no address")
        if len(answers) > _MAX_ANSWERS:
            raise UrlNotAllowed
        return self._policy.check_answers(answers)

    async def _receive(self, response: httpcore.Response, file: IO[bytes], limit: int) -> int:
        """Write the body to ``file``, counted as it came, and return its size."""
        if response.status not in {200, 203}:
            _log.info("fetch.failed", reason="status", status=response.status)
            raise DownloadFailed
        encodings = b",".join(_values(response, b"content-encoding")).lower().split(b",")
        if {encoding.strip() for encoding in encodings} - {b"", b"identity"}:
            _log.info("fetch.failed", reason="content_encoding")
            raise DownloadFailed
        announced = _values(response, b"content-length")
        if announced and announced[0].isdigit() and int(announced[0][:20]) > limit:
            raise DownloadTooLarge
        received = 0
        pace = _Pace(self._limits)
        async for chunk in response.aiter_stream():
            received += len(chunk)
            if received > limit:
                raise DownloadTooLarge
            pace.count(len(chunk))
            try:
                await asyncio.to_thread(file.write, chunk)
            except OSError as exc:
                raise Unavailable("A download cannot be stored just now.") from exc
        return received


class _Pace:
    """Ends a body that drips."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        self._since = asyncio.get_running_loop().time()
        self._received = 0

    def count(self, received: int) -> None:
        self._received += received
        now = asyncio.get_running_loop().time()
        if now - self._since >= self._limits.window:
            if self._received < self._limits.rate * self._limits.window:
                _log.info("fetch.failed", reason="too_slow")
                raise DownloadFailed
            self._since, self._received = now, 0


def _values(response: httpcore.Response, name: bytes) -> list[bytes]:
    return [value for key, value in response.headers if key.lower() == name]


def _only(response: httpcore.Response, name: bytes) -> bytes:
    values = _values(response, name)
    if len(values) != 1:
        _log.info("fetch.failed", reason="redirect_without_one_location")
        raise DownloadFailed
    return values[0]


def _text(location: bytes) -> str:
    """Return a header's text; servers send UTF-8 as well as what HTTP says (Latin-1)."""
    try:
        return location.decode()
    except UnicodeDecodeError:
        return location.decode("latin-1")


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Hold a file that takes its place only once it is whole."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".download-")
    except OSError as exc:
        raise Unavailable("A download cannot be stored just now.") from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        try:
            Path(name).replace(path)
        except OSError as exc:
            raise Unavailable("A download cannot be stored just now.") from exc
    finally:
        Path(name).unlink(missing_ok=True)
