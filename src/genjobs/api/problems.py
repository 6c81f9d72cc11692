"""
Problem documents (RFC 9457) and the one table of which error has which HTTP status.

Domain errors know no HTTP; this module knows no cause. Of what the caller sent a document names
members, nodes and node classes, and echoes no value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from genjobs.api.context import request_id
from genjobs.domain.errors import (
    GenjobsError,
    IdempotencyMismatch,
    InvalidInput,
    LimitReached,
    MediaTooLarge,
    NotFound,
    ScopeMissing,
    Unauthenticated,
    Unavailable,
    UploadExists,
    UserBeingErased,
    WorkflowTooLarge,
    default_message,
)

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER: Final = "2"  # seconds; an outage of a database or store is noticed and mended fast
_RETRY_CONFLICT: Final = "10"  # seconds; an erasure takes some ticks of a supervisor
_MAX_ERRORS: Final = 20

#: Error class to status; a class is looked up along its bases.
STATUS: Final[Mapping[type[GenjobsError], int]] = {
    InvalidInput: 422,
    IdempotencyMismatch: 422,
    MediaTooLarge: 413,
    WorkflowTooLarge: 413,
    UploadExists: 412,
    Unauthenticated: 401,
    ScopeMissing: 403,
    NotFound: 404,
    UserBeingErased: 409,
    LimitReached: 429,
    Unavailable: 503,
    GenjobsError: 500,
}

#: Codes of refusals that HTTP itself makes, before any use case: code to (status, title).
HTTP_CODES: Final[Mapping[str, tuple[int, str]]] = {
    "malformed_http": (400, "The request is not valid HTTP/1.1."),
    "malformed_json": (400, "The body is not valid JSON in UTF-8."),
    "method_not_allowed": (405, "This method is not allowed here."),
    "request_timeout": (408, "The request did not come in time."),
    "headers_too_large": (431, "The request line and headers are larger than allowed."),
    "body_too_large": (413, "The request body is larger than allowed."),
    "unsupported_media_type": (415, "The body must be sent as application/json."),
    "range_not_satisfiable": (416, "The requested range is not within the file."),
    "internal_error": (500, "Something went wrong on our side."),
}

_KINDS: Final = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_too_long": "out_of_range",
    "string_too_short": "out_of_range",
    "too_long": "out_of_range",
    "less_than_equal": "out_of_range",
    "greater_than_equal": "out_of_range",
}
_log = structlog.get_logger(__name__)


def status_of(error: type[GenjobsError]) -> int:
    """Return the HTTP status of an error class."""
    return next(STATUS[base] for base in error.__mro__ if base in STATUS)


def document(
    *,
    status: int,
    code: str,
    title: str,
    detail: str | None = None,
    retryable: bool = False,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document as a response."""
    body: dict[str, Any] = {
        "type": f"urn:genjobs:error:{code}",
        "title": title,
        "status": status,
        "detail": detail or title,
        "code": code,
        "retryable": retryable,
        "request_id": request_id(),
    }
    if errors:
        body["errors"] = list(errors[:_MAX_ERRORS])
    return Response(
        json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def add_to_refusal(request: Request, headers: Mapping[str, str]) -> None:
    """Let the document of the error that is about to be raised have ``headers`` too."""
    request.state.refusal_headers = headers


def is_json(request: Request) -> bool:
    """Return whether the body is said to be JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json"


def of_http_code(code: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return the document of a refusal listed in :data:`HTTP_CODES`."""
    status, title = HTTP_CODES[code]
    return document(status=status, code=code, title=title, headers=headers)


def of_error(error: GenjobsError) -> Response:
    """Return the document of a domain error."""
    status = status_of(type(error))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_http_code("internal_error")
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER
    if status == HTTPStatus.CONFLICT:
        headers["Retry-After"] = _RETRY_CONFLICT
    if isinstance(error, LimitReached):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    errors = []
    if error.pointer is not None:
        errors.append({"pointer": error.pointer, "code": error.code, "detail": error.message})
    return document(
        status=status,
        code=error.code,
        title=default_message(type(error)),
        detail=error.message,
        retryable=error.retryable,
        errors=errors,
        headers=headers,
    )


def of_validation(error: ValidationError) -> Response:
    """Return the document of a body or query that pydantic refused."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found and found[0]["type"] == "json_invalid":
        return of_http_code("malformed_json")
    errors = [
        {
            "pointer": "".join(f"/{str(part)[:100]}" for part in item["loc"]),
            "code": _KINDS.get(item["type"], "invalid"),
            "detail": item["msg"][:300],
        }
        for item in found
    ]
    where = errors[0]["pointer"].lstrip("/") or "the body"
    return document(
        status=422,
        code="invalid_request",
        title="A member of the request is missing, unknown, of the wrong type or out of range.",
        detail=f"{where}: {errors[0]['detail']}",
        errors=errors,
    )


def install(app: FastAPI) -> None:
    """Make ``app`` answer every refusal with a problem document."""

    async def genjobs_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, GenjobsError)  # noqa: S101  (registered for this class)
        status = status_of(type(exc))
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # What is away is told by its adapter; a traceback of every request would be a flood.
            foreseen = status == HTTPStatus.SERVICE_UNAVAILABLE
            cause = None if foreseen else exc
            _log.error("api.failed", code=exc.code, reason=exc.message, exc_info=cause)
        response = of_error(exc)
        response.headers.update(getattr(request.state, "refusal_headers", {}))
        return response

    async def validation_error(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, ValidationError)  # noqa: S101  (registered for this class)
        return of_validation(exc)

    async def http_error(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)  # noqa: S101  (registered for this class)
        if exc.status_code == HTTPStatus.NOT_FOUND:
            return of_error(NotFound())
        if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return of_http_code("method_not_allowed", headers=exc.headers)
        return document(
            status=exc.status_code, code="http_error", title=HTTPStatus(exc.status_code).phrase
        )

    app.add_exception_handler(GenjobsError, genjobs_error)
    app.add_exception_handler(ValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)
