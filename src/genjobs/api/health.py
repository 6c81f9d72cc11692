"""Liveness and readiness; no key needed, nothing told beyond yes and no."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from genjobs.api.context import reader_of
from genjobs.api.refusals import ANYWHERE, refusals
from genjobs.domain.errors import Unavailable

router = APIRouter(tags=["health"])

_LIMIT: Final = 5.0  # seconds: an orchestrator's probe gives up soon after


@router.get(
    "/health", operation_id="health", summary="The process answers", responses=refusals(*ANYWHERE)
)
@router.get(
    "/livez", operation_id="livez", summary="The process answers", responses=refusals(*ANYWHERE)
)
async def live() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Database and artifact store can serve",
    responses=refusals(*ANYWHERE, "unavailable"),
    response_model=dict[str, str],
)
async def ready(request: Request) -> dict[str, str] | Response:
    """Check the database's revision and the artifact store."""
    try:
        async with asyncio.timeout(_LIMIT):
            await reader_of(request).genjobs.check()
    except TimeoutError:
        raise Unavailable from None
    return {"status": "ok"}
