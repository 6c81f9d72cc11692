"""The WebSocket messages of the simulator against those recorded from a real v0.26.0."""

from __future__ import annotations

import json
import struct

import pytest


async def test_success_sends_the_recorded_messages(client, recording, comparable):
    recorded = recording("ws_success.jsonl")
    workflow = next(iter(recording("history_success.json").values()))["prompt"][2]
    async with client.listen() as listener:
        hello = {"supports_preview_metadata": True}
        await listener.socket.send(json.dumps({"type": "feature_flags", "data": hello}))
        seen = await listener.until("feature_flags")
        await client.submit(workflow, listener.client_id)
        seen += await listener.until_end()
    assert comparable(seen) == comparable(recorded)


@pytest.mark.parametrize("client_id", ["the-first-client", "another-client"])
async def test_cached_prompt_sends_the_recorded_messages(client, recording, comparable, client_id):
    workflow = next(iter(recording("history_cached.json").values()))["prompt"][2]
    first = await client.submit(workflow, "the-first-client")
    await client.finished(first)
    await client.queue_empty()
    async with client.listen(client_id) as listener:
        await listener.next()
        await client.submit(workflow, listener.client_id)
        seen = await listener.until_end()
    assert comparable(seen) == comparable(recording("ws_cached_same.jsonl"))


async def test_cached_prompt_under_other_node_ids_has_the_recorded_order(
    client, recording, comparable
):
    kinds = [message["type"] for message in recording("ws_cached_other_client.jsonl")]
    workflow = next(iter(recording("history_cached.json").values()))["prompt"][2]
    await client.run(workflow)
    renamed = json.loads(json.dumps(workflow).replace('"1"', '"21"').replace('"9"', '"29"'))
    async with client.listen() as listener:
        await listener.next()
        await client.submit(renamed, listener.client_id)
        seen = await listener.until_end()
    assert [message["type"] for message in seen] == kinds
    executed = next(message["data"] for message in seen if message["type"] == "executed")
    assert executed["node"] == "29"
    assert executed["output"]["images"][0]["filename"] == "x_00001_.png"


async def test_failure_sends_the_recorded_messages(client, recording, comparable):
    upload = {"image": ("x.html", b"<html>", "text/html")}
    await client.http.post("/upload/image", files=upload)
    workflow = recording("jobs_id_error.json")["workflow"]["prompt"]
    async with client.listen() as listener:
        await listener.next()
        await client.submit(workflow, listener.client_id)
        seen = comparable(await listener.until_end())
    recorded = comparable(recording("ws_error.jsonl"))
    errors = [
        next(each["data"] for each in messages if each["type"] == "execution_error")
        for messages in (seen, recorded)
    ]
    input_folder = str(client.running.base_directory / "input")
    message = errors[0]["exception_message"]
    errors[0]["exception_message"] = message.replace(input_folder, "/comfy/input")
    for error in errors:
        error["current_outputs"].sort()  # a set in the original
    assert seen == recorded


async def test_interrupted_sampler_sends_the_recorded_messages(
    client, recording, comparable, sampler_workflow
):
    recorded = recording("ws_interrupted.jsonl")
    workflow = recording("jobs_id_interrupted.json")["workflow"]["prompt"]
    other_texts = sampler_workflow("another text", steps=1)
    other_texts["7"]["inputs"]["text"] = "and another"
    await client.run(other_texts)  # leaves nodes 4 and 5 in the cache, as in the recording
    async with client.listen() as listener:
        await listener.next()
        prompt_id = await client.submit(workflow, listener.client_id)
        seen = await listener.until("progress", value=3)
        await client.http.post("/interrupt", json={"prompt_id": prompt_id})
        seen += await listener.until_end()

    def without_steps(messages):
        """Leave out what is sent per step; how many were taken differs."""
        kept = []
        for message in comparable(messages):
            nodes = message["data"].get("nodes", {})
            values = nodes.get("3", {}) if isinstance(nodes, dict) else {}
            if message["type"] != "progress" and values.get("value", 0) == 0:
                kept.append(message)
        return kept

    for messages in (seen, recorded):
        messages[-3]["data"]["executed"].sort()  # a set in the original
    assert without_steps(seen) == without_steps(recorded)
    steps = [each["data"] for each in seen if each["type"] == "progress"]
    assert [step["value"] for step in steps][:3] == [1, 2, 3]
    assert {step["max"] for step in steps} == {400}


async def test_sampler_reports_every_step_in_the_recorded_order(
    client, recording, comparable, sampler_workflow
):
    recorded = recording("ws_progress_ksampler.jsonl")
    steps = max(each["data"]["max"] for each in recorded if each["type"] == "progress")
    async with client.listen() as listener:
        seen = [await listener.next()]
        await client.submit(sampler_workflow(steps=steps), listener.client_id)
        seen += await listener.until_end()
    name = [each["data"]["output"] for each in recorded if each["type"] == "executed"]
    assert name == [{"images": [{"filename": "ks_00001_.png", "subfolder": "", "type": "output"}]}]
    assert comparable(seen) == comparable(recorded)


@pytest.mark.parametrize(
    ("name", "announces"),
    [("ws_preview_legacy_binary.jsonl", False), ("ws_preview_metadata_binary.jsonl", True)],
)
async def test_previews_come_in_the_recorded_format_and_place(
    client, recording, sampler_workflow, name, announces
):
    def kinds(messages):
        found = []
        for each in messages:
            binary = isinstance(each, bytes)
            if binary or "_binary" in each:
                event = struct.unpack(">I", each[:4])[0] if binary else each["event"]
                found.append(f"binary {event}")
            else:
                found.append(each["type"])
        return found

    await client.run(sampler_workflow(steps=1))  # the recorded prompt found 4 to 7 cached
    async with client.listen() as listener:
        seen = []
        if announces:
            hello = {"supports_preview_metadata": True}
            await listener.socket.send(json.dumps({"type": "feature_flags", "data": hello}))
            seen += await listener.until("feature_flags")
        else:
            seen.append(await listener.next())
        wish = {"preview_method": "latent2rgb"}
        workflow = sampler_workflow(steps=4)
        prompt_id = await client.submit(workflow, listener.client_id, extra_data=wish)
        seen += await listener.until_end()
    assert kinds(seen) == kinds(recording(name))
    binary = next(each for each in seen if isinstance(each, bytes))
    if announces:
        length = struct.unpack(">I", binary[4:8])[0]
        metadata, picture = json.loads(binary[8 : 8 + length]), binary[8 + length :]
        assert metadata == {
            "node_id": "3",
            "prompt_id": prompt_id,
            "display_node_id": "3",
            "parent_node_id": None,
            "real_node_id": "3",
            "image_type": "image/jpeg",
        }
    else:
        assert struct.unpack(">I", binary[4:8]) == (1,)
        picture = binary[8:]
    assert picture.startswith(b"\xff\xd8\xff")
