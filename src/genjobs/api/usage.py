"""``/v1/usage``: limits, and what is used of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from genjobs.api.answers import UsageOut
from genjobs.api.auth import requires
from genjobs.api.context import context_of
from genjobs.api.jobs import UserId
from genjobs.api.refusals import GUARDED, refusals
from genjobs.domain.plans import Used
from genjobs.domain.tenancy import Principal, Scope

router = APIRouter(prefix="/v1", tags=["access"])


@router.get(
    "/usage",
    operation_id="usage_get",
    summary="Read limits and what is used of them",
    response_class=Response,
    responses={
        200: {"model": UsageOut, "description": "Of the user, of the tenant, or of both"},
        **refusals(*GUARDED, "not_found", "invalid_request"),
    },
)
@requires(Scope.JOBS_READ)
async def get_usage(request: Request, principal: Principal, user_id: UserId = None) -> Response:
    """Return the user's part, and the tenant's with ``tenant:read``."""
    usage = await context_of(request).genjobs.get_usage(principal, user_id)
    body = {
        "object": "usage",
        "tenant": None if usage.tenant is None else _part(usage.tenant),
        "user": None if usage.user is None else {"plan": usage.user.plan, **_part(usage.user)},
    }
    return Response(
        to_json(body),
        media_type="application/json",
        headers={"Cache-Control": "private, no-cache"},
    )


def _part(used: Used) -> dict[str, Any]:
    return {
        "limits": dataclasses.asdict(used.limits),
        "used": {
            "queued": used.queued,
            "in_flight": used.in_flight,
            "jobs_today": used.jobs_today,
            "bytes_today": used.bytes_today,
            "uploads": used.uploads,
        },
    }
