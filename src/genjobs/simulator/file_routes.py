"""Routes about files: upload and view."""

from __future__ import annotations

import asyncio
import io
import mimetypes
import uuid
from pathlib import Path

from PIL import Image
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from genjobs.simulator.answers import json_answer, limited_body
from genjobs.simulator.folders import Folders, RefusedPathError
from genjobs.simulator.multipart import Form, read_form

#: Types a browser would run; served as octet-stream.
_ACTIVE_TYPES = {
    "text/html",
    "text/html-sandboxed",
    "application/xhtml+xml",
    "text/javascript",
    "text/css",
}


class FileRoutes:
    """The endpoints that touch the folders."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._storing = asyncio.Lock()  # two uploads of one name must not both find it free

    async def upload(self, request: Request) -> Response:
        """``POST /upload/image``: any bytes are taken, nothing looks at the content."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            return Response(status_code=400)
        received = self._folders.temp / f"upload-{uuid.uuid4().hex}"
        try:
            form = await read_form(
                request.headers.get("content-type", ""),
                limited_body(request),
                file_field="image",
                file=received,
            )
            async with self._storing:
                return await asyncio.to_thread(self._store, form)
        except RefusedPathError as error:
            return Response(status_code=error.status)
        finally:
            received.unlink(missing_ok=True)

    def _store(self, form: Form) -> Response:
        if form.file is None or not form.filename:
            return Response(status_code=400)
        kind = form.fields.get("type", "input")
        subfolder = form.fields.get("subfolder", "")
        name = self._folders.store_upload(
            form.file,
            name=form.filename,
            kind=kind,
            subfolder=subfolder,
            overwrite=form.fields.get("overwrite") in ("true", "1"),
        )
        return json_answer({"name": name, "subfolder": subfolder, "type": kind})

    async def view(self, request: Request) -> Response:
        """``GET /view``: a file, whole or converted to a preview or to some of its channels."""
        query = request.query_params
        if "filename" not in query:
            return Response(status_code=404)
        try:
            path = self._folders.view_path(
                query["filename"], query.get("type", "output"), query.get("subfolder")
            )
        except RefusedPathError as error:
            return Response(status_code=error.status)
        if path is None:
            return Response(status_code=404)
        disposition = {"Content-Disposition": f'filename="{path.name}"'}
        channel = query.get("channel", "rgba")
        if "preview" in query:
            body, kind = await asyncio.to_thread(_preview, path, query["preview"], channel)
            return Response(body, media_type=kind, headers=disposition)
        if channel in ("rgb", "a"):
            body = await asyncio.to_thread(_channel, path, channel)
            return Response(body, media_type="image/png", headers=disposition)
        guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        media_type = "application/octet-stream" if guessed in _ACTIVE_TYPES else guessed
        return FileResponse(path, media_type=media_type, headers=disposition)


def _preview(path: Path, wish: str, channel: str) -> tuple[bytes, str]:
    parts = wish.split(";")
    kind = parts[0]
    if kind not in ("webp", "jpeg") or "a" in channel.replace("rgba", ""):
        kind = "webp"
    quality = int(parts[-1]) if parts[-1].isdigit() else 90
    buffer = io.BytesIO()
    with Image.open(path) as image:
        flat = image.convert("RGB") if kind == "jpeg" or channel == "rgb" else image
        flat.save(buffer, kind, quality=quality)
    return buffer.getvalue(), f"image/{kind}"


def _channel(path: Path, channel: str) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        if channel == "rgb":
            picture = image.convert("RGB")
        else:
            opaque = Image.new("L", image.size, 255)
            alpha = image.getchannel("A") if image.mode == "RGBA" else opaque
            picture = Image.new("RGBA", image.size)
            picture.putalpha(alpha)
        picture.save(buffer, "PNG")
    return buffer.getvalue()
