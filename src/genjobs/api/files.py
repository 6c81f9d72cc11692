"""``/files``: the signed URLs of a local artifact store. Who may read is in the signature."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from genjobs.api import problems
from genjobs.api.context import context_of
from genjobs.api.openapi import problem_responses
from genjobs.domain.attachments import content_disposition
from genjobs.domain.errors import NotFound
from genjobs.domain.ports import SignedFile, SignedFiles

router = APIRouter(tags=["files"])

_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


@router.head("/files/{key:path}", include_in_schema=False)
@router.get(
    "/files/{key:path}",
    operation_id="files_get",
    summary="Download a file by its signed URL",
    response_class=Response,
    responses={
        200: {"description": "The file", "content": {"application/octet-stream": {}}},
        206: {"description": "The requested range of it"},
        **problem_responses(404, 416, 503),
    },
)
async def get_file(request: Request, key: str) -> Response:
    """Serve a file while its signature lasts."""
    context = context_of(request)
    if context.signed_files is None or len(request.query_params.multi_items()) != len(
        request.query_params
    ):
        raise NotFound
    file = await context.signed_files.resolve(
        key, dict(request.query_params), now=context.clock.now()
    )
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
        _stream(context.signed_files, file, start, length), status_code=status, headers=headers
    )


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
