"""
What the OpenAPI document says of refusals: each status of a route with its codes and an example.

Routes name codes; statuses and wording follow from the error tree and the table in ``problems``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from genjobs.api.problems import HTTP_CODES, MEDIA_TYPE, status_of
from genjobs.domain.errors import Unavailable, default_message, leaves

#: What a route may answer whatever it does, unless its signature says how long a body may be.
ANYWHERE: Final = ("body_too_large",)
#: What any request may be answered with before a route is found, or by our own fault.
_ALWAYS: Final = ("malformed_http", "request_timeout", "headers_too_large", "internal_error")
#: What every route with a credential may answer besides.
GUARDED: Final = (*ANYWHERE, "unauthenticated", "scope_missing", "rate_limited", "unavailable")
#: What a body of JSON may be refused for before it is understood.
JSON_BODY: Final = ("malformed_json", "unsupported_media_type", "invalid_request")

_RETRY: Final = {"Retry-After": "Whole seconds to wait before trying again"}
_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": "`Bearer`"},
    409: _RETRY,
    416: {"Content-Range": "`bytes */` and the file's length"},
    429: _RETRY,
    503: _RETRY,
}


def known_codes() -> dict[str, tuple[int, str, bool]]:
    """Return status, title and whether a retry may help, for each code of a refusal."""
    by_error = {
        error.code: (status_of(error), default_message(error), error.retryable)
        for error in leaves()
        if status_of(error) < 500 or issubclass(error, Unavailable)
    }
    by_http = {code: (status, title, False) for code, (status, title) in HTTP_CODES.items()}
    return by_error | by_http


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the documented responses of a route that may be refused with ``codes``."""
    known, by_status = known_codes(), dict[int, list[str]]()
    for code in sorted({*codes, *_ALWAYS}):
        by_status.setdefault(known[code][0], []).append(code)
    return {status: _response(status, by_status[status]) for status in sorted(by_status)}


def headers(**texts: str) -> dict[str, Any]:
    """Return documented response headers; an underscore in a name is a hyphen."""
    return {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
        for name, text in texts.items()
    }


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    known = known_codes()
    response: dict[str, Any] = {
        "description": "\n".join(f"* `{code}`: {known[code][1]}" for code in codes)
        if len(codes) > 1
        else known[codes[0]][1],
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "allOf": [
                        {"$ref": "#/components/schemas/ProblemOut"},
                        {"properties": {"status": {"const": status}, "code": {"enum": codes}}},
                    ]
                },
                "examples": {code: {"value": _example(code, *known[code])} for code in codes},
            }
        },
    }
    if status in _HEADERS:
        response["headers"] = {
            name: {"description": text, "required": True, "schema": {"type": "string"}}
            for name, text in _HEADERS[status].items()
        }
    return response


def _example(code: str, status: int, title: str, retryable: bool) -> dict[str, Any]:
    return {
        "type": f"urn:genjobs:error:{code}",
        "title": title,
        "status": status,
        "detail": title,
        "code": code,
        "retryable": retryable,
        "request_id": "req_4f0c2a19d1f34b6c9a0e7d5b8c3f2a61",
    }
