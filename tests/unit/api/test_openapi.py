"""The OpenAPI document: every code has its place, every example is of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
from pydantic import BaseModel

from genjobs.api import answers, examples, schemas
from genjobs.api.refusals import known_codes
from tests.documented import DOCUMENT, resolved

#: Never the answer of a route that is documented.
NOWHERE = {"method_not_allowed"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, found in DOCUMENT["paths"].items():
        for method, operation in found.items():
            yield path, method, operation


def problems() -> Iterator[tuple[str, dict[str, Any]]]:
    for _, _, operation in operations():
        for status, response in operation["responses"].items():
            content = resolved(response).get("content", {})
            if "application/problem+json" in content:
                yield status, content["application/problem+json"]


def test_every_code_of_a_refusal_is_documented_with_an_example() -> None:
    told = {
        (int(status), code)
        for status, content in problems()
        for code in content["schema"]["allOf"][1]["properties"]["code"]["enum"]
    }
    groups = {"invalid_input", "limit_reached"}  # classes that are never raised themselves
    expected = {
        (status, code)
        for code, (status, _, _) in known_codes().items()
        if code not in NOWHERE | groups
    }
    assert told == expected
    for status, content in problems():
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        for code, example in content["examples"].items():
            jsonschema_rs.validate(schema, example["value"])
            assert (example["value"]["code"], example["value"]["status"]) == (code, int(status))


def test_every_operation_says_who_may_ask_and_what_is_answered() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    for path, _, operation in operations():
        guarded = path.startswith("/v1/")
        assert (operation.get("security") == [{"bearer": []}]) is guarded
        assert ("401" in operation["responses"]) is guarded
        assert operation["summary"]
        for status, response in operation["responses"].items():
            assert resolved(response)["description"], (path, status)
            assert status[0] in "2345"
        for parameter in operation.get("parameters", ()):
            assert parameter["schema"].keys() & {"pattern", "format", "items", "maximum"} or (
                parameter["name"] in {"key", "cursor"}
            ), parameter["name"]


@pytest.mark.parametrize(
    ("shape", "example"),
    [
        (answers.JobOut, examples.JOB),
        (answers.JobPageOut, examples.JOB_PAGE),
        (answers.UploadOut, examples.UPLOAD),
        (answers.TokenOut, examples.TOKEN),
        (answers.UsageOut, examples.USAGE),
        (answers.ErasureOut, examples.ERASURE),
        (schemas.JobCreate, examples.JOB_CREATE),
        (schemas.UploadCreate, examples.UPLOAD_CREATE),
        (schemas.TokenCreate, examples.TOKEN_CREATE),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_example_is_of_its_kind_and_in_the_document(
    shape: type[BaseModel], example: dict[str, Any]
) -> None:
    described = DOCUMENT["components"]["schemas"][shape.__name__]
    assert described["examples"] == [example]
    whole = {**described, "components": DOCUMENT["components"]}
    jsonschema_rs.validate(whole, example, validate_formats=True)
    shown = shape.model_validate(example).model_dump(exclude_unset=True)
    assert shown.keys() == example.keys()


async def test_examples_of_requests_are_accepted(http: httpx.AsyncClient) -> None:
    for path, example, status in (
        ("/v1/jobs", examples.JOB_CREATE, 202),
        ("/v1/uploads", examples.UPLOAD_CREATE, 201),
        ("/v1/tokens", examples.TOKEN_CREATE, 201),
    ):
        assert (await http.post(path, json=example)).status_code == status


async def test_served_document_is_the_committed_one(http: httpx.AsyncClient) -> None:
    served = (await http.get("/openapi.json")).json()
    served["info"]["version"] = DOCUMENT["info"]["version"]  # a harness has none
    assert served == DOCUMENT
