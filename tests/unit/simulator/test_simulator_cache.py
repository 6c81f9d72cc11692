"""The shared cache: whom it serves what."""

from __future__ import annotations

import asyncio
import io

import pytest
from PIL import Image


def png(color):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


def cached(history):
    return dict(history["status"]["messages"])["execution_cached"]["nodes"]


def filename(history):
    return history["outputs"]["9"]["images"][0]["filename"]


async def test_the_same_workflow_of_another_client_gets_the_first_ones_file(
    client, picture_workflow
):
    first = await client.run(picture_workflow())
    second = await client.run(picture_workflow())
    assert cached(second) == ["1", "9"]
    assert filename(second) == filename(first) == "t_00001_.png"


async def test_another_prefix_runs_the_saving_node_only(client, picture_workflow):
    await client.run(picture_workflow(prefix="a"))
    second = await client.run(picture_workflow(prefix="b"))
    assert cached(second) == ["1"]
    assert filename(second) == "b_00001_.png"


async def test_a_deleted_file_is_still_reported_as_success(client, picture_workflow, recording):
    await client.run(picture_workflow(prefix="delme"))
    (client.running.base_directory / "output" / "delme_00001_.png").unlink()
    history = await client.run(picture_workflow(prefix="delme"))
    (recorded,) = recording("history_cached_but_file_deleted.json").values()
    assert history["outputs"] == recorded["outputs"]
    assert history["status"]["status_str"] == "success"
    answer = await client.http.get("/view", params=history["outputs"]["9"]["images"][0])
    assert answer.status_code == 404


async def test_the_counter_reuses_the_name_of_a_deleted_file(client, picture_workflow):
    await client.run(picture_workflow(color=1))
    (client.running.base_directory / "output" / "t_00001_.png").unlink()
    assert filename(await client.run(picture_workflow(color=2))) == "t_00001_.png"
    assert filename(await client.run(picture_workflow(color=3))) == "t_00002_.png"


async def test_other_content_under_the_same_input_name_is_not_served_from_the_cache(client):
    workflow = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "t"}},
    }
    for color, expected in ((1, []), (1, ["1", "9"]), (2, [])):
        files = {"image": ("a.png", png((color, 0, 0)), "image/png")}
        await client.http.post("/upload/image", files=files, data={"overwrite": "true"})
        assert cached(await client.run(workflow)) == expected


async def test_free_memory_forgets_everything(client, picture_workflow):
    await client.run(picture_workflow())
    answer = await client.http.post("/free", json={"free_memory": True})
    assert (answer.status_code, answer.content) == (200, b"")
    async with asyncio.timeout(20):
        while cached(history := await client.run(picture_workflow())):
            pass  # done between prompts, so a prompt sent at once may still come before it
    assert filename(history) != "t_00001_.png"


@pytest.mark.parametrize(
    ("mode", "again_at_once", "again_later"),
    [("lru", ["1", "9"], ["1", "9"]), ("classic", ["1", "9"], []), ("none", [], [])],
)
async def test_modes_differ_in_what_they_keep(
    make_client, tmp_path, picture_workflow, mode, again_at_once, again_later
):
    async with make_client(tmp_path, cache=mode) as client:
        await client.run(picture_workflow(color=1))
        assert cached(await client.run(picture_workflow(color=1))) == again_at_once
        await client.run(picture_workflow(color=2))
        assert cached(await client.run(picture_workflow(color=1))) == again_later


async def test_lru_keeps_no_more_entries_than_told(make_client, tmp_path, picture_workflow):
    async with make_client(tmp_path, cache_entries=4) as client:
        for color in range(4):
            await client.run(picture_workflow(color=color))
        assert cached(await client.run(picture_workflow(color=3))) == ["1", "9"]
        assert cached(await client.run(picture_workflow(color=0))) == []


async def test_equal_nodes_of_one_prompt_run_once(client, picture_workflow):
    workflow = picture_workflow()
    workflow["19"] = workflow["9"]
    history = await client.run(workflow)
    assert history["outputs"]["9"] == history["outputs"]["19"]


async def test_a_malformed_node_nobody_uses_does_not_stop_the_server(client, picture_workflow):
    workflow = picture_workflow()
    workflow["5"] = {"class_type": "ImageInvert", "inputs": []}
    workflow["6"] = {"class_type": "ImageInvert", "inputs": {"image": ["nowhere", 0]}}
    assert (await client.run(workflow))["status"]["status_str"] == "success"
