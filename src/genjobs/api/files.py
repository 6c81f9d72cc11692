"""``/files``: the signed URLs of a local artifact store. Who may read or write is signed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from genjobs.api import problems
from genjobs.api.context import context_of
from genjobs.api.refusals import ANYWHERE, headers, refusals
from genjobs.domain.attachments import content_disposition
from genjobs.domain.errors import NotFound, UploadMismatch
from genjobs.domain.ports import SignedFile, SignedFiles

router = APIRouter(tags=["files"])

#: How long a body that is put may be silent, and take in all.
_SILENCE_SECONDS: Final = 30.0
_ALL_SECONDS: Final = 900.0
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


@router.head("/files/{key:path}", include_in_schema=False)
@router.get(
    "/files/{key:path}",
    operation_id="files_get",
    summary="Download a file by its signed URL",
    response_class=Response,
    responses={
        200: {"description": "The file", "content": {"*/*": {}}},
        206: {
            "description": "The requested range of it",
            "content": {"*/*": {}},
            "headers": headers(Content_Range="Which part it is"),
        },
        **refusals(*ANYWHERE, "not_found", "range_not_satisfiable", "unavailable"),
    },
)
async def get_file(request: Request, key: str) -> Response:
    """Serve a file while its signature lasts."""
    files, query = _signed(request)
    file = await files.resolve(key, query, now=context_of(request).clock.now())
    headers = {
        "Content-Disposition": content_disposition(file.filename),
        "Content-Type": file.content_type,
        # A browser that is tricked into showing it runs nothing of it.
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=0, must-revalidate",
        "Accept-Ranges": "bytes",
    }
    start, length, status = 0, file.bytes, 200
    wanted = request.headers.get("range")
    if wanted is not None and (match := _RANGE.fullmatch(wanted.strip())):
        found = _range(match, file.bytes)
        if found is None:
            return problems.of_http_code(
                "range_not_satisfiable", headers={"Content-Range": f"bytes */{file.bytes}"}
            )
        start, length = found
        status = 206
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{file.bytes}"
    headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(
        _stream(files, file, start, length), status_code=status, headers=headers
    )


@router.put(
    "/files/{key:path}",
    operation_id="files_put",
    summary="Upload a file to its signed URL",
    response_class=Response,
    responses={
        200: {"description": "The file is stored"},
        **refusals("not_found", "upload_exists", "upload_mismatch", "unavailable"),
    },
    openapi_extra={"requestBody": {"required": True, "content": {"*/*": {}}}},
)
async def put_file(request: Request, key: str) -> Response:
    """Take the file that was declared, once."""
    files, query = _signed(request)
    target = await files.resolve_put(key, query, now=context_of(request).clock.now())
    problems.add_to_refusal(request, {"Connection": "close"})  # of a body that is not read
    if (
        request.headers.get("content-type") != target.content_type
        or request.headers.get("content-length") != str(target.length)
        or "content-encoding" in request.headers
    ):
        raise UploadMismatch
    async with aclosing(received(request)) as body:
        await files.take(target, body)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


def _signed(request: Request) -> tuple[SignedFiles, dict[str, str]]:
    """Return what serves signed URLs, and the query; ``NotFound`` where none can be signed."""
    files, query = context_of(request).signed_files, request.query_params
    if files is None or len(query.multi_items()) != len(query):
        raise NotFound
    return files, dict(query)


async def received(
    request: Request, *, silence: float = _SILENCE_SECONDS, most: float = _ALL_SECONDS
) -> AsyncGenerator[bytes, None]:
    """
    Yield the body; ``UploadMismatch`` when it is silent, or takes longer than ``most``.

    Both are in seconds.
    """
    now = asyncio.get_running_loop().time
    until = now() + most
    async with aclosing(request.stream()) as body:
        while True:
            try:
                async with asyncio.timeout_at(min(now() + silence, until)):
                    chunk = await anext(body, None)
            except TimeoutError:
                raise UploadMismatch("The file did not come in time.") from None
            if chunk is None:
                return
            yield chunk


def _range(match: re.Match[str], size: int) -> tuple[int, int] | None:
    """Return start and length of a single range (RFC 9110 section 14.1.2), None outside."""
    first, last = match.groups()
    if first:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
    else:
        start = max(size - int(last or 0), 0)
        end = size - 1
    if start > end or start >= size:
        return None
    return start, end - start + 1


async def _stream(
    files: SignedFiles, file: SignedFile, start: int, length: int
) -> AsyncIterator[bytes]:
    async with files.read(file.key, start=start, length=length) as chunks:
        async for chunk in chunks:
            yield chunk
