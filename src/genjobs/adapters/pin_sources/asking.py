"""Asking a web server for one document, bounded in time and in size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from genjobs.domain.errors import Unavailable

_SECONDS: Final = 60.0
_MOST_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered."""

    host: str
    status: int
    headers: httpx.Headers
    content: bytes

    def document(self) -> dict[str, Any]:
        """
        Return the JSON object in it.

        Raises:
            Unavailable: the status is not 200, or there is none.
        """
        if self.status != 200:
            raise Unavailable(f"{self.host} answered {self.status}")
        try:
            found = json.loads(self.content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Unavailable(f"{self.host} answered with something else than expected")
        return found


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks; an answer comes whole within its bounds, or not at all."""

    client: httpx.AsyncClient
    seconds: float = _SECONDS
    most_bytes: int = _MOST_BYTES

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        follow: bool = False,
    ) -> Answer:
        """
        Return the answer to a GET, whatever its status.

        ``follow``: where the server sends us; credentials are left behind when that is elsewhere.

        Raises:
            Unavailable: it does not come in time, or is too large.
        """
        try:
            asked = httpx.URL(url, params=params) if params else httpx.URL(url)
        except httpx.InvalidURL as exc:
            raise Unavailable("a server named an address that is none") from exc
        content = bytearray()
        try:
            async with (
                asyncio.timeout(self.seconds),
                self.client.stream(
                    "GET",
                    asked,
                    headers={"Accept-Encoding": "identity", **(headers or {})},
                    follow_redirects=follow,
                    timeout=self.seconds,
                ) as answer,
            ):
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > self.most_bytes:
                        raise Unavailable(f"{asked.host} answers with too much")
        except TimeoutError as exc:
            raise Unavailable(f"{asked.host} did not answer within {self.seconds:g} s") from exc
        except httpx.HTTPError as exc:
            raise Unavailable(f"{asked.host}: {type(exc).__name__}") from exc
        return Answer(
            host=asked.host,
            status=answer.status_code,
            headers=answer.headers,
            content=bytes(content),
        )
