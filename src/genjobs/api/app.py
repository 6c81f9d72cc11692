"""The FastAPI application: routes, handlers and middleware put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from genjobs.api import files, health, jobs, problems
from genjobs.api.context import ApiContext
from genjobs.api.middleware import Edge
from genjobs.api.openapi import DESCRIPTION, TAGS
from genjobs.api.schemas import JobCreate
from genjobs.domain import limits


def create_app(
    open_context: Callable[[], AbstractAsyncContextManager[ApiContext]], *, version: str
) -> FastAPI:
    """
    Return the application.

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
    app.include_router(files.router)
    app.include_router(health.router)
    problems.install(app)
    app.add_middleware(Edge, max_body_bytes=limits.MAX_BODY_BYTES)
    _describe_body(app)
    return app


def _describe_body(app: FastAPI) -> None:
    """Add the schema of the body that ``jobs_create`` reads by itself, for speed."""
    made = app.openapi

    def openapi() -> dict[str, object]:
        document = made()
        schema = JobCreate.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document["components"]["schemas"]
        schemas.update(schema.pop("$defs"))
        schemas["JobCreate"] = schema
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way to extend it
