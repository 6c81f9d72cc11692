"""What the nodes really do to pictures and files."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image


async def output(client, history, node="9", index=0):
    entry = history["outputs"][node]["images"][index]
    answer = await client.http.get("/view", params=entry)
    assert answer.status_code == 200
    return Image.open(io.BytesIO(answer.content))


async def load(client, picture, middle=(), slot=0):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    await client.http.post(
        "/upload/image", files={"image": ("in.png", buffer.getvalue())}, data={"overwrite": "1"}
    )
    workflow = {"1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}}}
    last = ["1", slot]
    for number, (class_type, inputs) in enumerate(middle, 10):
        workflow[str(number)] = {"class_type": class_type, "inputs": {**inputs, "image": last}}
        last = [str(number), 0]
    workflow["9"] = {"class_type": "SaveImage", "inputs": {"images": last, "filename_prefix": "o"}}
    return workflow


async def test_empty_image_has_its_colour_and_batch(client, picture_workflow):
    workflow = picture_workflow(color=0xFF8001)
    workflow["1"]["inputs"].update(batch_size=3, width=20, height=10)
    history = await client.run(workflow)
    names = [entry["filename"] for entry in history["outputs"]["9"]["images"]]
    assert names == ["t_00001_.png", "t_00002_.png", "t_00003_.png"]
    picture = await output(client, history, index=2)
    assert picture.size == (20, 10)
    assert picture.getpixel((5, 5)) == (255, 128, 1)


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
async def test_scale_gives_the_size(client, picture_workflow, method):
    inputs = {"upscale_method": method, "width": 40, "height": 0, "crop": "disabled"}
    history = await client.run(picture_workflow(("ImageScale", inputs)))
    assert (await output(client, history)).size == (40, 40)


async def test_scale_can_crop_the_middle(client):
    picture = Image.new("RGB", (30, 10), "blue")
    picture.paste((255, 0, 0), (10, 0, 20, 10))
    inputs = {"upscale_method": "nearest-exact", "width": 10, "height": 10, "crop": "center"}
    history = await client.run(await load(client, picture, [("ImageScale", inputs)]))
    colors = (await output(client, history)).getcolors()
    assert colors == [(100, (255, 0, 0))]


async def test_invert_inverts(client, picture_workflow):
    history = await client.run(picture_workflow(("ImageInvert", {}), color=0x00FF10))
    assert (await output(client, history)).getpixel((0, 0)) == (255, 0, 239)


async def test_blur_mixes_neighbours(client):
    picture = Image.new("RGB", (20, 20), "black")
    picture.paste((255, 255, 255), (10, 0, 20, 20))
    blur = ("ImageBlur", {"blur_radius": 4, "sigma": 3.0})
    blurred = await output(client, await client.run(await load(client, picture, [blur])))
    assert 0 < blurred.getpixel((9, 10))[0] < 255


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("normal", 150), ("multiply", 89), ("screen", 161), ("difference", 100)],
)
async def test_blend_mixes_by_its_factor(client, picture_workflow, mode, expected):
    workflow = picture_workflow(color=0x646464)
    workflow["2"] = json.loads(json.dumps(workflow["1"]))
    workflow["2"]["inputs"].update(color=0xC8C8C8, width=4, height=4)
    inputs = {"image1": ["1", 0], "image2": ["2", 0], "blend_factor": 0.5, "blend_mode": mode}
    workflow["5"] = {"class_type": "ImageBlend", "inputs": inputs}
    workflow["9"]["inputs"]["images"] = ["5", 0]
    value = (await output(client, await client.run(workflow))).getpixel((0, 0))[0]
    assert abs(value - expected) <= 1


async def test_load_image_gives_the_transparency_as_mask(client):
    workflow = await load(client, Image.new("RGBA", (6, 6), (1, 2, 3, 0)))
    workflow["8"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}
    history = await client.run(workflow)
    assert (await output(client, history)).getpixel((0, 0)) == (1, 2, 3)
    assert "mode=L size=6x6" in history["outputs"]["8"]["text"][0]


async def test_load_image_gives_every_frame_of_an_animation(client):
    frames = [Image.new("RGB", (6, 6), color) for color in ("red", "lime", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    await client.http.post("/upload/image", files={"image": ("in.gif", buffer.getvalue())})
    workflow = await load(client, frames[0])
    workflow["1"]["inputs"]["image"] = "in.gif"
    history = await client.run(workflow)
    colors = [(await output(client, history, index=each)).getpixel((0, 0)) for each in range(3)]
    assert colors == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


async def test_preview_image_writes_to_temp(client, picture_workflow):
    workflow = picture_workflow()
    workflow["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    (entry,) = (await client.run(workflow))["outputs"]["9"]["images"]
    assert entry["type"] == "temp"
    assert entry["filename"].startswith("ComfyUI_temp_")
    assert entry["filename"].endswith("_00001_.png")
    assert len(entry["filename"]) == len("ComfyUI_temp_xxxxx_00001_.png")


async def test_preview_any_shows_text_without_a_file(client):
    workflow = {"9": {"class_type": "PreviewAny", "inputs": {"source": "hello"}}}
    history = await client.run(workflow)
    assert history["outputs"] == {"9": {"text": ["hello"]}}
    (job,) = (await client.http.get("/api/jobs")).json()["jobs"]
    assert job["outputs_count"] == 0
    assert job["preview_output"] == {"content": "hello", "nodeId": "9", "mediaType": "text"}


async def test_animated_webp_has_every_frame(client, picture_workflow):
    workflow = picture_workflow()
    workflow["1"]["inputs"]["batch_size"] = 2
    workflow["2"] = {"class_type": "EmptyImage", "inputs": {**workflow["1"]["inputs"], "color": 9}}
    inputs = {"image1": ["1", 0], "image2": ["2", 0], "blend_factor": 0.5, "blend_mode": "normal"}
    workflow["3"] = {"class_type": "ImageBlend", "inputs": inputs}
    workflow["9"] = {
        "class_type": "SaveAnimatedWEBP",
        "inputs": {
            "images": ["3", 0],
            "filename_prefix": "anim/a",
            "fps": 5.0,
            "lossless": True,
            "quality": 80,
            "method": "fastest",
        },
    }
    history = await client.run(workflow)
    assert history["outputs"]["9"] == {
        "images": [{"filename": "a_00001_.webp", "subfolder": "anim", "type": "output"}],
        "animated": [True],
    }
    assert (await output(client, history)).format == "WEBP"


async def test_equal_seeds_draw_equal_noise_and_other_seeds_other_noise(
    make_client, tmp_path, sampler_workflow
):
    async with make_client(tmp_path, cache="none") as client:
        pictures = []
        for seed in (1, 1, 2):
            history = await client.run(sampler_workflow(seed=seed, steps=1))
            pictures.append((await output(client, history)).tobytes())
    assert pictures[0] == pictures[1] != pictures[2]


async def test_pictures_carry_the_prompt_unless_told_not_to(
    make_client, tmp_path, picture_workflow
):
    for metadata, expected in ((True, ["prompt"]), (False, [])):
        async with make_client(tmp_path / str(metadata), metadata=metadata) as client:
            picture = await output(client, await client.run(picture_workflow()))
            assert list(picture.info) == expected


@pytest.mark.parametrize("prefix", ["../x", "/tmp/x", "a/../../x"])
async def test_a_prefix_outside_the_folder_fails_when_it_runs(client, picture_workflow, prefix):
    history = await client.run(picture_workflow(prefix=prefix))
    event, error = history["status"]["messages"][-1]
    assert event == "execution_error"
    assert error["node_id"] == "9"
    assert "Saving image outside the output folder is not allowed" in error["exception_message"]


async def test_a_prefix_expands_what_it_names(client, picture_workflow):
    history = await client.run(picture_workflow(prefix="%year%/p_%width%x%height%_%batch_num%"))
    (entry,) = history["outputs"]["9"]["images"]
    assert entry["filename"] == "p_16x16_0_00001_.png"
    assert entry["subfolder"].isdigit()


async def test_a_failing_node_names_a_server_path_and_spares_the_next_prompt(
    client, picture_workflow
):
    fail = ("SimulatorFail", {"message": "it broke"})
    history = await client.run(picture_workflow(fail))
    error = history["status"]["messages"][-1][1]
    path = client.running.base_directory / "models" / "rehearsal.safetensors"
    assert error["exception_message"] == f"it broke: '{path}'\n"
    assert error["node_type"] == "SimulatorFail"
    assert error["executed"] == ["1"]
    assert error["current_inputs"]["message"] == ["it broke"]
    assert any("/comfy/" in frame for frame in error["traceback"])
    assert (await client.run(picture_workflow()))["status"]["status_str"] == "success"


@pytest.mark.parametrize(("extension", "magic"), [("png", b"\x89PNG"), ("mp4", b"ftyp")])
async def test_a_large_file_has_exactly_its_size(client, extension, magic):
    inputs = {"bytes": 3_000_001, "seed": 5, "extension": extension, "filename_prefix": "big/b"}
    history = await client.run({"9": {"class_type": "SimulatorLargeFile", "inputs": inputs}})
    (entry,) = history["outputs"]["9"]["images"]
    assert entry["filename"] == f"b_00001_.{extension}"
    content = (await client.http.get("/view", params=entry)).content
    assert len(content) == 3_000_001
    assert magic in content[:12]


async def test_object_info_is_the_recorded_one_with_the_local_files(client, recording):
    recorded = recording("object_info_trimmed.json")
    await client.http.post("/upload/image", files={"image": ("mine.png", b"x")})
    await client.http.post("/upload/image", files={"image": ("notes.txt", b"x")})
    offered = (await client.http.get("/object_info")).json()
    for name in set(offered) & set(recorded) - {"LoadImage"}:
        assert offered[name] == recorded[name]
    (one,) = (await client.http.get("/api/object_info/LoadImage")).json().values()
    assert one["input"]["required"]["image"] == [["mine.png"], {"image_upload": True}]
    assert (await client.http.get("/object_info/Nope")).json() == {}


async def test_every_offered_node_can_run(client):
    from genjobs.simulator.nodes import NODES

    assert set((await client.http.get("/object_info")).json()) == set(NODES)


async def test_features_and_stats_have_the_recorded_members(client, recording):
    assert (await client.http.get("/features")).json() == recording("features.json")
    stats, recorded = (
        (await client.http.get("/system_stats")).json(),
        recording("system_stats.json"),
    )
    assert stats["system"]["comfyui_version"] == recorded["system"]["comfyui_version"]
    assert set(stats["devices"][0]) == set(recorded["devices"][0])
    assert set(stats["system"]) <= set(recorded["system"])


async def test_unknown_paths_and_methods_are_refused_as_text(client):
    answer = await client.http.get("/nope")
    assert (answer.status_code, answer.text) == (404, "404: Not Found")
    answer = await client.http.post("/queue/cancel")
    assert answer.status_code in (404, 405)
    answer = await client.http.put("/prompt")
    assert (answer.status_code, answer.text) == (405, "405: Method Not Allowed")
