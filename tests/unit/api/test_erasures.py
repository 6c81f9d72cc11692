"""``DELETE /v1/users/{id}``, ``POST /v1/jobs/{id}/erase`` and receipts, over HTTP on fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from genjobs.domain.tenancy import Scope
from genjobs.testing import Harness, a_key_record, a_key_text, a_workflow
from genjobs.testing.harness import TEST_KEY

_USER = "u_42@example.com"
_PATH = f"/v1/users/{_USER}"


def _client(harness: Harness, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(harness.api),
        base_url="http://genjobs.test",
        headers={"Authorization": f"Bearer {key}"},
    )


@pytest.fixture
async def http(harness: Harness) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(harness, TEST_KEY) as client:
        yield client


async def _submit(http: httpx.AsyncClient, **parts: Any) -> httpx.Response:
    body = {"user_id": _USER, "workflow": a_workflow(), **parts}
    return await http.post("/v1/jobs", json=body)


async def test_user_is_erased_and_the_receipt_tells_nothing_of_them(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    job = (await _submit(http)).json()
    await harness.run_one()
    begun = await http.delete(_PATH)
    assert begun.status_code == 202
    receipt = begun.json()
    assert begun.headers["Location"] == f"/v1/erasures/{receipt['id']}"
    assert begun.headers["Retry-After"] == "5"
    assert begun.headers["Cache-Control"] == "private, no-store"
    assert receipt == {
        "id": receipt["id"],
        "object": "erasure",
        "kind": "user",
        "status": "running",
        "requested_at": "2026-01-01T00:00:00.000Z",
        "finished_at": None,
        "erased": {"jobs": 0, "files": 0, "uploads": 0, "idempotency_keys": 0},
    }
    assert (await http.delete(_PATH)).json() == receipt  # the same one

    await harness.supervise_for(timedelta(seconds=40))
    done = await http.get(begun.headers["Location"])
    assert done.status_code == 200
    assert "Retry-After" not in done.headers
    told = done.json()
    assert told["status"] == "completed"
    assert told["finished_at"] is not None
    assert told["erased"] == {"jobs": 1, "files": 1, "uploads": 0, "idempotency_keys": 0}
    for secret in (_USER, "u_42", job["id"], job["id"].removeprefix("job_")):
        assert secret not in done.text
        assert secret not in begun.text
    assert (await http.get(f"/v1/jobs/{job['id']}")).status_code == 404
    again = await http.delete(_PATH)
    assert (again.status_code, again.json()["id"] != receipt["id"]) == (202, True)


async def test_submits_get_409_meanwhile_and_are_accepted_afterwards(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"user_id": _USER, "workflow": a_workflow()}
    first = await http.post("/v1/jobs", json=body, headers=headers)
    assert first.status_code == 202
    await http.delete(_PATH)
    for given in ({}, headers):
        refused = await http.post("/v1/jobs", json=body, headers=given)
        assert refused.status_code == 409
        assert refused.json()["code"] == "user_being_erased"
        assert refused.json()["retryable"] is True
        assert refused.headers["Retry-After"] == "10"
        assert _USER not in refused.text
    other = {"user_id": "u_1", "workflow": a_workflow()}
    assert (await http.post("/v1/jobs", json=other)).status_code == 202

    await harness.supervise_for(timedelta(seconds=40))
    fresh = await http.post("/v1/jobs", json=body, headers=headers)
    assert fresh.status_code == 202
    assert "idempotency-replayed" not in fresh.headers
    assert fresh.json()["id"] != first.json()["id"]


async def test_job_is_erased_by_itself(http: httpx.AsyncClient, harness: Harness) -> None:
    job, beside = (await _submit(http)).json(), (await _submit(http)).json()
    path = f"{job['urls']['self']}/erase"
    begun = await http.post(path, params={"user_id": _USER})
    assert (begun.status_code, begun.json()["kind"]) == (202, "job")
    assert (await http.post(path)).json() == begun.json()
    await harness.supervise_for(timedelta(seconds=40))
    receipt = (await http.get(begun.headers["Location"])).json()
    assert (receipt["status"], receipt["erased"]["jobs"]) == ("completed", 1)
    assert job["id"] not in str(receipt)
    assert (await http.get(job["urls"]["self"])).status_code == 404
    assert (await http.get(beside["urls"]["self"])).status_code == 200
    assert (await http.post(path)).status_code == 404


async def test_tokens_of_the_user_are_dead_at_once(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    token = (await http.post("/v1/tokens", json={"user_id": _USER})).json()["token"]
    async with _client(harness, token) as browser:
        assert (await browser.get("/v1/jobs")).status_code == 200
        harness.clock.advance(timedelta(seconds=1))
        await http.delete(_PATH)
        harness.clock.advance(timedelta(seconds=5))  # what is remembered of a user's standing
        assert (await browser.get("/v1/jobs")).status_code == 401
        await harness.supervise_for(timedelta(minutes=40))
        assert (await browser.get("/v1/jobs")).status_code == 401


@pytest.mark.parametrize("user", ["a%20b", "x" * 129, "%F0%9F%98%80"])
async def test_bad_user_id_is_refused(http: httpx.AsyncClient, user: str) -> None:
    answer = await http.delete(f"/v1/users/{user}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["pointer"] == "/user_id"


async def test_scope_is_needed(harness: Harness) -> None:
    key = a_key_text("no eraser")
    scopes = set(Scope) - {Scope.USERS_ERASE}
    record = a_key_record(key, harness.genjobs.tenant_id, *scopes)
    harness.jobs.tenants.keys[key.id] = record
    async with _client(harness, key.reveal()) as http:
        job = (await _submit(http)).json()
        for method, path in (
            ("DELETE", _PATH),
            ("POST", f"/v1/jobs/{job['id']}/erase"),
            ("GET", "/v1/erasures/era_00000000000000000000000000"),
        ):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_outage_is_503_and_repeating_is_safe(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    harness.jobs.available = False
    async with _client(harness, TEST_KEY):
        answer = await http.delete(_PATH)
    assert answer.status_code == 503
    harness.jobs.available = True
    assert (await http.delete(_PATH)).status_code == 202


async def test_purged_job_is_a_tombstone(http: httpx.AsyncClient, harness: Harness) -> None:
    made = (await _submit(http, metadata={"order": "1"}, retention_seconds=600)).json()
    await harness.run_one()
    path = made["urls"]["self"]
    before = await http.get(path)
    [output] = before.json()["outputs"]
    assert before.json()["purged_at"] is None
    await harness.supervise_for(timedelta(seconds=600))
    after = await http.get(path, headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    told = after.json()
    assert (told["outputs"], told["metadata"], told["status"]) == ([], {}, "completed")
    assert told["purged_at"] is not None
    assert told["timings"] == before.json()["timings"]
    assert (await http.get(f"{path}/outputs/{output['id']}")).status_code == 404
    assert (await http.get(output["url"])).status_code == 404
