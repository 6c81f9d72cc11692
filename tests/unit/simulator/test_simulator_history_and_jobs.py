"""History, queue and job documents against those recorded from a real v0.26.0."""

from __future__ import annotations

import uuid

import pytest


def without_times(job):
    return {name: value for name, value in job.items() if not name.endswith("_time")}


async def upload_garbage(client):
    await client.http.post("/upload/image", files={"image": ("x.html", b"<html>")})


def normalized(client, comparable, document):
    """Blank ids and times, rewrite paths, sort sets, drop the priority (a running number)."""
    folder = str(client.running.base_directory / "input")
    text_safe = comparable(document)

    def walk(value):
        if isinstance(value, dict):
            return {
                name: sorted(each) if name in ("executed", "current_outputs") else walk(each)
                for name, each in value.items()
                if name not in ("priority", "id")
            }
        if isinstance(value, list):
            return [walk(each) for each in value]
        return value.replace(folder, "/comfy/input") if isinstance(value, str) else value

    return walk(text_safe)


def without_number_and_id(history):
    history["prompt"] = history["prompt"][2:]
    return history


async def test_history_of_a_success_is_the_recorded_one(client, recording, comparable):
    (recorded,) = recording("history_success.json").values()
    history = await client.run(recorded["prompt"][2])
    assert normalized(client, comparable, without_number_and_id(history)) == normalized(
        client, comparable, without_number_and_id(recorded)
    )


async def test_history_of_a_failure_is_the_recorded_one(client, recording, comparable):
    recorded = recording("history_error.json")
    await upload_garbage(client)
    history = await client.run(recorded["prompt"][2])
    assert normalized(client, comparable, without_number_and_id(history)) == normalized(
        client, comparable, without_number_and_id(recorded)
    )


async def test_history_of_a_failed_allocation_is_the_recorded_one(client, recording, comparable):
    recorded = recording("history_alloc_error_cpu.json")
    history = await client.run(recorded["prompt"][2])
    assert normalized(client, comparable, without_number_and_id(history)) == normalized(
        client, comparable, without_number_and_id(recorded)
    )


async def test_history_of_an_interrupt_is_the_recorded_one(
    client, recording, comparable, sampler_workflow
):
    (recorded,) = recording("history_interrupted.json").values()
    other_texts = sampler_workflow("another text", steps=1)
    other_texts["7"]["inputs"]["text"] = "and another"
    await client.run(other_texts)
    async with client.listen() as listener:
        prompt_id = await client.submit(recorded["prompt"][2], listener.client_id)
        await listener.until("progress")
        await client.http.post("/interrupt", json={})
        history = await client.finished(prompt_id)
    assert normalized(client, comparable, without_number_and_id(history)) == normalized(
        client, comparable, without_number_and_id(recorded)
    )
    job = (await client.http.get(f"/api/jobs/{prompt_id}")).json()
    assert normalized(client, comparable, without_times(job)) == normalized(
        client, comparable, without_times(recording("jobs_id_interrupted.json"))
    )


async def test_history_of_a_cached_prompt_without_client_has_the_recorded_lack_of_outputs(
    client, recording, comparable
):
    (recorded,) = recording("history_cached_no_client_id.json").values()
    await client.run(recorded["prompt"][2])
    history = await client.finished(await client.submit(recorded["prompt"][2]))
    assert history["outputs"] == {}
    assert normalized(client, comparable, without_number_and_id(history)) == normalized(
        client, comparable, without_number_and_id(recorded)
    )


@pytest.mark.parametrize("name", ["jobs_id_success.json", "jobs_id_error.json"])
async def test_job_document_is_the_recorded_one(client, recording, comparable, name):
    recorded = recording(name)
    await upload_garbage(client)
    prompt_id = await client.submit(recorded["workflow"]["prompt"], uuid.uuid4().hex)
    await client.finished(prompt_id)
    job = (await client.http.get(f"/api/jobs/{prompt_id}")).json()
    assert normalized(client, comparable, without_times(job)) == normalized(
        client, comparable, without_times(recorded)
    )
    assert set(job) == set(recorded)
    assert job["execution_end_time"] >= job["execution_start_time"] >= job["create_time"]


async def test_history_is_empty_until_the_end_and_kept_until_deleted(client, picture_workflow):
    prompt_id = await client.submit(picture_workflow(("SimulatorSleep", {"seconds": 0.2})))
    assert (await client.http.get(f"/history/{prompt_id}")).json() == {}
    await client.finished(prompt_id)
    assert list((await client.http.get("/history")).json()) == [prompt_id]
    answer = await client.http.post("/history", json={"delete": [prompt_id]})
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await client.http.get("/history")).json() == {}


async def test_history_pages(client, picture_workflow):
    ids = [await client.submit(picture_workflow(color=color)) for color in range(4)]
    await client.queue_empty()
    newest = (await client.http.get("/history", params={"max_items": 2})).json()
    assert list(newest) == ids[2:]
    middle = (await client.http.get("/history", params={"max_items": 2, "offset": 1})).json()
    assert list(middle) == ids[1:3]
    await client.http.post("/history", json={"clear": True})
    assert (await client.http.get("/history")).json() == {}


async def test_queue_shows_what_runs_and_what_waits_in_its_recorded_shape(
    client, picture_workflow, recording
):
    running = await client.submit(picture_workflow(("SimulatorSleep", {"seconds": 0.5})), "me")
    await client.until_running(running)
    waiting = await client.submit(picture_workflow(), extra_data={"foo": "bar"})
    queue = (await client.http.get("/queue")).json()
    recorded = recording("queue_running_and_pending.json")
    assert set(queue) == set(recorded)
    (entry,) = queue["queue_running"]
    assert len(entry) == len(recorded["queue_running"][0])
    assert (entry[1], entry[3]["client_id"], entry[4]) == (running, "me", ["9"])
    (entry,) = queue["queue_pending"]
    assert (entry[1], entry[3]["foo"]) == (waiting, "bar")
    statuses = [
        (await client.http.get(f"/api/jobs/{each}")).json()["status"] for each in (running, waiting)
    ]
    assert statuses == ["in_progress", "pending"]
    await client.queue_empty()


async def test_the_lowest_number_runs_first_and_front_goes_before_all(client, picture_workflow):
    first = await client.submit(picture_workflow(("SimulatorSleep", {"seconds": 0.3})))
    await client.until_running(first)
    late = await client.submit(picture_workflow(color=1), number=50)
    early = await client.submit(picture_workflow(color=2), number=10)
    front = await client.submit(picture_workflow(color=3), front=True)
    await client.queue_empty()
    assert list((await client.http.get("/history")).json()) == [first, front, early, late]


async def test_jobs_are_listed_filtered_sorted_and_paged(client, picture_workflow):
    good = await client.submit(picture_workflow())
    bad = await client.submit(picture_workflow(("SimulatorFail", {"message": "no"})))
    named = await client.submit(
        picture_workflow(color=3), extra_data={"extra_pnginfo": {"workflow": {"id": "w1"}}}
    )
    await client.queue_empty()

    async def listed(**params):
        return (await client.http.get("/api/jobs", params=params)).json()

    everything = await listed(sort_order="asc")
    assert {job["id"] for job in everything["jobs"]} == {good, bad, named}
    assert all("outputs" not in job for job in everything["jobs"])
    assert [job["id"] for job in (await listed(status="failed"))["jobs"]] == [bad]
    assert [job["id"] for job in (await listed(workflow_id="w1"))["jobs"]] == [named]
    page = await listed(limit=2, offset=2)
    assert page["pagination"] == {"offset": 2, "limit": 2, "total": 3, "has_more": False}
    assert len(page["jobs"]) == 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"status": "lost"}, "Invalid status value(s): lost"),
        ({"sort_by": "size"}, "sort_by must be"),
        ({"sort_order": "up"}, "sort_order must be"),
        ({"limit": "0"}, "limit must be a positive integer"),
        ({"offset": "x"}, "offset must be an integer"),
    ],
)
async def test_a_bad_jobs_query_is_refused(client, query, words):
    answer = await client.http.get("/api/jobs", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)


async def test_an_unknown_job_is_404(client):
    answer = await client.http.get(f"/api/jobs/{uuid.uuid4()}")
    assert (answer.status_code, answer.json()) == (404, {"error": "Job not found"})
