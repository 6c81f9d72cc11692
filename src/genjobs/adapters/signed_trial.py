"""The ``SignedTrial`` port over HTTP: a client that has nothing but the URL; and a look at TLS."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import Final

import httpx

from genjobs.domain.errors import Unavailable
from genjobs.domain.ports import NotReached, SignedPut, TlsFacts

_SECONDS: Final = 8.0
_MOST_BYTES: Final = 1024 * 1024


class HttpTrial:
    """Sends single requests; certificates are verified, nothing is followed, no proxy is used."""

    async def put(self, signed: SignedPut, body: bytes) -> bool:
        """See the port."""
        answer = await self._send("PUT", signed.url, dict(signed.headers), body)
        return answer[0] in {200, 201, 204}

    async def get(self, url: str) -> bytes | None:
        """See the port."""
        status, body = await self._send("GET", url, {}, None)
        return body if status == 200 else None

    async def _send(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        """Return status and body; a server's own failure is no refusal, but no answer either."""
        try:
            async with (
                asyncio.timeout(_SECONDS),
                httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as http,
                http.stream(method, url, headers=headers, content=body) as answer,
            ):
                if answer.status_code >= 500:
                    raise Unavailable(f"The store answered {answer.status_code}.")
                read = b""
                async for chunk in answer.aiter_bytes():
                    read += chunk
                    if len(read) > _MOST_BYTES:
                        raise Unavailable("The store sent more than was asked for.")
                return answer.status_code, read
        except (httpx.HTTPError, TimeoutError, OSError) as exc:
            raise Unavailable(f"No answer to a signed URL: {type(exc).__name__}.") from exc


async def look_at_tls(host: str, port: int) -> TlsFacts | NotReached:
    """Return what TLS there is, its certificate verified; or why it is not."""
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except ssl.SSLCertVerificationError as exc:
        return NotReached(code="tls_not_trusted", seen=exc.verify_message)
    except ssl.SSLError as exc:
        return NotReached(code="tls_not_trusted", seen=exc.reason or type(exc).__name__)
    except (OSError, TimeoutError) as exc:
        return NotReached(code="store_unreachable", seen=type(exc).__name__)
    try:
        tunnel: ssl.SSLObject = writer.get_extra_info("ssl_object")
        certificate = tunnel.getpeercert() or {}
        ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        return TlsFacts(
            version=tunnel.version() or "TLS", certificate_ends=datetime.fromtimestamp(ends, UTC)
        )
    finally:
        writer.close()
