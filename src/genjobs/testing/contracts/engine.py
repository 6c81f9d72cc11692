"""The contract of ``WorkflowEngine``; core nodes only, so it holds for a real ComfyUI too."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from genjobs.domain.errors import NodeError, NoOutput, RenderInterrupted, WorkflowRefused
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import WorkflowEngine
from genjobs.testing.contracts.engine_basics import (
    PATIENCE,
    EngineBasicsContract,
    Render,
    assert_public,
    picture_chunks,
)
from genjobs.testing.factories import a_workflow, png_bytes

_MODEL = "tiny_sd15.safetensors"


def sampling(steps: int, *, seed: int | None = None, rounds: int = 1) -> dict[str, Any]:
    """
    Return a workflow that samples; with a fresh seed nothing of the sampler is cached.

    With ``rounds`` it samples what it sampled again and again: more than one node may.
    """
    text = {"clip": ["4", 1]}
    size = {"width": 64, "height": 64, "batch_size": 1}
    sampler = {
        "seed": uuid.uuid4().int % 2**32 if seed is None else seed,
        "steps": steps,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["7", 0],
        "latent_image": ["5", 0],
    }
    graph: dict[str, Any] = {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": _MODEL}},
        "5": {"class_type": "EmptyLatentImage", "inputs": size},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", **text}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", **text}},
        "3": {"class_type": "KSampler", "inputs": sampler},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "k"}},
    }
    for n in range(1, rounds):
        graph[f"3_{n}"] = {"class_type": "KSampler", "inputs": dict(sampler)}
        sampler["latent_image"] = [f"3_{n}", 0]
    return graph


def loading(name: str = "photo.png") -> dict[str, Any]:
    """Return a workflow that inverts an input picture."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "p"}},
    }


class EngineContract(EngineBasicsContract):
    """Needs the fixture ``engine``; its models include ``tiny_sd15.safetensors``."""

    async def test_progress_ends_full_and_never_goes_back(self, render: Render) -> None:
        await render.run(sampling(6))

        fractions = [progress.fraction for progress in render.progress]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        steps = {progress.step for progress in render.progress if progress.node_id == "3"}
        assert {1, 6} & steps
        assert {progress.steps for progress in render.progress if progress.step} == {6}
        assert {progress.nodes_total for progress in render.progress} == {7}

    async def test_input_picture_is_loaded(self, render: Render) -> None:
        picture = png_bytes(40, 30, rgb=(10, 200, 30))
        name = await render.engine.stage(render.id, "input_0.png", picture_chunks(picture))
        rendered = await render.run(loading(), {"photo.png": name})

        content = await render.content(rendered.outputs[0])
        assert content[16:24] == (40).to_bytes(4, "big") + (30).to_bytes(4, "big")

    async def test_failing_node_is_named_without_a_path(self, render: Render) -> None:
        broken = b"\x89PNG\r\n\x1a\n" + b"not a picture" * 50
        name = await render.engine.stage(render.id, "input_0.png", picture_chunks(broken))

        with pytest.raises((NodeError, WorkflowRefused)) as failed:
            await render.run(loading(), {"photo.png": name})
        assert (failed.value.node_id, failed.value.node_class) == ("1", "LoadImage")
        assert_public(failed.value.message)

    async def test_unknown_class_is_refused(self, render: Render) -> None:
        graph = {"1": {"class_type": "NoSuchNode", "inputs": {}}}
        with pytest.raises(WorkflowRefused) as refused:
            await render.run(graph)
        assert refused.value.node_class == "NoSuchNode"
        assert_public(refused.value.message)

    async def test_missing_model_is_refused_without_naming_the_others(self, render: Render) -> None:
        graph = sampling(2)
        graph["4"]["inputs"]["ckpt_name"] = "nope.safetensors"
        with pytest.raises(WorkflowRefused) as refused:
            await render.run(graph)
        assert refused.value.node_id == "4"
        assert_public(refused.value.message)

    async def test_workflow_of_which_only_a_part_is_valid_is_refused(self, render: Render) -> None:
        graph = a_workflow(color=uuid.uuid4().int % 2**24)
        graph["7"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "bad"}}
        with pytest.raises(WorkflowRefused) as refused:
            await render.run(graph)
        assert refused.value.node_id == "7"

    async def test_preview_alone_is_no_output(self, render: Render) -> None:
        graph = a_workflow(color=uuid.uuid4().int % 2**24)
        graph["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}
        with pytest.raises(NoOutput):
            await render.run(graph)

    async def test_text_is_delivered_as_text(self, render: Render) -> None:
        graph = a_workflow(color=uuid.uuid4().int % 2**24)
        graph["8"] = {"class_type": "PreviewAny", "inputs": {"source": "héllo"}}
        rendered = await render.run(graph)

        texts = [file for file in rendered.outputs if file.kind is MediaKind.TEXT]
        assert [await render.content(file) for file in texts] == ["héllo".encode()]
        assert len(rendered.outputs) == 2

    async def test_stop_ends_a_running_render(self, render: Render) -> None:
        running = asyncio.create_task(render.run(sampling(200, rounds=10)))
        async with asyncio.timeout(PATIENCE):
            while not any(progress.step for progress in render.progress):
                assert not running.done(), await running
                await asyncio.sleep(0.02)
        render.stop.set()

        with pytest.raises(RenderInterrupted):
            await running

    async def test_stop_of_a_waiting_render_leaves_the_running_one(
        self, engine: WorkflowEngine
    ) -> None:
        first, second = Render(engine), Render(engine)
        running = asyncio.create_task(first.run(sampling(40)))
        async with asyncio.timeout(PATIENCE):
            while not first.progress:
                await asyncio.sleep(0.02)
        waiting = asyncio.create_task(second.run(sampling(200, rounds=10)))
        await asyncio.sleep(0.3)
        second.stop.set()

        with pytest.raises(RenderInterrupted):
            await waiting
        assert len((await running).outputs) == 1
