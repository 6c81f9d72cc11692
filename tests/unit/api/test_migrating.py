"""What docs/migrating.md says of requests that the prototype took: each is answered so."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from genjobs.domain.tenancy import Scope
from genjobs.testing import a_workflow, png_bytes
from genjobs.testing.contracts.engine import loading, sampling
from tests.worlds import World, memory_world
from tools.docs import ROOT

USER = {"user_id": "u_42"}
JOB = {**USER, "workflow": a_workflow()}
PNG = base64.b64encode(png_bytes()).decode()


def photo(**source: str) -> dict[str, Any]:
    return {**USER, "workflow": loading(), "media": [{"name": "photo.png", **source}]}


def data(content: bytes) -> str:
    return base64.b64encode(content).decode()


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


#: By what the row begins with: the requests, each with the answer that the row names.
ROWS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "a submit without": [({"workflow": a_workflow()}, "invalid_request")],
    "members that": [
        ({**JOB, "colour": "red"}, "invalid_request"),
        ({**JOB, "priority": "1"}, "invalid_request"),
    ],
    "media in base64": [(photo(data=data(png_bytes() + bytes(5_000_000))), "media_too_large")],
    "a body of": [(photo(data="A" * 8_400_000), "body_too_large")],
    "media that begin": [(photo(data=f"data:image/png;base64,{PNG}"), "media_not_base64")],
    "any file": [
        (photo(data=data(b"%PDF-1.7 and so on")), "media_type_refused"),
        (photo(data=data(png_bytes()[:60])), "media_content_refused"),
    ],
    "media by a URL": [
        (photo(url="http://10.0.0.1/photo.png"), "url_not_allowed"),
        (photo(url="https://cdn.example.com:8443/photo.png"), "url_not_allowed"),
        (photo(url="https://me:secret@cdn.example.com/photo.png"), "url_not_allowed"),
    ],
    "a workflow as": [
        ({**USER, "workflow": {"nodes": [], "links": [], "version": 0.4}}, "workflow_ui_format")
    ],
    "any node": [
        (
            {**USER, "workflow": {"1": {"class_type": "RunShell", "inputs": {}}}},
            "workflow_node_not_allowed",
        )
    ],
    "a file that": [
        ({**USER, "workflow": loading(name)}, "media_unknown")
        for name in ("photo.png", "../../etc/passwd", "https://cdn.example.com/photo.png")
    ],
    "a model by": [
        ({**USER, "workflow": sampling(4) | changed}, "workflow_input_not_allowed")
        for changed in (
            {"4": node("CheckpointLoaderSimple", ckpt_name="../../etc/passwd")},
            {"4": node("CheckpointLoaderSimple", ckpt_name=7)},
        )
    ],
}
#: Rows whose requests are not a single submit; tests of their own below.
OTHERS = {"a listing of", "a job of", "as many submits", "a key for"}


def rows() -> dict[str, str]:
    """Return the second column of the table by the first."""
    text = (ROOT / "docs" / "migrating.md").read_text()
    table = text.split("| what the prototype took |")[1].split("\n\n")[0].splitlines()[2:]
    return {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1] for line in table}


def told(beginning: str) -> tuple[int, set[str]]:
    """Return status and codes of the row that begins so."""
    [answer] = [said for row, said in rows().items() if row.startswith(beginning)]
    return int(answer[:3]), set(re.findall(r"`([a-z0-9_]+)`", answer))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with memory_world() as opened:
        yield opened


def test_every_row_is_tested() -> None:
    beginnings = [*ROWS, *OTHERS]
    for row in rows():
        assert [text for text in beginnings if row.startswith(text)], row
    assert len(rows()) == len(beginnings)


@pytest.mark.parametrize("beginning", ROWS)
async def test_request_is_answered_as_the_row_says(world: World, beginning: str) -> None:
    status, codes = told(beginning)
    async with world.client(await world.key("site")) as http:
        for body, code in ROWS[beginning]:
            answer = await http.post("/v1/jobs", json=body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert {code for _, code in ROWS[beginning]} == codes


async def test_reads_name_their_user(world: World) -> None:
    status, codes = told("a listing of")
    async with world.client(await world.key("site", Scope.JOBS_WRITE, Scope.JOBS_READ)) as http:
        made = (await http.post("/v1/jobs", json=JOB)).json()
        for path in ("/v1/jobs", made["urls"]["self"]):
            answer = await http.get(path)
            assert (answer.status_code, {answer.json()["code"]}) == (status, codes)
            assert answer.json()["errors"][0]["pointer"] == "/user_id"
        missing, _ = told("a job of")
        other = await http.get(made["urls"]["self"], params={"user_id": "u_43"})
        assert other.status_code == missing


async def test_submits_have_limits_and_keys_have_scopes(world: World) -> None:
    status, codes = told("as many submits")
    seen = set()
    for limits in (
        {"max_queued": 0},
        {"max_queued": None, "jobs_per_day": 0},
        {"jobs_per_day": None, "submits_per_second": 0.1, "submit_burst": 1},
    ):
        await world.arrange.set_limits(world.tenants[0], **limits)
        async with world.client(await world.key(f"site {limits}")) as http:
            for _ in range(2):
                answer = await http.post("/v1/jobs", json=JOB)
        assert answer.status_code == status
        assert int(answer.headers["retry-after"]) > 0
        seen.add(answer.json()["code"])
    assert seen == codes
    async with world.client(await world.key("reads", Scope.JOBS_READ)) as http:
        answer = await http.post("/v1/jobs", json=JOB)
        assert (answer.status_code, {answer.json()["code"]}) == told("a key for")
