"""What the OpenAPI document says beyond the routes: problem responses, tags, the bearer scheme."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from genjobs.api.answers import ProblemOut
from genjobs.api.problems import HTTP_CODES, MEDIA_TYPE
from genjobs.api.schemas import JobCreate, TokenCreate, UploadCreate

DESCRIPTION: Final = (
    "Runs ComfyUI workflows as jobs. Every refusal is a problem document (RFC 9457) with a stable "
    "`code`; docs/errors.md lists them all. Something that is not yours is answered exactly like "
    "something that does not exist."
)
READER_DESCRIPTION: Final = (
    "Reads jobs with end users' tokens, and takes no other credential: what changes something, and "
    "what a tenant's key is for, is at another address. Every refusal is a problem document "
    "(RFC 9457) with a stable `code`. Something that is not yours is answered exactly like "
    "something that does not exist."
)
TAGS: Final = [
    {"name": "jobs", "description": "Submit, watch and cancel jobs."},
    {"name": "erasure", "description": "Removing users and jobs for good."},
    {"name": "uploads", "description": "Files for jobs, straight from a browser."},
    {"name": "access", "description": "Tokens for end users, and limits."},
    {"name": "files", "description": "Files behind signed URLs."},
    {"name": "health", "description": "For load balancers and operators; no key needed."},
]

_REASONS: Final = {
    400: "The body is not JSON",
    401: "No valid key",
    403: "The key lacks the scope",
    404: "No such thing, or not yours",
    409: "All that is this user's is being erased; try again after `Retry-After` seconds",
    412: "A file is there already; it is never replaced",
    413: "The body, its media or the workflow are too large",
    415: "The body is not sent as JSON",
    416: "The range is outside the file",
    422: "The request cannot be accepted; `code` and `errors` say why",
    429: "A limit is reached; `code` says which. Try again after `Retry-After` seconds",
    503: "Try again after `Retry-After` seconds",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documented problem responses of a route."""
    return {
        status: {
            "description": _REASONS[status],
            "model": ProblemOut,
            "content": {MEDIA_TYPE: {"example": _example(status)}},
        }
        for status in statuses
    }


def _example(status: int) -> dict[str, Any]:
    codes = {
        401: "unauthenticated",
        403: "scope_missing",
        404: "not_found",
        409: "user_being_erased",
        412: "upload_exists",
        429: "rate_limited",
        503: "unavailable",
    }
    by_http = {number: code for code, (number, _) in HTTP_CODES.items()}
    code = codes.get(status) or by_http.get(status) or "workflow_cycle"
    return {
        "type": f"urn:genjobs:error:{code}",
        "title": _REASONS[status],
        "status": status,
        "detail": _REASONS[status],
        "code": code,
        "retryable": status in {409, 429, 503},
        "request_id": "req_4f0c2a",
    }


def body_of(schema: str) -> dict[str, Any]:
    """Return how a route that reads its body itself says which schema that has."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI, *, reads_only: bool = False) -> None:
    """
    Add to the document what routes do by themselves, for speed: the body and the bearer key.

    FastAPI would run each of its own declarations of them on every request.
    """
    bodies = () if reads_only else (JobCreate, TokenCreate, UploadCreate)
    bearer = "A token of an end user"
    if not reads_only:
        bearer = "A tenant's API key, or a token of one of its end users"
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = made()
        parts = document["components"]
        for request in bodies:
            schema = request.model_json_schema(ref_template="#/components/schemas/{model}")
            parts["schemas"] |= schema.pop("$defs", {})
            parts["schemas"][request.__name__] = schema
        parts["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": bearer,
            }
        }
        for path, operations in document["paths"].items():
            if path.startswith("/v1/"):
                for operation in operations.values():
                    operation["security"] = [{"bearer": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way to extend it
