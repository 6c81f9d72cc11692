"""``/v1/tokens``: short-lived tokens for end users."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from genjobs.api import problems
from genjobs.api.answers import TokenOut
from genjobs.api.auth import requires
from genjobs.api.context import context_of
from genjobs.api.openapi import body_of
from genjobs.api.refusals import GUARDED, JSON_BODY, refusals
from genjobs.api.schemas import TokenCreate
from genjobs.api.views import time_text
from genjobs.domain.tenancy import Principal, Scope

router = APIRouter(prefix="/v1", tags=["access"])


@router.post(
    "/tokens",
    operation_id="tokens_create",
    summary="Make a token for an end user",
    status_code=201,
    response_class=Response,
    responses={
        201: {"model": TokenOut, "description": "The token; it is not shown again"},
        **refusals(*GUARDED, *JSON_BODY, "plan_limit"),
    },
    openapi_extra=body_of("TokenCreate"),
)
@requires(Scope.TOKENS_WRITE)
async def create_token(request: Request, principal: Principal) -> Response:
    """Return a token with which a browser reaches one user's jobs."""
    if not problems.is_json(request):
        return problems.of_http_code("unsupported_media_type")
    wanted = TokenCreate.model_validate_json(await request.body())
    minted = await context_of(request).genjobs.mint_token(
        principal,
        wanted.user_id,
        life=timedelta(seconds=wanted.ttl_seconds),
        scopes=frozenset(wanted.scopes),
    )
    body = {
        "object": "token",
        "token": minted.token,
        "user_id": wanted.user_id,
        "scopes": sorted(minted.scopes),
        "expires_at": time_text(minted.expires_at),
    }
    return Response(
        to_json(body),
        status_code=201,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
