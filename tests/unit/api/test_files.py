"""Downloads by signed URL: headers, ranges, and nothing for anything else."""

from __future__ import annotations

import re
from urllib.parse import unquote

import httpx
import pytest

from genjobs.testing import Harness, a_workflow

CONTENT = bytes(range(256)) * 10
NAME = 'größe "1" ; x%.png'


@pytest.fixture
async def url(harness: Harness, http: httpx.AsyncClient) -> str:
    harness.engine.script.outputs = {NAME: CONTENT}
    body = {"user_id": "u_1", "workflow": a_workflow()}
    job = (await http.post("/v1/jobs", json=body)).json()
    await harness.run_one()
    read = (await http.get(job["urls"]["self"], params={"user_id": "u_1"})).json()
    url: str = read["outputs"][0]["url"]
    return url.replace("https://files.test", "http://genjobs.test")


async def test_file_is_served_as_an_attachment_without_a_key(
    http: httpx.AsyncClient, url: str
) -> None:
    answer = await http.get(url, headers={"Authorization": ""})

    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    exact = re.search(r"filename\*=UTF-8''(\S+)", disposition)
    assert exact
    assert unquote(exact.group(1)) == NAME
    plain = re.search(r'filename="([^"]*)"', disposition)
    assert plain
    assert plain.group(1).isascii()


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-9", CONTENT[:10]),
        ("bytes=100-", CONTENT[100:]),
        ("bytes=-5", CONTENT[-5:]),
        ("bytes=2550-9999", CONTENT[2550:]),
    ],
)
async def test_part_of_a_file_is_served(
    http: httpx.AsyncClient, url: str, wanted: str, part: bytes
) -> None:
    answer = await http.get(url, headers={"Range": wanted})

    assert (answer.status_code, answer.content) == (206, part)
    start = CONTENT.index(part) if len(part) > 256 else len(CONTENT) - len(part)
    if wanted == "bytes=0-9":
        start = 0
    assert answer.headers["content-range"] == (
        f"bytes {start}-{start + len(part) - 1}/{len(CONTENT)}"
        if wanted != "bytes=100-"
        else f"bytes 100-{len(CONTENT) - 1}/{len(CONTENT)}"
    )


@pytest.mark.parametrize("wanted", ["bytes=2560-", "bytes=-0", "bytes=9-3"])
async def test_part_outside_is_416(http: httpx.AsyncClient, url: str, wanted: str) -> None:
    answer = await http.get(url, headers={"Range": wanted})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("wanted", ["lines=1-2", "bytes=a-b", "bytes=0-1,3-4", ""])
async def test_range_that_is_none_is_ignored(
    http: httpx.AsyncClient, url: str, wanted: str
) -> None:
    assert (await http.get(url, headers={"Range": wanted})).content == CONTENT


async def test_head_has_the_headers_and_no_body(http: httpx.AsyncClient, url: str) -> None:
    answer = await http.head(url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(CONTENT))


async def test_any_other_url_is_the_same_nothing(http: httpx.AsyncClient, url: str) -> None:
    path, _, query = url.partition("?")
    wrong = [
        path,
        f"{path}?{query}&name=again",
        f"{path}?{query}x",
        f"{path}x?{query}",
        "http://genjobs.test/files/",
        "http://genjobs.test/files/etc/passwd",
    ]
    same = {"X-Request-Id": "same-request-id"}
    answers = [await http.get(item, headers=same) for item in wrong]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
