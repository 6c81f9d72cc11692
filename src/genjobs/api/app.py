"""The FastAPI application: routes, handlers and middleware put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from genjobs.api import erasures, files, health, jobs, problems, tokens, uploads, usage
from genjobs.api.context import ApiContext
from genjobs.api.middleware import Edge
from genjobs.api.openapi import DESCRIPTION, TAGS, describe
from genjobs.domain import limits


def create_app(
    open_context: Callable[[], AbstractAsyncContextManager[ApiContext]],
    *,
    version: str,
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """
    Return the application; browsers reach it from ``cors_origins`` and from nowhere else.

    ``open_context`` is entered when the server starts and left when it stops, so that pools and
    clients live exactly as long as the process serves.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context() as context:
            app.state.context = context
            yield

    app = FastAPI(
        title="genjobs",
        version=version,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        redoc_url=None,
    )
    app.include_router(jobs.router)
    app.include_router(erasures.router)
    app.include_router(uploads.router)
    app.include_router(tokens.router)
    app.include_router(usage.router)
    app.include_router(files.router)
    app.include_router(health.router)
    problems.install(app)
    app.add_middleware(Edge, max_body_bytes=limits.MAX_BODY_BYTES)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"),
                "X-Request-Id",
            ],
            expose_headers=[
                *("ETag", "Location", "Retry-After", "Idempotency-Replayed", "X-Request-Id"),
                *("RateLimit", "RateLimit-Policy"),
            ],
        )
    describe(app)
    return app
