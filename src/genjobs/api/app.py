"""The FastAPI applications: routes, handlers and middleware put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from genjobs.api import erasures, files, health, jobs, problems, tokens, uploads, usage
from genjobs.api.context import ApiContext, ReaderContext
from genjobs.api.middleware import Edge
from genjobs.api.openapi import DESCRIPTION, READER_DESCRIPTION, TAGS, describe
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
    app = FastAPI(
        title="genjobs",
        version=version,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=_lifespan(open_context),
        redoc_url=None,
    )
    app.include_router(jobs.router)
    app.include_router(jobs.reading)
    app.include_router(erasures.router)
    app.include_router(uploads.router)
    app.include_router(tokens.router)
    app.include_router(usage.router)
    app.include_router(files.router)
    app.include_router(health.router)
    _surround(app, cors_origins, methods=("GET", "POST", "PUT", "DELETE"))
    describe(app)
    return app


def create_reader(
    open_context: Callable[[], AbstractAsyncContextManager[ReaderContext]],
    *,
    version: str,
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """Return the application with the routes that read jobs, and no other; see ``create_app``."""
    used = {"jobs", "health"}
    app = FastAPI(
        title="genjobs, reads of end users",
        version=version,
        description=READER_DESCRIPTION,
        openapi_tags=[tag for tag in TAGS if tag["name"] in used],
        lifespan=_lifespan(open_context),
        redoc_url=None,
    )
    app.include_router(jobs.reading)
    app.include_router(health.router)
    _surround(app, cors_origins, methods=("GET",))
    describe(app, reads_only=True)
    return app


def _lifespan(
    open_context: Callable[[], AbstractAsyncContextManager[ReaderContext]],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context() as context:
            app.state.context = context
            yield

    return lifespan


def _surround(app: FastAPI, cors_origins: Sequence[str], *, methods: Sequence[str]) -> None:
    """Add what is around every route: problem documents, the outer ring, other origins."""
    problems.install(app)
    app.add_middleware(Edge, max_body_bytes=limits.MAX_BODY_BYTES)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=list(methods),
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"),
                "X-Request-Id",
            ],
            expose_headers=[
                *("ETag", "Location", "Retry-After", "Idempotency-Replayed", "X-Request-Id"),
                *("RateLimit", "RateLimit-Policy"),
            ],
        )
