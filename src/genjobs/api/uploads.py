"""``/v1/uploads``: declaring a file that is about to be put into the artifact store."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from genjobs.api import problems
from genjobs.api.answers import UploadOut
from genjobs.api.auth import requires
from genjobs.api.context import context_of
from genjobs.api.openapi import body_of
from genjobs.api.refusals import GUARDED, JSON_BODY, refusals
from genjobs.api.schemas import UploadCreate
from genjobs.api.views import time_text
from genjobs.domain.ids import upload_text
from genjobs.domain.tenancy import Principal, Scope

router = APIRouter(prefix="/v1", tags=["uploads"])


@router.post(
    "/uploads",
    operation_id="uploads_create",
    summary="Declare a file and get a URL to put it to",
    status_code=201,
    response_class=Response,
    responses={
        201: {"model": UploadOut, "description": "The upload; its URL is not shown again"},
        **refusals(
            *(*GUARDED, *JSON_BODY, "not_found", "user_being_erased"),
            *("media_invalid", "media_type_refused", "quota_exceeded", "uploads_full"),
        ),
    },
    openapi_extra=body_of("UploadCreate"),
)
@requires(Scope.JOBS_WRITE)
async def create_upload(request: Request, principal: Principal) -> Response:
    """Return an upload whose id goes into ``media`` once its file is put."""
    if not problems.is_json(request):
        return problems.of_http_code("unsupported_media_type")
    wanted = UploadCreate.model_validate_json(await request.body())
    made = await context_of(request).genjobs.upload(
        principal.owner(wanted.user_id), wanted.declaration()
    )
    upload = made.upload
    body = {
        "id": upload_text(upload.id),
        "object": "upload",
        "user_id": upload.owner.user_id,
        "filename": upload.filename,
        "content_type": upload.content_type,
        "bytes": upload.bytes,
        "method": "PUT",
        "url": made.put.url,
        "headers": dict(made.put.headers),
        "url_expires_at": time_text(made.url_expires_at),
        "created_at": time_text(upload.created_at),
        "expires_at": time_text(upload.expires_at),
    }
    return Response(
        to_json(body),
        status_code=201,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
