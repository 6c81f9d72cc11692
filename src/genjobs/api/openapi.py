"""What the OpenAPI document says beyond the routes: tags, bodies, parameters, the bearer scheme."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from genjobs.api.answers import (
    ErasureOut,
    JobOut,
    JobPageOut,
    ProblemOut,
    TokenOut,
    UploadOut,
    UsageOut,
)
from genjobs.api.problems import MEDIA_TYPE
from genjobs.api.schemas import JobCreate, TokenCreate, UploadCreate
from genjobs.domain import limits
from genjobs.domain.ids import ERASURE_PREFIX, JOB_PREFIX, OUTPUT_PREFIX
from genjobs.domain.lifecycle import JobStatus
from genjobs.domain.tenancy import USER_ID_PATTERN

DESCRIPTION: Final = (
    "Runs ComfyUI workflows as jobs. Every refusal is a problem document (RFC 9457) with a stable "
    "`code`; docs/errors.md lists them all. Something that is not yours is answered exactly like "
    "something that does not exist. Clients should ignore members and values that they do not "
    "know: more may come within `/v1`. Times are RFC 3339 in UTC, durations are in seconds, sizes "
    "in bytes."
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


def _id(prefix: str) -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$",
        "examples": [f"{prefix}_01kb3v9m2xf0wtq7m8e5n4d3rc"],
    }


_TIME: Final = {"type": "string", "format": "date-time"}
#: Schemas of parameters by name: routes take them as the texts that they are.
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "job_id": _id(JOB_PREFIX),
    "output_id": _id(OUTPUT_PREFIX),
    "erasure_id": _id(ERASURE_PREFIX),
    "user_id": {"type": "string", "pattern": USER_ID_PATTERN, "examples": ["u_42"]},
    "status": {
        "type": "array",
        "maxItems": 10,
        "items": {"type": "string", "enum": [status.value for status in JobStatus]},
    },
    "created_after": _TIME,
    "created_before": _TIME,
    "limit": {"type": "integer", "minimum": 1, "maximum": limits.MAX_PAGE, "default": 20},
    "cursor": {"type": "string", "maxLength": 512},
    "key": {"type": "string", "minLength": 1},
    "idempotency-key": {
        "type": "string",
        "minLength": 1,
        "maxLength": limits.MAX_IDEMPOTENCY_KEY_CHARS,
        "pattern": "^[ -~]+$",
        "examples": ["order-123"],
    },
}


def body_of(schema: str) -> dict[str, Any]:
    """Return how a route that reads its body itself says which schema that has."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI, *, reads_only: bool = False) -> None:
    """
    Add to the document what routes do by themselves, for speed: bodies, parameters, the bearer key.

    FastAPI would run each of its own declarations of them on every request.
    """
    bearer = "A token of an end user"
    if not reads_only:
        bearer = "A tenant's API key, or a token of one of its end users"
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(made(), bearer)
        document: dict[str, Any] = app.openapi_schema  # type: ignore[assignment]  # made() keeps it
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way to extend it


def _complete(document: dict[str, Any], bearer: str) -> None:
    schemas, used = document["components"]["schemas"], str(document["paths"])
    for request in (JobCreate, TokenCreate, UploadCreate):
        if f"/{request.__name__}'" not in used:
            continue
        schema = request.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[request.__name__] = schema
    for answer in (JobOut, JobPageOut, UploadOut, TokenOut, UsageOut, ErasureOut):
        if answer.__name__ in schemas:  # FastAPI takes nulls out of examples
            schemas[answer.__name__]["examples"] = answer.model_json_schema()["examples"]
    problem = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["ProblemOut"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's; nothing answers so
        schemas.pop(unused, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": bearer}
    }
    shared: dict[str, Any] = {}
    for path, operation in _operations(document):
        if path.startswith("/v1/"):
            operation["security"] = [{"bearer": []}]
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _PARAMETERS[parameter["name"]]
        _share(operation, shared)
    document["components"]["responses"] = dict(sorted(shared.items()))


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            yield path, operation


def _share(operation: dict[str, Any], shared: dict[str, Any]) -> None:
    """Say what refuses many routes alike in one place."""
    responses = operation["responses"]
    for status, response in list(responses.items()):
        content = response.get("content", {})
        if "HTTPValidationError" in str(content):
            del responses[status]
        elif MEDIA_TYPE in content:
            codes = list(content[MEDIA_TYPE]["examples"])
            name = "_or_".join(codes) if len(codes) < 3 else f"{operation['operationId']}_{status}"
            shared[name] = response
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    operation["responses"] = dict(sorted(responses.items()))
