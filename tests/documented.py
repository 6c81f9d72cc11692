"""
Holds every answer that a test gets to the OpenAPI document: status, type, shape, code, headers.

Stricter than a client may be: a member that the document does not name fails too.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from tools.docs import ROOT

DOCUMENT: dict[str, Any] = json.loads((ROOT / "openapi.json").read_text())


async def documented(response: httpx.Response) -> None:
    """Assert that the document has this answer; an event hook of httpx clients."""
    method = response.request.method.lower()
    found = _operation(response.request.url.path, method)
    if found is None:
        if method not in {"options", "head"} and not _is_a_document(response.request.url.path):
            assert response.status_code in {404, 405, 413}, (method, response.request.url)
        return
    name, operation = found
    where = f"{name} {response.status_code}"
    answer = operation["responses"].get(str(response.status_code))
    assert answer is not None, f"{where} is not documented"
    answer = resolved(answer)
    for header, told in answer.get("headers", {}).items():
        assert not told.get("required") or header in response.headers, f"{where}: no {header}"
    content = answer.get("content", {})
    given = response.headers.get("content-type", "").partition(";")[0]
    if "*/*" in content:
        return
    body = await response.aread()
    if not content:
        assert body == b"", f"{where} has a body that is not documented"
        return
    assert given in content, f"{where}: {given!r} is not documented"
    errors = [
        f"{error.instance_path}: {error.message}"
        for error in _validator(name, str(response.status_code), given).iter_errors(
            json.loads(body)
        )
    ]
    assert not errors, (where, errors, body[:1000])


def _is_a_document(path: str) -> bool:
    return path in {"/openapi.json", "/docs", "/docs/oauth2-redirect"}


@cache
def _operation(path: str, method: str) -> tuple[str, dict[str, Any]] | None:
    # Longest first: a template matches no more than one path, but for those of files.
    for template in sorted(DOCUMENT["paths"], key=len, reverse=True):
        part = ".+" if template == "/files/{key}" else "[^/]+"
        if re.fullmatch(re.sub(r"\{\w+\}", part, template), path):
            operation = DOCUMENT["paths"][template].get(method)
            if operation is not None:
                return operation["operationId"], operation
    return None


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference leads to."""
    while "$ref" in node:
        found: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


@cache
def _validator(name: str, status: str, content_type: str) -> Any:
    operation = next(
        operation
        for operations in DOCUMENT["paths"].values()
        for operation in operations.values()
        if operation["operationId"] == name
    )
    schema = resolved(operation["responses"][status])["content"][content_type]["schema"]
    closed = {
        key: {"additionalProperties": False, **part} if "properties" in part else part
        for key, part in DOCUMENT["components"]["schemas"].items()
    }
    whole = {**schema, "components": {"schemas": closed}}
    return jsonschema_rs.validator_for(
        {**whole, "$schema": "https://json-schema.org/draft/2020-12/schema"}, validate_formats=True
    )
