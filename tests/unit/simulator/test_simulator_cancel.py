"""Cancels: where they strike, where they are lost, what they leave behind."""

from __future__ import annotations

import uuid

import pytest

LONG = 10_000


async def test_cancelling_a_running_job_interrupts_the_sampler(client, sampler_workflow):
    async with client.listen() as listener:
        prompt_id = await client.submit(sampler_workflow(steps=LONG), listener.client_id)
        await listener.until("progress")
        answer = await client.http.post(f"/api/jobs/{prompt_id}/cancel")
        assert (answer.status_code, answer.json()) == (200, {"cancelled": True})
        interrupted = (await listener.until("execution_interrupted"))[-1]["data"]
        await listener.until_end()
    assert (interrupted["node_id"], interrupted["node_type"]) == ("3", "KSampler")
    job = (await client.http.get(f"/api/jobs/{prompt_id}")).json()
    assert job["status"] == "cancelled"


async def test_a_cancelled_waiting_job_vanishes(client, sampler_workflow):
    running = await client.submit(sampler_workflow(steps=LONG))
    await client.until_running(running)
    for path, body in (("/api/jobs/{}/cancel", None), ("/queue", "delete"), ("/queue", "clear")):
        waiting = await client.submit(sampler_workflow(steps=1))
        bodies = {"delete": {"delete": [waiting]}, "clear": {"clear": True}}
        answer = await client.http.post(path.format(waiting), json=bodies.get(body))
        assert answer.status_code == 200
        assert (await client.http.get("/queue")).json()["queue_pending"] == []
        assert (await client.http.get(f"/api/jobs/{waiting}")).status_code == 404
        assert (await client.http.get(f"/history/{waiting}")).json() == {}
    await client.http.post("/interrupt", json={})
    await client.queue_empty()


async def test_several_jobs_are_cancelled_at_once(client, sampler_workflow):
    ids = [await client.submit(sampler_workflow(steps=LONG)) for _ in range(3)]
    await client.until_running(ids[0])
    answer = await client.http.post("/api/jobs/cancel", json={"job_ids": ids})
    assert answer.json() == {"cancelled": True}
    await client.http.post("/interrupt", json={})  # the first cancel may have come too early
    await client.queue_empty()


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"job_ids": 1}', b'{"job_ids": ["not-a-uuid", {}]}']
)
async def test_a_malformed_cancel_is_400(client, body):
    answer = await client.http.post("/api/jobs/cancel", content=body)
    assert answer.status_code == 400
    assert "error" in answer.json()


async def test_cancelling_what_is_unknown_or_finished_does_nothing(client, picture_workflow):
    finished = await client.submit(picture_workflow())
    await client.finished(finished)
    for job_id in (finished, str(uuid.uuid4())):
        answer = await client.http.post(f"/api/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json()) == (200, {"cancelled": False})


async def test_interrupting_a_waiting_or_unknown_prompt_stops_nothing(client, picture_workflow):
    running = await client.submit(picture_workflow(("SimulatorSleep", {"seconds": 0.2})))
    waiting = await client.submit(picture_workflow(color=3))
    for prompt_id in (waiting, str(uuid.uuid4())):
        answer = await client.http.post("/interrupt", json={"prompt_id": prompt_id})
        assert (answer.status_code, answer.content) == (200, b"")
    await client.queue_empty()
    history = (await client.http.get("/history")).json()
    assert {history[each]["status"]["status_str"] for each in (running, waiting)} == {"success"}


async def test_a_global_interrupt_while_idle_does_not_hit_the_next_prompt(client, picture_workflow):
    await client.http.post("/interrupt")
    history = await client.run(picture_workflow())
    assert history["status"]["status_str"] == "success"


async def test_an_interrupt_inside_a_node_strikes_at_the_next_one(client, picture_workflow):
    async with client.listen() as listener:
        workflow = picture_workflow(("SimulatorSleep", {"seconds": 0.2}), ("ImageInvert", {}))
        prompt_id = await client.submit(workflow, listener.client_id)
        await listener.until("executing", node="10")
        await client.http.post("/interrupt", json={"prompt_id": prompt_id})
        interrupted = (await listener.until("execution_interrupted"))[-1]["data"]
    assert interrupted["node_id"] == "11"
    assert interrupted["executed"] == ["1", "10"]


async def test_an_interrupt_inside_the_last_node_is_lost(client, picture_workflow):
    big = {"bytes": 100_000_000, "seed": 1, "extension": "png", "filename_prefix": "big"}
    workflow = {"9": {"class_type": "SimulatorLargeFile", "inputs": big}}
    async with client.listen() as listener:
        prompt_id = await client.submit(workflow, listener.client_id)
        await listener.until("executing", node="9")
        answer = await client.http.post(f"/api/jobs/{prompt_id}/cancel")
        assert answer.json() == {"cancelled": True}
        await listener.until_end()
    history = await client.finished(prompt_id)
    assert history["status"]["status_str"] == "success"
    (client.running.base_directory / "output" / "big_00001_.png").unlink()
    following = await client.run(picture_workflow())
    assert following["status"]["status_str"] == "success"
