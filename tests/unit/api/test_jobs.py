"""The job routes over the harness: the contract of DESIGN's HTTP section, route by route."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import httpx
import structlog

from genjobs.domain.ids import parse_job_id
from genjobs.testing import Harness, a_workflow, png_bytes
from genjobs.testing.contracts.engine import loading

USER = "u_42"
PICTURE = {"name": "photo.png", "data": base64.b64encode(png_bytes()).decode()}


async def submit(http: httpx.AsyncClient, **parts: Any) -> httpx.Response:
    headers = parts.pop("headers", {})
    body = {"user_id": USER, "workflow": a_workflow(), **parts}
    return await http.post("/v1/jobs", json=body, headers=headers)


async def read(http: httpx.AsyncClient, job_id: str, **headers: str) -> httpx.Response:
    return await http.get(f"/v1/jobs/{job_id}", params={"user_id": USER}, headers=headers)


async def test_submit_answers_202_with_location_and_job(http: httpx.AsyncClient) -> None:
    answer = await submit(http, metadata={"order": "123"}, priority=3)
    job = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["object"], job["status"], job["user_id"]) == ("job", "queued", USER)
    assert job["queue"] == {"position": 1}
    assert (job["progress"], job["error"], job["cancellation"]) == (None, None, None)
    assert (job["outputs"], job["metadata"], job["priority"]) == ([], {"order": "123"}, 3)
    assert job["created_at"].endswith("Z")
    assert job["urls"] == {
        "self": f"/v1/jobs/{job['id']}",
        "cancel": f"/v1/jobs/{job['id']}/cancel",
    }
    assert (await read(http, job["id"])).json() == job


async def test_job_members_are_those_of_the_contract(http: httpx.AsyncClient) -> None:
    job = (await submit(http)).json()
    assert set(job) == {
        *("id", "object", "status", "phase", "user_id", "attempt", "priority", "created_at"),
        *("started_at", "finished_at", "purged_at", "progress", "queue", "outputs", "error"),
        *("cancellation", "timings", "metadata", "urls"),
    }


async def test_input_picture_reaches_the_engine(http: httpx.AsyncClient, harness: Harness) -> None:
    await submit(http, workflow=loading(), media=[PICTURE])
    await harness.run_one()

    assert list(harness.engine.staged.values()) == [png_bytes()]


async def test_completed_job_has_signed_outputs(http: httpx.AsyncClient, harness: Harness) -> None:
    job_id = (await submit(http)).json()["id"]
    await harness.run_one()
    job = (await read(http, job_id)).json()

    assert (job["status"], job["attempt"], job["queue"]) == ("completed", 1, None)
    [output] = job["outputs"]
    assert (output["kind"], output["content_type"]) == ("image", "image/png")
    assert output["bytes"] == len(png_bytes())
    assert await harness.artifacts.fetch(output["url"], now=harness.clock.now()) == png_bytes()


async def test_output_is_a_link_and_never_its_bytes(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    content = bytes(range(256)) * 4096  # a megabyte
    harness.engine.script.outputs = {"big.png": content}
    made = (await submit(http)).json()
    await harness.run_one()
    answers = [
        await http.get(made["urls"]["self"], params={"user_id": USER}),
        await http.get("/v1/jobs", params={"user_id": USER}),
    ]
    for answer in answers:
        assert "big.png" in answer.text
        assert base64.b64encode(content[:300]).decode() not in answer.text
        assert len(answer.content) < 2000


async def test_output_route_redirects_to_a_fresh_link(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    job_id = (await submit(http)).json()["id"]
    await harness.run_one()
    output_id = (await read(http, job_id)).json()["outputs"][0]["id"]
    harness.clock.advance(timedelta(days=1))
    url = f"/v1/jobs/{job_id}/outputs/{output_id}"
    answer = await http.get(url, params={"user_id": USER})

    assert answer.status_code == 302
    assert "no-store" in answer.headers["cache-control"]
    now = harness.clock.now()
    assert await harness.artifacts.fetch(answer.headers["location"], now=now) == png_bytes()


async def test_etag_spares_the_body_until_the_job_changes(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    job_id = (await submit(http)).json()["id"]
    first = await read(http, job_id)
    etag = first.headers["etag"]
    again = await read(http, job_id, **{"If-None-Match": etag})

    assert etag.startswith('W/"')
    assert first.headers["cache-control"] == "private, no-cache"
    assert int(first.headers["retry-after"]) > 0
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    await harness.run_one()
    changed = await read(http, job_id, **{"If-None-Match": f'"other", {etag}'})
    assert changed.status_code == 200
    assert "retry-after" not in changed.headers


async def test_304_never_confirms_a_link_about_to_expire(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    job_id = (await submit(http)).json()["id"]
    await harness.run_one()
    etag, url = "", ""
    for _ in range(200):
        answer = await read(http, job_id, **{"If-None-Match": etag})
        if answer.status_code == 200:
            etag, url = answer.headers["etag"], answer.json()["outputs"][0]["url"]
        soon = harness.clock.now() + timedelta(minutes=29)
        assert await harness.artifacts.fetch(url, now=soon) == png_bytes()
        harness.clock.advance(timedelta(minutes=7))


async def test_listing_pages_through_everything_once(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    made = []
    for _ in range(5):
        made.append((await submit(http)).json()["id"])
        harness.clock.advance(timedelta(seconds=1))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await http.get("/v1/jobs", params={"user_id": USER, "limit": "2", **cursor})).json()
        seen += [job["id"] for job in page["data"]]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert seen == list(reversed(made))


async def test_listing_filters(http: httpx.AsyncClient, harness: Harness) -> None:
    first = (await submit(http)).json()
    await harness.run_one()
    harness.clock.advance(timedelta(minutes=1))
    second = (await submit(http)).json()

    async def ids(**params: str) -> list[str]:
        answer = await http.get("/v1/jobs", params={"user_id": USER, **params})
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["data"]]

    assert await ids(status="completed") == [first["id"]]
    assert await ids(status="queued,running") == [second["id"]]
    assert await ids(created_after=second["created_at"]) == [second["id"]]
    assert await ids(created_before=second["created_at"]) == [first["id"]]


async def test_cancel_of_a_queued_job_is_final(http: httpx.AsyncClient) -> None:
    job_id = (await submit(http)).json()["id"]
    first = await http.delete(f"/v1/jobs/{job_id}", params={"user_id": USER})
    second = await http.post(f"/v1/jobs/{job_id}/cancel", params={"user_id": USER})

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert first.json()["status"] == "cancelled"
    assert first.json()["cancellation"]["method"] == "dequeued"


async def test_cancel_of_a_running_job_is_202(http: httpx.AsyncClient, harness: Harness) -> None:
    job_id = (await submit(http)).json()["id"]
    [assignment] = await harness.ledger.dispatch(now=harness.clock.now(), limit=1)
    from uuid import uuid4

    from genjobs.domain.ids import ExecutionId

    await harness.ledger.start(assignment, ExecutionId(uuid4()), now=harness.clock.now())
    answer = await http.delete(f"/v1/jobs/{job_id}", params={"user_id": USER})

    assert answer.status_code == 202
    assert answer.json()["cancellation"]["method"] is None


async def test_replay_is_the_same_job_read_afresh(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    key = {"Idempotency-Key": "order-123"}
    first = await submit(http, headers=key, workflow=loading(), media=[PICTURE])
    await harness.run_one()
    files = dict(harness.artifacts.files)
    again = await submit(http, headers=key, workflow=loading(), media=[PICTURE])

    assert again.status_code == 202
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.json()["status"] == "completed"
    assert harness.artifacts.files == files  # nothing was stored for the replay


async def test_same_key_for_another_request_is_refused(http: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "order-123"}
    await submit(http, headers=key)
    answer = await submit(http, headers=key, priority=1)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")


async def test_outage_is_503_with_retry_after(http: httpx.AsyncClient, harness: Harness) -> None:
    harness.artifacts.available = False
    answer = await submit(http, workflow=loading(), media=[PICTURE])

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert (await http.get("/readyz")).status_code == 503
    assert (await http.get("/livez")).status_code == 200
    assert harness.jobs.rows == {}


async def test_outage_fills_no_log_with_tracebacks(
    http: httpx.AsyncClient, harness: Harness
) -> None:
    harness.jobs.available = False
    with structlog.testing.capture_logs() as logs:
        await submit(http)
    [failed] = [entry for entry in logs if entry["event"] == "api.failed"]
    assert (failed["code"], failed["exc_info"]) == ("unavailable", None)


async def test_ids_in_answers_are_typed(http: httpx.AsyncClient) -> None:
    assert parse_job_id((await submit(http)).json()["id"]).version == 7
