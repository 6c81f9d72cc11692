"""What a whole graph may ask for: all that its nodes make, all that its samplers work through."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from genjobs.domain import limits
from genjobs.domain.errors import WorkflowLimit
from genjobs.domain.workflow import Workflow
from genjobs.domain.workflow_costs import Costs
from genjobs.domain.workflow_totals import Totals
from tests.unit.domain.graphs import parsed, refusal
from tests.unit.domain.test_real_workflows import ACCEPTED, GRAPHS

Graph = dict[str, Any]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def empty(width: int = 1024, height: int = 1024, batch: int = 1) -> dict[str, Any]:
    return node("EmptyLatentImage", width=width, height=height, batch_size=batch)


def sampler(latent: str, steps: object = 20, slot: int = 0, **inputs: Any) -> dict[str, Any]:
    return node("KSampler", steps=steps, latent_image=[latent, slot], **inputs)


def saved(images: str) -> dict[str, Any]:
    return node("SaveImage", images=[images, 0], filename_prefix="x")


def totals(workflow: Workflow) -> Totals:
    known = {one.id: workflow.catalogue.classes[one.class_type] for one in workflow.nodes.values()}
    return Costs(workflow.nodes, known).check()


def hires_fix(*, by: float = 2.0) -> Graph:
    return {
        "e": empty(),
        "a": sampler("e", 30),
        "d": node("VAEDecode", samples=["a", 0]),
        "u": node("ImageUpscaleWithModel", image=["d", 0]),
        "r": node("ImageScaleBy", image=["u", 0], scale_by=by / 4),
        "v": node("VAEEncode", pixels=["r", 0]),
        "b": sampler("v", 20),
        "f": node("VAEDecode", samples=["b", 0]),
        "s": saved("f"),
    }


def wan(width: int = 1280, height: int = 720, length: int = 81, steps: int = 20) -> Graph:
    size = {"width": width, "height": height, "length": length, "batch_size": 1}
    return {
        "l": node("LoadImage", image="a.png"),
        "w": node("WanImageToVideo", start_image=["l", 0], **size),
        "a": sampler("w", steps, slot=2, positive=["w", 0], negative=["w", 1]),
        "b": sampler("a", steps),
        "d": node("VAEDecode", samples=["b", 0]),
        "i": node("FrameInterpolate", images=["d", 0], multiplier=2),
        "c": node("CreateVideo", images=["i", 0], fps=32),
        "s": node("SaveVideo", video=["c", 0], filename_prefix="x"),
    }


def wan_upscaled() -> Graph:
    graph = wan()
    graph["u"] = node("ImageUpscaleWithModel", image=["i", 0])
    graph["r"] = node("ImageScaleBy", image=["u", 0], scale_by=0.5)
    graph["c"] = node("CreateVideo", images=["r", 0], fps=32)
    return graph


def film(*, upscaled: bool, **inputs: Any) -> Graph:
    own = {"custom_width": 0, "custom_height": 0, "frame_load_cap": 0, **inputs}
    graph = {"l": node("VHS_LoadVideo", video="a.mp4", force_rate=0, **own)}
    if upscaled:
        graph["u"] = node("ImageUpscaleWithModel", image=["l", 0])
        graph["d"] = node("ImageScaleBy", image=["u", 0], scale_by=0.5)
    else:
        graph["v"] = node("VAEEncode", pixels=["l", 0])
        graph["k"] = sampler("v", 25)
        graph["d"] = node("VAEDecode", samples=["k", 0])
    graph["s"] = node("VHS_VideoCombine", images=["d", 0], frame_rate=24, filename_prefix="x")
    return graph


def upscaled(times: int = 1) -> Graph:
    graph = {"p0": node("LoadImage", image="a.png")}
    for n in range(times):
        graph[f"p{n + 1}"] = node("ImageUpscaleWithModel", image=[f"p{n}", 0])
    return {**graph, "s": saved(f"p{times}")}


def song(seconds: int = 240, steps: int = 60) -> Graph:
    return {
        "e": node("EmptyAceStepLatentAudio", seconds=seconds, batch_size=1),
        "k": sampler("e", steps),
        "d": node("VAEDecodeAudio", samples=["k", 0]),
        "s": node("SaveAudioMP3", audio=["d", 0], filename_prefix="x"),
    }


def regions(count: int = 6) -> Graph:
    graph: Graph = {"c0": node("CLIPTextEncode", text="a")}
    for n in range(1, count):
        graph[f"t{n}"] = node("CLIPTextEncode", text="b")
        graph[f"c{n}"] = node(
            "ConditioningCombine", conditioning_1=[f"c{n - 1}", 0], conditioning_2=[f"t{n}", 0]
        )
    graph |= {"e": empty(1536, 1024, 4), "k": sampler("e", 40, positive=[f"c{count - 1}", 0])}
    return {**graph, "d": node("VAEDecode", samples=["k", 0]), "s": saved("d")}


USUAL: Mapping[str, Graph] = {
    "hires fix x2": hires_fix(),
    "hires fix x4": hires_fix(by=4),
    "Wan, 720p, 81 frames, 40 steps": wan(),
    "Wan, 720p, 241 frames, 50 steps": wan(length=241, steps=25),
    "Wan, 720p, interpolated, x4, halved": wan_upscaled(),
    "Wan, 480p, 81 frames": wan(832, 480),
    "song of 4 minutes": song(),
    "two songs of the request, joined": {
        "l": node("LoadAudio", audio="a.mp3"),
        "c": node("AudioConcat", audio1=["l", 0], audio2=["l", 0]),
        "v": node("VAEEncodeAudio", audio=["c", 0]),
        "k": sampler("v", 60),
        "d": node("VAEDecodeAudio", samples=["k", 0]),
        "s": node("SaveAudioMP3", audio=["d", 0], filename_prefix="x"),
    },
    "a film with sound": {
        "l": node("LoadVideo", file="a.mp4"),
        "a": node("LoadAudio", audio="a.mp3"),
        "g": node("GetVideoComponents", video=["l", 0]),
        "c": node("CreateVideo", images=["g", 0], fps=24, audio=["a", 0]),
        "s": node("SaveVideo", video=["c", 0], filename_prefix="x"),
    },
    "joined prompts": {
        "a": node("PrimitiveStringMultiline", value="x" * 2000),
        "b": node("StringConcatenate", string_a=["a", 0], string_b="y" * 3000, delimiter=", "),
        "t": node("CLIPTextEncode", text=["b", 0]),
        "e": empty(),
        "k": sampler("e", positive=["t", 0]),
        "d": node("VAEDecode", samples=["k", 0]),
        "s": saved("d"),
    },
    "picture x4": upscaled(),
    "picture x16": upscaled(2),
    "film as it is, sampled": film(upscaled=False),
    "film of 512 x 512 without a cap, sampled": film(
        upscaled=False, custom_width=512, custom_height=512
    ),
    "film as it is, x4, halved": film(upscaled=True),
    "64 pictures of 1024 x 1024": {
        "e": empty(batch=64),
        "k": sampler("e", 40),
        "d": node("VAEDecode", samples=["k", 0]),
        "s": saved("d"),
    },
    "six regions, four pictures": regions(),
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_graph_is_far_from_the_bounds(name: str) -> None:
    found = totals(parsed(USUAL[name]))
    assert found.made < limits.MAX_MADE_PIXELS * 2 / 3
    assert found.sampled < limits.MAX_SAMPLED_PIXELS / 2


@pytest.mark.parametrize("name", ACCEPTED)
def test_real_graph_asks_for_a_tenth_at_most(name: str) -> None:
    found = totals(parsed(GRAPHS[name]))
    assert found.made < limits.MAX_MADE_PIXELS / 10
    assert found.sampled < limits.MAX_SAMPLED_PIXELS / 10


def many_pictures(count: int = 400) -> Graph:
    large = {"width": 8192, "height": 8192, "batch_size": 1, "color": 0}
    return {f"e{n}": node("EmptyImage", **large) for n in range(count)} | {
        f"s{n}": saved(f"e{n}") for n in range(count)
    }


def row_of_samplers(count: int = 899, size: int = 512, steps: object = 200) -> Graph:
    graph: Graph = {"k0": empty(size, size)}
    for n in range(count):
        graph[f"k{n + 1}"] = sampler(f"k{n}", steps)
    return graph | {"d": node("VAEDecode", samples=[f"k{count}", 0]), "s": saved("d")}


def enlarged_twice() -> Graph:
    large = {"width": 8192, "height": 8192, "batch_size": 1, "color": 0}
    return {
        "e": node("EmptyImage", **large),
        "a": node("ImageScaleBy", image=["e", 0], scale_by=8),
        "b": node("ImageScaleBy", image=["a", 0], scale_by=8),
        "s": saved("b"),
    }


def behind(source: Graph, samplers: int, steps: int = 200) -> Graph:
    """Return a graph of samplers side by side behind the node ``x`` of ``source``."""
    graph = {**source, **{f"k{n}": sampler("x", steps) for n in range(samplers)}}
    return graph | {"d": node("VAEDecode", samples=["k0", 0]), "s": saved("d")}


def side_by_side(class_type: str, count: int, **inputs: Any) -> Graph:
    return {f"n{n}": node(class_type, **inputs) for n in range(count)} | {
        f"s{n}": node("PreviewAny", source=[f"n{n}", 0]) for n in range(count)
    }


def doubled(count: int, class_type: str, first: dict[str, Any], one: str, two: str) -> Graph:
    graph: Graph = {"n0": first}
    for n in range(count):
        both = [f"n{n}", 0]
        graph[f"n{n + 1}"] = node(class_type, **{one: both, two: both})
    return graph | {"s": node("PreviewAny", source=[f"n{count}", 0])}


SMALL = {"e": empty(64, 64)}
TOO_MUCH: Mapping[str, tuple[Graph, str]] = {
    "400 large pictures": (many_pictures(), "pixels (of all frames of all nodes)"),
    "899 samplers": (row_of_samplers(), "steps x pixels x frames"),
    "899 samplers on small pictures": (row_of_samplers(size=16), "steps x pixels x frames"),
    "steps from a number elsewhere": (
        row_of_samplers(steps=["n", 0]) | {"n": node("PrimitiveInt", value=200)},
        "steps x pixels x frames",
    ),
    "large, enlarged twice": (enlarged_twice(), "would make more than 3,221,225,472 pixels"),
    "samplers behind an enlargement": (
        behind({"e": empty(), "x": node("LatentUpscaleBy", samples=["e", 0], scale_by=8)}, 3),
        "steps x pixels x frames",
    ),
    "samplers behind a set size": (
        behind({**SMALL, "x": node("LatentUpscale", samples=["e", 0], width=8192, height=8192)}, 3),
        "steps x pixels x frames",
    ),
    "samplers behind a repetition": (
        behind({"e": empty(), "x": node("RepeatLatentBatch", samples=["e", 0], amount=64)}, 3),
        "steps x pixels x frames",
    ),
    "size set again after a repetition": (
        {
            "e": node("EmptyImage", width=8, height=8, batch_size=64, color=0),
            "r": node("RepeatImageBatch", image=["e", 0], amount=64),
            "b": node("ImageScale", image=["r", 0], width=1024, height=1024),
            "s": saved("b"),
        },
        "would make more than",
    ),
    "megapixels": (
        behind(
            {
                "e": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
                "m": node("ImageScaleToTotalPixels", image=["e", 0], megapixels=16),
                "x": node("VAEEncode", pixels=["m", 0]),
            },
            12,
        ),
        "steps x pixels x frames",
    ),
    "longest side": (
        behind(
            {
                "e": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
                "m": node("ImageScaleToMaxDimension", image=["e", 0], largest_size=8192),
                "x": node("VAEEncode", pixels=["m", 0]),
            },
            3,
        ),
        "steps x pixels x frames",
    ),
    "padding": (
        behind(
            {
                "e": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
                "m": node(
                    "ImagePadForOutpaint",
                    image=["e", 0],
                    **dict.fromkeys(("left", "top", "right", "bottom"), 4096),
                    feathering=0,
                ),
                "x": node("VAEEncode", pixels=["m", 0]),
            },
            3,
        ),
        "steps x pixels x frames",
    ),
    "size measured on an enlarged picture": (
        behind(
            {
                "e": node("EmptyImage", width=1024, height=1024, batch_size=1, color=0),
                "u": node("ImageScaleBy", image=["e", 0], scale_by=8),
                "m": node("GetImageSize", image=["u", 0]),
                "x": node("EmptyLatentImage", width=["m", 0], height=["m", 1], batch_size=1),
            },
            3,
        ),
        "steps x pixels x frames",
    ),
    "pictures that hang on a conditioning": (
        behind(
            {
                "x": empty(64, 64),
                "e": empty(8192, 8192),
                "c": node("CLIPTextEncode", text="a"),
                "p": node("ReferenceLatent", conditioning=["c", 0], latent=["e", 0]),
            },
            0,
        )
        | {f"k{n}": sampler("x", 200, positive=["p", 0]) for n in range(3)},
        "steps x pixels x frames",
    ),
    "400 long sounds": (
        side_by_side("EmptyAudio", 400, duration=600, sample_rate=48_000, channels=2),
        "pixels (of all frames of all nodes)",
    ),
    "songs that are decoded again and again": (
        song(600) | {f"n{n}": node("VAEDecodeAudio", samples=["k", 0]) for n in range(200)},
        "pixels (of all frames of all nodes)",
    ),
    "a sound of the request, doubled": (
        doubled(8, "AudioConcat", node("LoadAudio", audio="a.mp3"), "audio1", "audio2"),
        "would make more than",
    ),
    "a text, doubled": (
        doubled(
            5,
            "StringConcatenate",
            node("PrimitiveString", value="x" * 9000),
            "string_a",
            "string_b",
        ),
        "would make a text of more than 100,000 characters",
    ),
    "a schedule of its own": (
        {
            "e": empty(8192, 8192),
            "y": node("BasicScheduler", steps=200),
            "z": node("SplitSigmas", sigmas=["y", 0], step=100),
        }
        | {
            f"k{n}": node("SamplerCustomAdvanced", sigmas=["z", 0], latent_image=["e", 0])
            for n in range(3)
        }
        | {"d": node("VAEDecode", samples=["k0", 0]), "s": saved("d")},
        "steps x pixels x frames",
    ),
    "a schedule that is drawn out": (
        {
            "e": empty(2048, 2048),
            "y": node("BasicScheduler", steps=200),
            "z": node("ExtendIntermediateSigmas", sigmas=["y", 0], steps=100),
            "k0": node("SamplerCustomAdvanced", sigmas=["z", 0], latent_image=["e", 0]),
            "d": node("VAEDecode", samples=["k0", 0]),
            "s": saved("d"),
        },
        "steps x pixels x frames",
    ),
    "once for each member of a list": (
        {
            "p": node("EmptyImage", width=8, height=8, batch_size=64, color=0),
            "r": node("RepeatImageBatch", image=["p", 0], amount=64),
            "b": node("RebatchImages", images=["r", 0], batch_size=1),
            "c": node("CLIPTextEncode", text="a"),
            "n": node("ControlNetApply", conditioning=["c", 0], image=["b", 0]),
            "e": empty(512, 512),
            "k": sampler("e", 200, positive=["n", 0]),
            "d": node("VAEDecode", samples=["k", 0]),
            "s": saved("d"),
        },
        "steps x pixels x frames",
    ),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_whole_graph_that_asks_for_too_much_is_refused(name: str) -> None:
    graph, why = TOO_MUCH[name]
    error = refusal(graph)

    assert type(error) is WorkflowLimit
    assert why in error.message
    assert error.node_id in graph
    assert error.pointer == f"/workflow/{error.node_id}"
    assert error.message.startswith(f"Node {error.node_id} ({error.node_class}) ")


def test_conditionings_that_are_combined_are_sampled_each() -> None:
    def combined(times: int) -> Graph:
        graph: Graph = {"c0": node("CLIPTextEncode", text="a")}
        for n in range(times):
            both = [f"c{n}", 0]
            graph[f"c{n + 1}"] = node(
                "ConditioningCombine", conditioning_1=both, conditioning_2=both
            )
        graph |= {"e": empty(), "k": sampler("e", 20, positive=[f"c{times}", 0])}
        return graph | {"d": node("VAEDecode", samples=["k", 0]), "s": saved("d")}

    assert totals(parsed(combined(3))).sampled == 8 * 20 * 1024**2
    assert type(refusal(combined(12))) is WorkflowLimit


def test_downscaling_counts_and_diamonds_do_not_double() -> None:
    graph: Graph = {
        "e": node("EmptyImage", width=4096, height=4096, batch_size=1, color=0),
        "m": node("ImageScale", image=["e", 0], width=512, height=512),
        "c0": node("CLIPTextEncode", text="a"),
        "x": empty(512, 512),
    }
    for n in range(10):
        graph[f"c{n + 1}"] = node(
            "ControlNetApplyAdvanced",
            positive=[f"c{n}", 0],
            negative=[f"c{n}", 1 if n else 0],
            image=["m", 0],
        )
    graph |= {"k": sampler("x", 10, positive=["c10", 0], negative=["c10", 1])}
    graph |= {"d": node("VAEDecode", samples=["k", 0]), "s": saved("d")}
    assert totals(parsed(graph)).sampled == 10 * 11 * 512**2


def test_list_costs_no_more_than_its_members() -> None:
    graph = {
        "e": empty(512, 512, 64),
        "r": node("RebatchLatents", latents=["e", 0], batch_size=1),
        "k": sampler("r", 20),
        "d": node("VAEDecode", samples=["k", 0]),
        "s": saved("d"),
    }
    assert totals(parsed(graph)).sampled == 64 * 20 * 512**2


def test_largest_graph_is_judged_at_once() -> None:
    graph: Graph = {"p0": node("EmptyImage", width=8, height=8, batch_size=1, color=0)}
    for n in range(990):
        graph[f"p{n + 1}"] = node("ImageBlend", image1=[f"p{n}", 0], image2=[f"p{n // 2}", 0])
    workflow = parsed(graph | {"s": saved("p990")})

    started = time.perf_counter()
    totals(workflow)
    assert time.perf_counter() - started < 0.5
