"""One file, or a part of it, on its way out of the store; a lost connection is taken up again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from genjobs.adapters.r2.calls import LOST, Answered, Calls
from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.errors import NotFound, Unavailable

CHUNK_BYTES: Final = 1024 * 1024


class Download:
    """A file being read from ``start``; ``length`` None means to its end, otherwise positive."""

    def __init__(self, calls: Calls, key: ArtifactKey, *, start: int, length: int | None) -> None:
        self._calls = calls
        self._key = key
        self._position = start
        self._end = None if length is None else start + length
        self._tag: str | None = None
        self._left = 0
        self._body: Any = None

    async def open(self) -> None:
        """
        Ask for the file from where it was left.

        Raises:
            NotFound: there is no such file.
            Unavailable: the store cannot be reached, or the file is another one meanwhile.
        """
        ranged = self._position > 0 or self._end is not None
        arguments: dict[str, Any] = {"Range": self._range()} if ranged else {}
        if self._tag is not None:
            arguments["IfMatch"] = self._tag
        try:
            answer = await self._calls(
                "get_object",
                needs="ETag",
                expected={"NoSuchKey", "InvalidRange", "PreconditionFailed"},
                Key=self._key,
                **arguments,
            )
        except Answered as exc:
            if exc.code == "NoSuchKey":
                raise NotFound from exc
            if exc.code == "InvalidRange" and self._tag is None:
                return  # it ends before ``start``
            raise Unavailable from exc
        self._body = answer["Body"]
        if ranged and not answer.get("ContentRange", "").startswith(f"bytes {self._position}-"):
            self.close()
            raise Unavailable  # not the part that was asked for
        self._tag, self._left = answer["ETag"], answer["ContentLength"]

    def _range(self) -> str:
        return f"bytes={self._position}-{'' if self._end is None else self._end - 1}"

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield what is left of the file."""
        lost = 0
        while self._left:
            try:
                chunk = await self._chunk()
            except LOST as exc:
                self.close()
                lost += 1
                if lost >= self._calls.patience.tries:
                    raise Unavailable from exc
                await asyncio.sleep(self._calls.patience.before(lost))
                await self.open()
                continue
            lost = 0
            self._position += len(chunk)
            self._left -= len(chunk)
            if not self._left:
                self.close()
            yield chunk

    async def _chunk(self) -> bytes:
        """Return the next chunk; a store that sends too slowly is lost, too."""
        pieces: list[bytes] = []
        wanted = min(self._left, CHUNK_BYTES)
        async with asyncio.timeout(self._calls.patience.attempt):
            while wanted:
                piece = await self._body.read(wanted)
                if not piece:
                    raise ConnectionError("the answer ended early")
                pieces.append(piece)
                wanted -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Drop the connection unless everything was read from it."""
        body, self._body = self._body, None
        if body is not None:
            body.close()
