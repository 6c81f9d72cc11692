"""What a graph may ask for: sizes, frames, steps, and how often it multiplies them."""

from __future__ import annotations

from typing import Any

import pytest

from genjobs.domain.errors import InputNotAllowed, WorkflowLimit
from genjobs.testing import a_workflow
from tests.unit.domain.graphs import LINK, parsed, refusal, using


@pytest.mark.parametrize(
    ("class_type", "inputs"),
    [
        ("EmptyLatentImage", {"width": 8192, "height": 8192, "batch_size": 2}),
        ("EmptyLatentImage", {"width": "8192", "height": 8192.0, "batch_size": "64"}),
        ("EmptyImage", {"width": 4096, "height": 4096, "batch_size": 64}),
        ("EmptySD3LatentImage", {"width": 2048, "height": 2048, "batch_size": 64}),
        ("ImageScale", {"width": 8193, "height": 64}),
        ("WanImageToVideo", {"width": 1280, "height": 720, "length": 321, "batch_size": 1}),
        ("EmptyHunyuanLatentVideo", {"width": 848, "height": 480, "length": 81, "batch_size": 9}),
        ("KSampler", {"steps": 201}),
        ("KSamplerAdvanced", {"steps": 10_000}),
        ("BasicScheduler", {"steps": 1_000}),
        ("Flux2Scheduler", {"steps": 4096}),
        ("RepeatImageBatch", {"amount": 4096}),
        ("ImageScaleBy", {"scale_by": 8.5}),
        ("EmptyAceStepLatentAudio", {"seconds": 601, "batch_size": 1}),
        ("EmptyAceStepLatentAudio", {"seconds": 600, "batch_size": 8}),
        ("VHS_LoadVideo", {"frame_load_cap": 5000}),
        ("VHS_LoadVideo", {"custom_width": 4096, "custom_height": 4096, "frame_load_cap": 0}),
        ("VHS_LoadVideo", {"custom_width": 8192, "custom_height": 0, "frame_load_cap": 1025}),
        ("EmptyLatentImage", {"width": -8192, "height": 512, "batch_size": 1}),
        ("EmptyLatentImage", {"width": 512, "height": 0, "batch_size": 1}),
        ("EmptyLatentImage", {"width": 512, "height": 512, "batch_size": 0}),
        ("KSampler", {"steps": -1}),
        ("ImageScaleBy", {"scale_by": -2.0}),
        ("EmptyQwenImageLayeredLatentImage", {"width": 2048, "height": 2048, "layers": 99}),
        ("VHS_VideoCombine", {"loop_count": 100}),
        ("GrowMask", {"expand": 16384}),
    ],
)
def test_too_much_is_refused(class_type: str, inputs: dict[str, Any]) -> None:
    error = refusal(using(class_type, **inputs))
    assert type(error) is WorkflowLimit
    assert error.node_id == "x"
    assert class_type in error.message


@pytest.mark.parametrize(
    ("class_type", "inputs"),
    [
        ("EmptyLatentImage", {"width": 8192, "height": 8192, "batch_size": 1}),
        ("EmptyLatentImage", {"width": 1024, "height": 1024, "batch_size": 64}),
        ("WanImageToVideo", {"width": 1280, "height": 720, "length": 241, "batch_size": 1}),
        ("EmptyHunyuanLatentVideo", {"width": 848, "height": 480, "length": 129, "batch_size": 1}),
        ("KSampler", {"steps": 200}),
        ("EmptyAceStepLatentAudio", {"seconds": 300, "batch_size": 4}),
        ("VHS_LoadVideo", {"custom_width": 0, "custom_height": 0, "frame_load_cap": 0}),
        ("VHS_LoadVideo", {"custom_width": 1920, "custom_height": 0, "frame_load_cap": 0}),
        ("VHS_LoadVideo", {"custom_width": 1920, "custom_height": 1080, "frame_load_cap": 0}),
        ("ImageScale", {"width": 1280, "height": 0}),
        ("EmptyLatentImage", {"width": 512.0, "height": "512", "batch_size": 2.0}),
    ],
)
def test_what_people_do_is_fine(class_type: str, inputs: dict[str, Any]) -> None:
    parsed(using(class_type, **inputs))


@pytest.mark.parametrize(
    ("class_type", "name", "value"),
    [
        ("EmptyLatentImage", "batch_size", 1.5),
        ("EmptyLatentImage", "batch_size", "1.5"),
        ("KSampler", "steps", 19.999),
        ("KSampler", "steps", "many"),
        ("KSampler", "seed", 0.5),
    ],
)
def test_whole_number_is_whole(class_type: str, name: str, value: object) -> None:
    error = refusal(using(class_type, **{name: value}))
    assert (type(error), error.pointer) == (InputNotAllowed, f"/workflow/x/inputs/{name}")
    assert "whole number" in error.message


def test_whole_number_reaches_comfyui_as_one() -> None:
    workflow = parsed(using("KSampler", steps=20.0, cfg=7.5, seed=1e15))
    assert repr(workflow.nodes["x"].inputs) == repr(
        {"steps": 20, "cfg": 7.5, "seed": 1_000_000_000_000_000}
    )


def test_limits_are_told_in_plain_numbers() -> None:
    size = {"width": 8192, "height": 8192, "batch_size": 2}
    assert refusal(using("EmptyLatentImage", **size)).message == (
        "Node x (EmptyLatentImage) asks for width x height x batch_size of more than 67,108,864."
    )
    assert refusal(using("ImageScale", width=8193)).message == (
        "Input width of node x (ImageScale) must be at most 8,192."
    )
    assert refusal(using("ImageScaleBy", scale_by=0.001)).message == (
        "Input scale_by of node x (ImageScaleBy) must be at least 0.01."
    )


def test_measured_count_of_pictures_is_no_side() -> None:
    graph = using("EmptyLatentImage", width=512, height=512, batch_size=["n", 2])
    graph["n"] = {"class_type": "GetImageSize", "inputs": {"image": LINK}}
    parsed(graph)


SIZE = {"width": 512, "height": 512, "length": 81, "batch_size": 1}


def sized_by(source: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    graph = using("WanImageToVideo", **{**SIZE, "width": ["n", 0], **inputs})
    graph["n"] = source
    return graph


def test_size_may_come_from_a_node_that_holds_or_measures_a_number() -> None:
    parsed(sized_by({"class_type": "PrimitiveInt", "inputs": {"value": 1280}}))
    measured = {"class_type": "GetImageSize", "inputs": {"image": LINK}}
    parsed(sized_by(measured, height=["n", 1]))
    parsed(sized_by({"class_type": "ResolutionSelector", "inputs": {"megapixels": 1.0}}))
    switch = {"switch": True, "on_true": ["p", 0], "on_false": 832}
    graph = sized_by({"class_type": "ComfySwitchNode", "inputs": switch})
    graph["p"] = {"class_type": "PrimitiveInt", "inputs": {"value": 1280}}
    parsed(graph)


def test_number_that_comes_from_elsewhere_meets_the_same_limit() -> None:
    error = refusal(sized_by({"class_type": "PrimitiveInt", "inputs": {"value": 16_384}}))
    assert type(error) is WorkflowLimit
    assert error.pointer == "/workflow/x/inputs/width"

    graph = sized_by({"class_type": "PrimitiveInt", "inputs": {"value": 4096}}, height=["n", 0])
    error = refusal(graph)
    assert (type(error), error.pointer) == (WorkflowLimit, "/workflow/x")

    switch = {"switch": True, "on_true": ["p", 0], "on_false": 832}
    graph = sized_by({"class_type": "ComfySwitchNode", "inputs": switch})
    graph["p"] = {"class_type": "PrimitiveFloat", "inputs": {"value": 99_999.0}}
    assert type(refusal(graph)) is WorkflowLimit


@pytest.mark.parametrize(
    "source",
    [
        {"class_type": "StringLength", "inputs": {"string": "x"}},
        {"class_type": "ComfySwitchNode", "inputs": {"on_true": "ten", "on_false": 5}},
        {"class_type": "WanVaceToVideo", "inputs": {}},
    ],
)
def test_size_may_not_come_from_a_node_that_may_make_any_number(source: dict[str, Any]) -> None:
    error = refusal(sized_by(source))
    assert (type(error), error.pointer) == (InputNotAllowed, "/workflow/x/inputs/width")


def test_number_without_a_limit_may_come_from_anywhere() -> None:
    graph = using("TrimVideoLatent", trim_amount=["n", 3])
    graph["n"] = {"class_type": "WanVaceToVideo", "inputs": {}}
    parsed(graph)


def test_switches_in_a_long_row_are_judged_at_once() -> None:
    graph = sized_by({"class_type": "ComfySwitchNode", "inputs": {}}, width=["s499", 0])
    graph["s0"] = {"class_type": "PrimitiveInt", "inputs": {"value": 640}}
    for n in range(1, 500):
        before = [f"s{n - 1}", 0]
        graph[f"s{n}"] = {
            "class_type": "ComfySwitchNode",
            "inputs": {"switch": True, "on_true": before, "on_false": before},
        }
    parsed(graph)
    graph["s0"]["inputs"]["value"] = 10_000
    assert type(refusal(graph)) is WorkflowLimit


def chain(count: int, class_type: str, inputs: dict[str, Any], *links: str) -> dict[str, Any]:
    graph = a_workflow()
    last = ["1", 0]
    for n in range(count):
        linked = dict.fromkeys(links, last)
        graph[f"n{n}"] = {"class_type": class_type, "inputs": {**inputs, **linked}}
        last = [f"n{n}", 0]
    graph["9"]["inputs"]["images"] = last
    return graph


@pytest.mark.parametrize(
    ("fine", "class_type", "inputs", "links"),
    [
        (3, "ImageScaleBy", {"scale_by": 4.0}, ["image"]),
        (3, "ImageUpscaleWithModel", {}, ["image"]),
        (1, "RepeatImageBatch", {"amount": 256}, ["image"]),
        (12, "ImageBatch", {}, ["image1", "image2"]),
        (3, "BatchImagesNode", {}, [f"images.image{n}" for n in range(10)]),
        (12, "StringConcatenate", {}, ["string_a", "string_b"]),
        (12, "ConditioningCombine", {}, ["conditioning_1", "conditioning_2"]),
        (12, "ConditioningConcat", {}, ["conditioning_to", "conditioning_from"]),
        (12, "ModelMergeSimple", {"ratio": 0.5}, ["model1", "model2"]),
        (1, "ExtendIntermediateSigmas", {"steps": 100}, ["sigmas"]),
        (900, "ImageInvert", {}, ["image"]),
        (900, "ImageBlend", {}, ["image1", "image2"]),
        (50, "ImageScaleBy", {"scale_by": 0.5}, ["image"]),
    ],
)
def test_graph_may_multiply_what_it_starts_from_only_so_often(
    fine: int, class_type: str, inputs: dict[str, Any], links: list[str]
) -> None:
    parsed(chain(fine, class_type, inputs, *links))
    if fine < 50:
        error = refusal(chain(fine + 1, class_type, inputs, *links))
        assert (type(error), error.node_class) == (WorkflowLimit, class_type)
