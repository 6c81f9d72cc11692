"""Ordered faults: each strikes as told, as often as told, and then no more."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
import websockets

from genjobs.simulator import Faults


async def test_lost_cancels_are_accepted_and_do_nothing(client, picture_workflow):
    running = await client.submit(picture_workflow(("SimulatorSleep", {"seconds": 0.3})))
    await client.until_running(running)
    waiting = await client.submit(picture_workflow(color=2))
    client.running.faults.lose_cancels = 4
    answers = [await client.http.post(f"/api/jobs/{each}/cancel") for each in (running, waiting)]
    assert [answer.json() for answer in answers] == [{"cancelled": True}] * 2
    await client.http.post("/interrupt", json={})
    await client.http.post("/queue", json={"delete": [waiting]})
    assert client.running.faults.lose_cancels == 0
    for prompt_id in (running, waiting):
        assert (await client.finished(prompt_id))["status"]["status_str"] == "success"


async def test_after_the_lost_cancels_the_next_one_works(client, sampler_workflow):
    async with client.listen() as listener:
        prompt_id = await client.submit(sampler_workflow(steps=10_000), listener.client_id)
        await listener.until("progress")
        client.running.faults.lose_cancels = 1
        for _ in range(2):
            await client.http.post(f"/api/jobs/{prompt_id}/cancel")
        await listener.until("execution_interrupted")


async def test_a_prompt_can_be_answered_500_and_yet_be_queued(client, picture_workflow):
    client.running.faults.queue_and_answer_500 = 1
    wished = "3d01bf2a-c7d8-4790-bdb6-8c2b202741f7"
    body = {"prompt": picture_workflow(), "prompt_id": wished, "client_id": "c"}
    assert (await client.http.post("/prompt", json=body)).status_code == 500
    assert (await client.finished(wished))["status"]["status_str"] == "success"
    assert (await client.http.post("/prompt", json=body)).status_code == 200


async def test_outputs_can_be_gone_although_success_is_reported(client, picture_workflow):
    client.running.faults.lose_outputs = 1
    history = await client.run(picture_workflow())
    assert history["status"]["status_str"] == "success"
    (entry,) = history["outputs"]["9"]["images"]
    assert (await client.http.get("/view", params=entry)).status_code == 404
    (entry,) = (await client.run(picture_workflow(prefix="u")))["outputs"]["9"]["images"]
    assert (await client.http.get("/view", params=entry)).status_code == 200


async def test_history_can_be_lost_though_the_messages_came(client, picture_workflow):
    client.running.faults.lose_histories = 1
    async with client.listen() as listener:
        prompt_id = await client.submit(picture_workflow(), listener.client_id)
        await listener.until("execution_success")
        await listener.until_end()
    assert (await client.http.get(f"/history/{prompt_id}")).json() == {}
    assert (await client.http.get(f"/api/jobs/{prompt_id}")).status_code == 404


async def test_a_socket_breaks_without_a_close_frame_at_the_ordered_message(
    client, picture_workflow
):
    client.running.faults.drop_socket_at = 4
    async with client.listen() as listener:
        prompt_id = await client.submit(picture_workflow(), listener.client_id)
        seen = []
        with pytest.raises(websockets.ConnectionClosedError) as broken:
            await listener.until("never", into=seen)
    assert len(seen) == 3
    assert broken.value.rcvd is None
    assert (await client.finished(prompt_id))["status"]["status_str"] == "success"
    async with client.listen() as again:
        await client.submit(picture_workflow(color=8), again.client_id)
        await again.until_end()


async def test_a_socket_falls_silent_at_the_ordered_message_and_stays_open(
    client, picture_workflow
):
    client.running.faults.silence_socket_at = 3
    async with client.listen() as listener:
        await client.finished(await client.submit(picture_workflow(), listener.client_id))
        await client.queue_empty()
        assert [(await listener.next())["type"] for _ in range(2)] == ["status"] * 2
        pong = await listener.socket.ping()
        async with asyncio.timeout(20):
            await pong  # alive as far as TCP and WebSocket can tell
        await listener.socket.close()
        assert [message async for message in listener.socket] == []


async def test_several_sockets_can_be_dropped(client):
    client.running.faults.drop_socket_times = 2
    client.running.faults.drop_socket_at = 1
    for _ in range(2):
        async with client.listen() as listener:
            with pytest.raises(websockets.ConnectionClosed):
                await listener.next()
    async with client.listen() as listener:
        assert (await listener.next())["type"] == "status"


async def test_a_frozen_server_answers_when_it_thaws(client):
    began = time.monotonic()
    client.running.faults.freeze_seconds = 0.4
    with pytest.raises(httpx.ReadTimeout):
        await client.http.get("/queue", timeout=0.05)
    assert (await client.http.get("/queue")).status_code == 200
    assert time.monotonic() - began >= 0.4
    assert client.running.faults.freeze_seconds == 0


@pytest.mark.parametrize("moment", ["request", "prompt", "step"])
async def test_it_dies_at_the_ordered_moment_and_comes_back_without_memory(
    client, picture_workflow, moment
):
    before = await client.submit(picture_workflow(prefix="before"), "c")
    await client.finished(before)
    client.running.faults.die_at = moment
    async with client.listen() as listener:
        submit = client.submit(picture_workflow(color=5), listener.client_id)
        if moment == "step":
            await asyncio.gather(submit, return_exceptions=True)  # the answer may just make it
        else:
            with pytest.raises(httpx.TransportError):
                await submit
        with pytest.raises(websockets.ConnectionClosedError) as broken:
            await listener.until("never")
        assert broken.value.rcvd is None
    with pytest.raises(httpx.ConnectError):
        await client.http.get("/queue")
    await client.running.restart()
    assert (await client.http.get(f"/history/{before}")).json() == {}
    assert (await client.http.get("/prompt")).json()["exec_info"]["queue_remaining"] == 0
    output = client.running.base_directory / "output"
    assert (output / "before_00001_.png").exists()
    history = await client.run(picture_workflow(prefix="before"))
    assert history["outputs"]["9"]["images"][0]["filename"] == "before_00002_.png"


async def test_faults_are_ordered_and_read_over_http(client):
    answer = await client.http.post("/simulator/faults", json={"lose_cancels": 2, "die_at": "step"})
    assert answer.status_code == 200
    assert (client.running.faults.lose_cancels, client.running.faults.die_at) == (2, "step")
    shown = (await client.http.get("/simulator/faults")).json()
    assert shown == client.running.faults.as_dict()
    answer = await client.http.post("/simulator/faults", json={"clear": True, "lose_outputs": 1})
    assert answer.json() == {**Faults().as_dict(), "lose_outputs": 1}


@pytest.mark.parametrize(
    "orders",
    [
        {"nope": 1},
        {"lose_cancels": -1},
        {"lose_cancels": True},
        {"lose_cancels": None},
        {"lose_cancels": 1, "_lock": 1},
        {"die_at": "later"},
        {"freeze_seconds": "1"},
        [],
    ],
)
async def test_an_order_that_makes_no_sense_is_refused_whole(client, orders):
    answer = await client.http.post("/simulator/faults", json=orders)
    assert answer.status_code == 400
    assert client.running.faults == Faults()
