"""
Single requests to the store: bounded in time, repeated when that may help, errors translated.

botocore's own retries are off, since they bound neither one try nor the whole. What a caller
expects to be told (a missing file) reaches it as :class:`Answered`; all else is ``Unavailable``.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import aiohttp  # what aioboto3 streams with; its errors come through in the middle of a body
import structlog
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from genjobs.domain.errors import Unavailable

#: What a broken, silent or slow connection looks like.
LOST: Final = (
    aiohttp.ClientError,
    BotoConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
    OSError,
    TimeoutError,
)
#: Answers that say "not now" with another status than 429 or 5xx.
_LATER: Final = frozenset({"RequestTimeout", "SlowDown", "OperationAborted", "TooManyRequests"})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the store is waited for, in seconds."""

    #: To be connected.
    connect: float = 5.0
    #: For the next byte.
    silence: float = 20.0
    #: For one try of a request with its whole body, or for the next chunk of a download.
    attempt: float = 60.0
    #: For all tries of a request.
    total: float = 150.0
    tries: int = 4
    #: Before the second try, at most; the bound doubles. The pause is random, so that clients
    #: that failed together do not come back together.
    pause: float = 0.5
    #: How much longer a request that may make a file visible goes on after a cancel, and for how
    #: long parts are tried to be taken away.
    grace: float = 5.0

    def before(self, attempt: int) -> float:
        """Return the pause before try number ``attempt`` (from 1, the first repeat)."""
        return random.uniform(0, self.pause * 2 ** (attempt - 1))  # noqa: S311


class Answered(Exception):
    """The store answered with an error code that the caller had named."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Calls:
    """Requests on one bucket."""

    def __init__(self, client: Any, bucket: str, patience: Patience) -> None:
        self._client = client
        self._bucket = bucket
        self.patience = patience

    async def __call__(
        self,
        operation: str,
        *,
        expected: Collection[str] = (),
        needs: str = "",
        body: bytes | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """
        Call an operation of the S3 client and return its answer, which has the member ``needs``.

        Raises:
            Answered: the store's error code is one of ``expected``.
            Unavailable: it cannot be reached, is too slow, fails, or refuses.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience.total
        for attempt in range(1, self.patience.tries + 1):
            if body is not None:
                # A stream, since the HTTP client would write bytes in one go.
                arguments["Body"] = io.BytesIO(body)
            try:
                async with asyncio.timeout_at(min(loop.time() + self.patience.attempt, until)):
                    answer: dict[str, Any] = await getattr(self._client, operation)(
                        Bucket=self._bucket, **arguments
                    )
                    if not needs or needs in answer:
                        return answer
                    raise ConnectionError("not a store's answer")  # some proxy's page, perhaps
            except ClientError as exc:
                code, status = _told(exc)
                if code in expected:
                    raise Answered(code) from exc
                if code not in _LATER and status not in {408, 429} and status < 500:
                    # Wrong credentials, a missing bucket: for operators, and no other try helps.
                    _log.error("artifacts.refused", operation=operation, code=code, status=status)
                    raise Unavailable from exc
                reason, cause = code, exc.__cause__ or exc
            except LOST as exc:
                reason, cause = type(exc).__name__, exc
            pause = self.patience.before(attempt)
            if attempt == self.patience.tries or loop.time() + pause >= until:
                break
            _log.info("artifacts.repeated", operation=operation, reason=reason, attempt=attempt)
            await asyncio.sleep(pause)
        _log.warning("artifacts.unavailable", operation=operation, reason=reason)
        raise Unavailable from cause


def _told(exc: ClientError) -> tuple[str, int]:
    error = exc.response.get("Error", {})
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(error.get("Code", "")), int(status)
