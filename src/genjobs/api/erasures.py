"""``/v1/users/{user_id}``, ``/v1/jobs/{id}/erase`` and ``/v1/erasures``: erasing, and receipts."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from genjobs.api.answers import ErasureOut
from genjobs.api.auth import requires
from genjobs.api.context import context_of
from genjobs.api.jobs import UserId, job_id_of
from genjobs.api.refusals import GUARDED, headers, refusals
from genjobs.api.routing import TextRoute
from genjobs.api.views import time_text
from genjobs.domain.erasure import Erasure
from genjobs.domain.errors import NotFound
from genjobs.domain.ids import erasure_text, parse_erasure_id
from genjobs.domain.tenancy import Principal, Scope

router = APIRouter(prefix="/v1", tags=["erasure"], route_class=TextRoute)

_POLL_AFTER: Final = "5"  # seconds; a supervisor's tick
_BEGUN: Final = {
    "model": ErasureOut,
    "description": "It has begun; the receipt is at Location",
    "headers": headers(
        Location="Where the receipt is", Retry_After="Seconds until it is worth while to look"
    ),
}


@router.delete(
    "/users/{user_id}",
    operation_id="users_erase",
    summary="Erase a user",
    status_code=202,
    response_class=Response,
    responses={
        202: _BEGUN,
        **refusals(*GUARDED, "invalid_request"),
    },
)
@requires(Scope.USERS_ERASE)
async def erase_user(request: Request, principal: Principal, user_id: str) -> Response:
    """Remove all that is a user's; until that is done their submits are answered with 409."""
    erasure = await context_of(request).genjobs.erase_user(principal.owner(user_id))
    return _answer(erasure, status=202)


@router.post(
    "/jobs/{job_id}/erase",
    operation_id="jobs_erase",
    summary="Erase a job",
    status_code=202,
    response_class=Response,
    responses={
        202: _BEGUN,
        **refusals(*GUARDED, "not_found", "invalid_request"),
    },
)
@requires(Scope.USERS_ERASE)
async def erase_job(
    request: Request, principal: Principal, job_id: str, user_id: UserId = None
) -> Response:
    """Stop a job if need be, and remove it with all its files and records."""
    reach = principal.reach(user_id)
    erasure = await context_of(request).genjobs.erase_job(reach, job_id_of(job_id))
    return _answer(erasure, status=202)


@router.get(
    "/erasures/{erasure_id}",
    operation_id="erasures_get",
    summary="Read the receipt of an erasure",
    response_class=Response,
    responses={
        200: {"model": ErasureOut, "description": "What was removed so far; nothing of whom"},
        **refusals(*GUARDED, "not_found"),
    },
)
@requires(Scope.USERS_ERASE)
async def get_erasure(request: Request, principal: Principal, erasure_id: str) -> Response:
    """Return how far an erasure is."""
    try:
        named = parse_erasure_id(erasure_id)
    except ValueError:
        raise NotFound from None  # what cannot exist is answered like what does not
    erasure = await context_of(request).genjobs.erasure(principal.tenant_id, named)
    return _answer(erasure, status=200)


def _answer(erasure: Erasure, *, status: int) -> Response:
    text, ended = erasure_text(erasure.id), erasure.finished_at is not None
    body = {
        "id": text,
        "object": "erasure",
        "kind": erasure.kind.value,
        "status": "completed" if ended else "running",
        "requested_at": time_text(erasure.requested_at),
        "finished_at": time_text(erasure.finished_at),
        "erased": {
            "jobs": erasure.erased.jobs,
            "files": erasure.erased.files,
            "uploads": erasure.erased.uploads,
            "idempotency_keys": erasure.erased.idempotency_keys,
        },
    }
    headers = {"Cache-Control": "private, no-store"}
    if status != 200:
        headers["Location"] = f"/v1/erasures/{text}"
    if not ended:
        headers["Retry-After"] = _POLL_AFTER
    return Response(
        to_json(body), status_code=status, media_type="application/json", headers=headers
    )
