"""The contract of ``WorkflowEngine`` that a script can keep too, and that of an engine away."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from genjobs.domain.catalogue import NodeCatalogue, NodeClass
from genjobs.domain.errors import EngineFailed, NoOutput, RenderInterrupted
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Progress
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import EngineFile, Rendered, WorkflowEngine
from genjobs.domain.workflow import parse_workflow
from genjobs.testing.factories import a_workflow, png_bytes

#: Also allows a class that no engine has, to see how the engine refuses it.
_CATALOGUE = NodeCatalogue().widened({"NoSuchNode": NodeClass(output_node=True)})
PATIENCE = 120.0  # seconds; a real ComfyUI on a busy CPU is slow


@dataclass(slots=True)
class Render:
    """One render: its id, what it reported, and its stop."""

    engine: WorkflowEngine
    id: ExecutionId = field(default_factory=lambda: ExecutionId(uuid.uuid4()))
    progress: list[Progress] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, graph: dict[str, Any], files: dict[str, str] | None = None) -> Rendered:
        workflow = parse_workflow(graph, _CATALOGUE)
        async with asyncio.timeout(PATIENCE):
            return await self.engine.render(
                self.id, workflow, files or {}, on_progress=self.progress.append, stop=self.stop
            )

    async def content(self, file: EngineFile) -> bytes:
        async with self.engine.read(file) as chunks:
            return b"".join([chunk async for chunk in chunks])


class EngineBasicsContract:
    """Needs the fixture ``engine``: whatever renders ``a_workflow()``, a script included."""

    @pytest.fixture
    def engine(self) -> WorkflowEngine:
        """Return the engine under test."""
        raise NotImplementedError

    @pytest.fixture
    def render(self, engine: WorkflowEngine) -> Render:
        """Return a render to be run."""
        return Render(engine)

    async def test_engine_that_answers_passes_its_check(self, engine: WorkflowEngine) -> None:
        await engine.check()

    async def test_render_delivers_apicture_chunks(self, render: Render) -> None:
        rendered = await render.run(a_workflow(color=uuid.uuid4().int % 2**24))

        [file] = rendered.outputs
        assert file.node_id == "9"
        assert (file.name.startswith("picture"), file.name.endswith(".png")) == (True, True)
        assert (await render.content(file)).startswith(b"\x89PNG")

    async def test_cached_workflow_delivers_ones_own_file(self, engine: WorkflowEngine) -> None:
        first, second = Render(engine), Render(engine)
        graph = a_workflow(color=uuid.uuid4().int % 2**24)
        [mine] = (await first.run(graph)).outputs
        [theirs] = (await second.run(graph)).outputs
        await engine.discard(first.id)

        assert mine.reference != theirs.reference
        assert str(first.id) not in str(theirs.reference)
        assert (await second.content(theirs)).startswith(b"\x89PNG")

    async def test_stop_before_the_render_renders_nothing(self, render: Render) -> None:
        render.stop.set()
        with pytest.raises(RenderInterrupted):
            await render.run(a_workflow())
        assert render.progress == []

    async def test_renders_at_once_each_get_their_own(self, engine: WorkflowEngine) -> None:
        renders = [Render(engine) for _ in range(4)]
        results = await asyncio.gather(
            *(item.run(a_workflow(color=uuid.uuid4().int % 2**24)) for item in renders)
        )
        for item, rendered in zip(renders, results, strict=True):
            [file] = rendered.outputs
            assert str(item.id) in str(file.reference)

    async def test_file_that_is_not_there_is_no_output(self, render: Render) -> None:
        folder = f"genjobs/{render.id}"
        reference = {"filename": "x.png", "subfolder": folder, "type": "output"}
        missing = EngineFile(node_id="9", name="x.png", reference=reference, kind=MediaKind.FILE)
        with pytest.raises(NoOutput):
            await render.content(missing)

    async def test_discarding_twice_is_harmless(self, render: Render) -> None:
        await render.run(a_workflow(color=uuid.uuid4().int % 2**24))
        await render.engine.discard(render.id)
        await render.engine.discard(render.id)

    async def test_progress_is_reported_and_never_goes_back(self, render: Render) -> None:
        await render.run(a_workflow(color=uuid.uuid4().int % 2**24))

        fractions = [progress.fraction for progress in render.progress]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert {progress.nodes_total for progress in render.progress} == {3}

    async def test_other_render_may_be_discarded_meanwhile(self, engine: WorkflowEngine) -> None:
        first, second = Render(engine), Render(engine)
        [mine] = (await first.run(a_workflow(color=uuid.uuid4().int % 2**24))).outputs
        await second.run(a_workflow(color=uuid.uuid4().int % 2**24))
        await engine.discard(second.id)

        assert (await first.content(mine)).startswith(b"\x89PNG")


class EngineOutageContract:
    """Needs the fixture ``unreachable``: an engine that does not answer, and soon gives up."""

    @pytest.fixture
    def unreachable(self) -> WorkflowEngine:
        """Return the engine under test."""
        raise NotImplementedError

    async def test_every_way_to_it_says_that_the_engine_failed(
        self, unreachable: WorkflowEngine
    ) -> None:
        render = Render(unreachable)
        folder = f"genjobs/{render.id}"
        reference = {"filename": "x.png", "subfolder": folder, "type": "output"}
        file = EngineFile(node_id="9", name="x.png", reference=reference, kind=MediaKind.FILE)

        with pytest.raises(EngineFailed) as failed:
            await unreachable.check()
        assert_public(failed.value.message)
        with pytest.raises(EngineFailed):
            await unreachable.stage(render.id, "input_0.png", picture_chunks(png_bytes()))
        with pytest.raises(EngineFailed):
            await render.run(a_workflow())
        with pytest.raises(EngineFailed):
            await render.content(file)

    async def test_discarding_says_so_too(self, unreachable: WorkflowEngine) -> None:
        with pytest.raises(EngineFailed):
            await unreachable.discard(ExecutionId(uuid.uuid4()))


async def picture_chunks(content: bytes) -> AsyncIterator[bytes]:
    """Yield a file whole."""
    yield content


def assert_public(message: str) -> None:
    """Assert that a message carries no path, traceback or installed-model list."""
    for forbidden in ("/", "\\", "Traceback", 'File "', ".py", ".safetensors"):
        assert forbidden not in message, message
