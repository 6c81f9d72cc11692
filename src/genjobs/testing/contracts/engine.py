"""The contract of ``WorkflowEngine``; core nodes only, so it holds for a real ComfyUI too."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import NodeError, NoOutput, RenderInterrupted, WorkflowRefused
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Progress
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import EngineFile, Rendered, WorkflowEngine
from genjobs.domain.workflow import parse_workflow
from genjobs.testing.factories import a_workflow, png_bytes

_PATIENCE = 120.0  # seconds; a real ComfyUI on a busy CPU is slow
_MODEL = "tiny_sd15.safetensors"


@dataclass(slots=True)
class _Render:
    """One render: its id, what it reported, and its stop."""

    engine: WorkflowEngine
    id: ExecutionId = field(default_factory=lambda: ExecutionId(uuid.uuid4()))
    progress: list[Progress] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, graph: dict[str, Any], files: dict[str, str] | None = None) -> Rendered:
        workflow = parse_workflow(graph, NodeCatalogue())
        async with asyncio.timeout(_PATIENCE):
            return await self.engine.render(
                self.id, workflow, files or {}, on_progress=self.progress.append, stop=self.stop
            )

    async def content(self, file: EngineFile) -> bytes:
        async with self.engine.read(file) as chunks:
            return b"".join([chunk async for chunk in chunks])


def sampling(steps: int, *, seed: int | None = None) -> dict[str, Any]:
    """Return a workflow that samples; with a fresh seed nothing of the sampler is cached."""
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
    return {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": _MODEL}},
        "5": {"class_type": "EmptyLatentImage", "inputs": size},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", **text}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", **text}},
        "3": {"class_type": "KSampler", "inputs": sampler},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "k"}},
    }


def loading(name: str = "photo.png") -> dict[str, Any]:
    """Return a workflow that inverts an input picture."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "p"}},
    }


async def _picture(content: bytes) -> AsyncIterator[bytes]:
    yield content


class EngineContract:
    """Needs the fixture ``engine``; its models include ``tiny_sd15.safetensors``."""

    @pytest.fixture
    def engine(self) -> WorkflowEngine:
        """Return the engine under test."""
        raise NotImplementedError

    @pytest.fixture
    def render(self, engine: WorkflowEngine) -> _Render:
        """Return a render to be run."""
        return _Render(engine)

    async def test_engine_that_answers_passes_its_check(self, engine: WorkflowEngine) -> None:
        await engine.check()

    async def test_render_delivers_a_picture(self, render: _Render) -> None:
        rendered = await render.run(a_workflow(color=uuid.uuid4().int % 2**24))

        [file] = rendered.outputs
        assert file.node_id == "9"
        assert (file.name.startswith("picture"), file.name.endswith(".png")) == (True, True)
        assert (await render.content(file)).startswith(b"\x89PNG")

    async def test_progress_ends_full_and_never_goes_back(self, render: _Render) -> None:
        await render.run(sampling(6))

        fractions = [progress.fraction for progress in render.progress]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        steps = {progress.step for progress in render.progress if progress.node_id == "3"}
        assert {1, 6} & steps
        assert {progress.steps for progress in render.progress if progress.step} == {6}
        assert {progress.nodes_total for progress in render.progress} == {7}

    async def test_input_picture_is_loaded(self, render: _Render) -> None:
        picture = png_bytes(40, 30, rgb=(10, 200, 30))
        name = await render.engine.stage(render.id, "input_0.png", _picture(picture))
        rendered = await render.run(loading(), {"photo.png": name})

        content = await render.content(rendered.outputs[0])
        assert content[16:24] == (40).to_bytes(4, "big") + (30).to_bytes(4, "big")

    async def test_failing_node_is_named_without_a_path(self, render: _Render) -> None:
        broken = b"\x89PNG\r\n\x1a\n" + b"not a picture" * 50
        name = await render.engine.stage(render.id, "input_0.png", _picture(broken))

        with pytest.raises((NodeError, WorkflowRefused)) as failed:
            await render.run(loading(), {"photo.png": name})
        assert (failed.value.node_id, failed.value.node_class) == ("1", "LoadImage")
        _assert_public(failed.value.message)

    async def test_unknown_class_is_refused(self, render: _Render) -> None:
        graph = {"1": {"class_type": "NoSuchNode", "inputs": {}}}
        with pytest.raises(WorkflowRefused) as refused:
            await render.run(graph)
        assert refused.value.node_class == "NoSuchNode"
        _assert_public(refused.value.message)

    async def test_missing_model_is_refused_without_naming_the_others(
        self, render: _Render
    ) -> None:
        graph = sampling(2)
        graph["4"]["inputs"]["ckpt_name"] = "nope.safetensors"
        with pytest.raises(WorkflowRefused) as refused:
            await render.run(graph)
        assert refused.value.node_id == "4"
        _assert_public(refused.value.message)

    async def test_workflow_of_which_only_a_part_is_valid_is_refused(self, render: _Render) -> None:
        graph = a_workflow(color=uuid.uuid4().int % 2**24)
        graph["7"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "bad"}}
        with pytest.raises(WorkflowRefused) as refused:
            await render.run(graph)
        assert refused.value.node_id == "7"

    async def test_preview_alone_is_no_output(self, render: _Render) -> None:
        graph = a_workflow(color=uuid.uuid4().int % 2**24)
        graph["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}
        with pytest.raises(NoOutput):
            await render.run(graph)

    async def test_text_is_delivered_as_text(self, render: _Render) -> None:
        graph = a_workflow(color=uuid.uuid4().int % 2**24)
        graph["8"] = {"class_type": "PreviewAny", "inputs": {"source": "héllo"}}
        rendered = await render.run(graph)

        texts = [file for file in rendered.outputs if file.kind is MediaKind.TEXT]
        assert [await render.content(file) for file in texts] == ["héllo".encode()]
        assert len(rendered.outputs) == 2

    async def test_cached_workflow_delivers_ones_own_file(self, engine: WorkflowEngine) -> None:
        first, second = _Render(engine), _Render(engine)
        graph = a_workflow(color=uuid.uuid4().int % 2**24)
        [mine] = (await first.run(graph)).outputs
        [theirs] = (await second.run(graph)).outputs
        await engine.discard(first.id)

        assert mine.reference != theirs.reference
        assert str(first.id) not in str(theirs.reference)
        assert (await second.content(theirs)).startswith(b"\x89PNG")

    async def test_stop_ends_a_running_render(self, render: _Render) -> None:
        running = asyncio.create_task(render.run(sampling(2000)))
        async with asyncio.timeout(_PATIENCE):
            while not any(progress.step for progress in render.progress):
                assert not running.done(), await running
                await asyncio.sleep(0.02)
        render.stop.set()

        with pytest.raises(RenderInterrupted):
            await running

    async def test_stop_before_the_render_renders_nothing(self, render: _Render) -> None:
        render.stop.set()
        with pytest.raises(RenderInterrupted):
            await render.run(a_workflow())
        assert render.progress == []

    async def test_stop_of_a_waiting_render_leaves_the_running_one(
        self, engine: WorkflowEngine
    ) -> None:
        first, second = _Render(engine), _Render(engine)
        running = asyncio.create_task(first.run(sampling(40)))
        async with asyncio.timeout(_PATIENCE):
            while not first.progress:
                await asyncio.sleep(0.02)
        waiting = asyncio.create_task(second.run(sampling(2000)))
        await asyncio.sleep(0.3)
        second.stop.set()

        with pytest.raises(RenderInterrupted):
            await waiting
        assert len((await running).outputs) == 1

    async def test_renders_at_once_each_get_their_own(self, engine: WorkflowEngine) -> None:
        renders = [_Render(engine) for _ in range(4)]
        results = await asyncio.gather(
            *(item.run(a_workflow(color=uuid.uuid4().int % 2**24)) for item in renders)
        )
        for item, rendered in zip(renders, results, strict=True):
            [file] = rendered.outputs
            assert str(item.id) in str(file.reference)

    async def test_file_that_is_not_there_is_no_output(self, render: _Render) -> None:
        folder = f"genjobs/{render.id}"
        reference = {"filename": "x.png", "subfolder": folder, "type": "output"}
        missing = EngineFile(node_id="9", name="x.png", reference=reference, kind=MediaKind.FILE)
        with pytest.raises(NoOutput):
            await render.content(missing)

    async def test_discarding_twice_is_harmless(self, render: _Render) -> None:
        await render.run(a_workflow(color=uuid.uuid4().int % 2**24))
        await render.engine.discard(render.id)
        await render.engine.discard(render.id)


def _assert_public(message: str) -> None:
    """Assert that a message carries no path, traceback or installed-model list."""
    for forbidden in ("/", "\\", "Traceback", 'File "', ".py", ".safetensors"):
        assert forbidden not in message, message
