"""
A ``multipart/form-data`` reader that never holds a file in memory.

Fields are small and kept; the one file goes to disk piece by piece as it arrives. Understands what
HTTP clients send (RFC 7578), not nested parts.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_MAX_HEAD_BYTES = 16 * 1024
_MAX_FIELD_BYTES = 64 * 1024


class MalformedUploadError(ValueError):
    """The body is not the form it says it is."""


@dataclass(slots=True, kw_only=True)
class Form:
    """The fields of a form, and the name and place of its file part."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    file: Path | None = None


async def read_form(
    content_type: str, body: AsyncIterator[bytes], *, file_field: str, file: Path
) -> Form:
    """
    Read a form; the part called ``file_field`` is written to ``file``.

    Raises:
        MalformedUploadError: no boundary, a part without head, an oversized field, an early end.

    """
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if match is None or not content_type.startswith("multipart/form-data"):
        raise MalformedUploadError("not a multipart form")
    reader = _Reader(body, b"\r\n--" + match[1].encode("latin-1"))
    form = Form()
    await reader.skip_part()  # what comes before the first boundary
    while await reader.begins_part():
        head = await reader.head()
        name = _parameter(head, "name")
        if name == file_field and form.file is None:
            form.filename = _parameter(head, "filename")
            form.file = file
            with file.open("wb") as target:
                await reader.copy_part(target)
        else:
            form.fields[name or ""] = await reader.text_part()
    return form


def _parameter(head: str, name: str) -> str | None:
    match = re.search(rf'[;\s]{name}="((?:[^"\\]|\\.)*)"', head, re.IGNORECASE)
    if match is None:
        return None
    return (
        match[1].replace('\\"', '"').replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
    )


class _Reader:
    """Cuts a stream of bytes at its boundaries."""

    def __init__(self, body: AsyncIterator[bytes], delimiter: bytes) -> None:
        self._body = body
        self._delimiter = delimiter
        self._buffer = b"\r\n"  # so that a boundary at the very start is a delimiter as well

    async def _fill(self) -> None:
        try:
            self._buffer += await anext(self._body)
        except StopAsyncIteration as error:
            raise MalformedUploadError("the form ends early") from error

    async def _pieces(self) -> AsyncIterator[bytes]:
        """Yield the rest of a part and consume the delimiter behind it."""
        while (at := self._buffer.find(self._delimiter)) < 0:
            safe = len(self._buffer) - len(self._delimiter) + 1
            if safe > 0:
                piece, self._buffer = self._buffer[:safe], self._buffer[safe:]
                yield piece
            await self._fill()
        piece, self._buffer = self._buffer[:at], self._buffer[at + len(self._delimiter) :]
        yield piece

    async def skip_part(self) -> None:
        async for _ in self._pieces():
            pass

    async def begins_part(self) -> bool:
        while len(self._buffer) < 2:
            await self._fill()
        return not self._buffer.startswith(b"--")

    async def head(self) -> str:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise MalformedUploadError("a part has no head")
            await self._fill()
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head.decode("utf-8", "replace")

    async def text_part(self) -> str:
        text = b""
        async for piece in self._pieces():
            text += piece
            if len(text) > _MAX_FIELD_BYTES:
                raise MalformedUploadError("a field is too long")
        return text.decode("utf-8", "replace")

    async def copy_part(self, target: BinaryIO) -> None:
        async for piece in self._pieces():
            target.write(piece)
