"""The engine against a ComfyUI that misbehaves: no job hangs, none is delivered wrongly."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from genjobs.adapters.comfyui import ComfyUIEngine, Patience
from genjobs.adapters.system import SystemClock
from genjobs.bootstrap.catalogue import simulator_entries
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import (
    DeviceFailed,
    EngineFailed,
    NoOutput,
    OutOfMemory,
    RenderInterrupted,
)
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Progress
from genjobs.domain.ports import Rendered
from genjobs.domain.workflow import parse_workflow
from genjobs.simulator import RunningSimulator, running_simulator
from genjobs.testing import a_workflow
from genjobs.testing.contracts.engine import sampling

_HASTE = Patience(
    poll=timedelta(milliseconds=100),
    poll_closely=timedelta(milliseconds=30),
    cancel_again=timedelta(milliseconds=50),
    refused=timedelta(milliseconds=500),
    silent=timedelta(seconds=20),
)
_CATALOGUE = NodeCatalogue().extended(simulator_entries())
_LONG = 30  # seconds; whatever takes this long hangs


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[RunningSimulator]:
    async with running_simulator(tmp_path, step_seconds=0.01) as running:
        yield running


@pytest.fixture
async def engine(simulator: RunningSimulator) -> AsyncIterator[ComfyUIEngine]:
    directory = Path(simulator.base_directory)
    async with ComfyUIEngine(
        simulator.url, directory=directory, clock=SystemClock(), patience=_HASTE
    ) as opened:
        yield opened


class Render:
    """One render under test."""

    def __init__(self, engine: ComfyUIEngine) -> None:
        self.engine = engine
        self.id = ExecutionId(uuid.uuid4())
        self.stop = asyncio.Event()
        self.progress: list[Progress] = []

    async def run(self, graph: dict[str, Any]) -> Rendered:
        workflow = parse_workflow(graph, _CATALOGUE)
        async with asyncio.timeout(_LONG):
            return await self.engine.render(
                self.id, workflow, {}, on_progress=self.progress.append, stop=self.stop
            )

    async def until_it_samples(self, running: asyncio.Task[Rendered]) -> None:
        async with asyncio.timeout(_LONG):
            while not any(progress.step for progress in self.progress):
                assert not running.done()
                await asyncio.sleep(0.01)


@pytest.fixture
def render(engine: ComfyUIEngine) -> Render:
    return Render(engine)


@pytest.mark.parametrize("at", [2, 5, 12])
async def test_dropped_socket_does_not_lose_the_job(
    simulator: RunningSimulator, render: Render, at: int
) -> None:
    simulator.faults.drop_socket_at = at
    assert len((await render.run(sampling(10))).outputs) == 1


@pytest.mark.parametrize("at", [2, 5, 12])
async def test_silent_socket_does_not_hang_the_job(
    simulator: RunningSimulator, render: Render, at: int
) -> None:
    simulator.faults.silence_socket_at = at
    assert len((await render.run(sampling(10))).outputs) == 1


async def test_500_that_queued_is_followed_and_not_submitted_again(
    simulator: RunningSimulator, render: Render
) -> None:
    simulator.faults.queue_and_answer_500 = 1
    rendered = await render.run(sampling(3))

    [file] = rendered.outputs
    assert file.name.endswith("_00001_.png")  # a second run would have saved a second file
    folder = Path(simulator.base_directory) / "output" / file.reference["subfolder"]
    assert len(list(folder.iterdir())) == 1


async def test_lost_cancel_is_repeated(simulator: RunningSimulator, render: Render) -> None:
    running = asyncio.create_task(render.run(sampling(200, rounds=15)))
    await render.until_it_samples(running)
    simulator.faults.lose_cancels = 3
    render.stop.set()

    with pytest.raises(RenderInterrupted):
        await running
    assert simulator.faults.lose_cancels == 0


async def test_interrupt_lost_in_the_last_node_delivers(
    simulator: RunningSimulator, render: Render
) -> None:
    graph = a_workflow()
    graph["9"]["inputs"]["images"] = ["1", 0]
    del graph["2"]
    graph["9"] = {
        "class_type": "SimulatorLargeFile",
        "inputs": {"bytes": 40_000_000, "seed": 1, "extension": "png", "filename_prefix": "x"},
    }
    del graph["1"]
    running = asyncio.create_task(render.run(graph))
    async with asyncio.timeout(_LONG):
        while not any(progress.node_id == "9" for progress in render.progress):
            await asyncio.sleep(0.001)
    render.stop.set()
    assert len((await running).outputs) == 1


async def test_uninterruptible_node_is_stopped_after_it(
    simulator: RunningSimulator, render: Render
) -> None:
    graph = a_workflow()
    graph["3"] = {"class_type": "SimulatorSleep", "inputs": {"image": ["2", 0], "seconds": 1.0}}
    graph["9"]["inputs"]["images"] = ["3", 0]
    running = asyncio.create_task(render.run(graph))
    async with asyncio.timeout(_LONG):
        while not any(progress.node_id == "3" for progress in render.progress):
            await asyncio.sleep(0.01)
    render.stop.set()

    with pytest.raises(RenderInterrupted):
        await running


async def test_success_with_a_missing_file_is_no_output(
    simulator: RunningSimulator, render: Render
) -> None:
    simulator.faults.lose_outputs = 1
    rendered = await render.run(a_workflow())

    with pytest.raises(NoOutput):
        async with render.engine.read(rendered.outputs[0]):
            pass


async def test_lost_history_is_a_failure_of_the_engine(
    simulator: RunningSimulator, render: Render
) -> None:
    simulator.faults.lose_histories = 1
    with pytest.raises(EngineFailed):
        await render.run(a_workflow())


async def test_frozen_server_is_waited_for(simulator: RunningSimulator, render: Render) -> None:
    running = asyncio.create_task(render.run(sampling(50)))
    await render.until_it_samples(running)
    simulator.faults.freeze_seconds = 2.0

    assert len((await running).outputs) == 1


@pytest.mark.parametrize("moment", ["prompt", "step"])
async def test_death_is_a_failure_of_the_engine(
    simulator: RunningSimulator, render: Render, moment: str
) -> None:
    simulator.faults.die_at = moment
    with pytest.raises(EngineFailed):
        await render.run(sampling(50))


async def test_restart_that_forgets_is_a_failure_of_the_engine(
    simulator: RunningSimulator, render: Render
) -> None:
    running = asyncio.create_task(render.run(sampling(200, rounds=15)))
    await render.until_it_samples(running)
    await simulator.die()
    await simulator.restart()

    with pytest.raises(EngineFailed):
        await running
    again = Render(render.engine)
    assert len((await again.run(a_workflow())).outputs) == 1


async def test_nobody_there_is_a_failure_of_the_engine(simulator: RunningSimulator) -> None:
    async with ComfyUIEngine("http://127.0.0.1:1", clock=SystemClock(), patience=_HASTE) as engine:
        with pytest.raises(EngineFailed):
            await engine.check()
        with pytest.raises(EngineFailed):
            await Render(engine).run(a_workflow())


async def test_discard_leaves_nothing_behind(simulator: RunningSimulator, render: Render) -> None:
    await render.engine.stage(render.id, "input_0.png", _bytes(b"x"))
    await render.run(a_workflow())
    await render.engine.discard(render.id)

    left = [
        path for path in Path(simulator.base_directory).rglob("*") if str(render.id) in str(path)
    ]
    assert left == []
    import httpx

    async with httpx.AsyncClient(base_url=simulator.url) as http:
        assert (await http.get(f"/history/{render.id}")).json() == {}


async def test_discard_removes_previews_and_leaves_those_of_others(
    simulator: RunningSimulator, render: Render
) -> None:
    temp = Path(simulator.base_directory) / "temp"
    temp.mkdir(exist_ok=True)
    (temp / "of_another.png").write_bytes(b"x")
    graph = a_workflow()
    graph["8"] = {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}
    await render.run(graph)
    assert len(list(temp.iterdir())) == 2

    await render.engine.discard(render.id)
    assert [path.name for path in temp.iterdir()] == ["of_another.png"]


async def test_unclear_submit_to_a_frozen_server_is_settled_once_it_thaws(
    simulator: RunningSimulator, tmp_path: Path
) -> None:
    haste = dataclasses.replace(
        _HASTE, answer=timedelta(milliseconds=300), silent=timedelta(milliseconds=500)
    )
    async with ComfyUIEngine(simulator.url, clock=SystemClock(), patience=haste) as engine:
        render = Render(engine)
        running = asyncio.create_task(render.run(sampling(200, rounds=15)))
        await render.until_it_samples(running)
        simulator.faults.freeze_seconds = 3.0
        with pytest.raises(EngineFailed):
            await running
        with pytest.raises(EngineFailed):  # nobody knows what became of it
            await engine.settle(render.id)

        async with asyncio.timeout(_LONG):
            while True:
                try:
                    await engine.settle(render.id)
                    break
                except EngineFailed:
                    await asyncio.sleep(0.1)
        running_now, pending = await _queue(simulator)
        assert (running_now, pending) == ([], [])


async def test_settling_leaves_the_renders_of_others(
    simulator: RunningSimulator, engine: ComfyUIEngine
) -> None:
    other, mine = Render(engine), Render(engine)
    running = asyncio.create_task(other.run(sampling(60)))
    await other.until_it_samples(running)
    lost = asyncio.create_task(mine.run(sampling(60)))
    async with asyncio.timeout(_LONG):
        while not (await _queue(simulator))[1]:
            await asyncio.sleep(0.01)
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    async with asyncio.timeout(_LONG):
        await engine.settle(mine.id)
    assert (await _queue(simulator))[1] == []
    assert len((await running).outputs) == 1


async def test_lack_of_memory_frees_what_comfyui_holds(
    simulator: RunningSimulator, engine: ComfyUIEngine
) -> None:
    freed = 0
    free = engine._client.free

    async def noted() -> None:
        nonlocal freed
        freed += 1
        await free()

    engine._client.free = noted  # type: ignore[method-assign]
    simulator.faults.fail_memory = 1
    with pytest.raises(OutOfMemory):
        await Render(engine).run(a_workflow())
    assert len((await Render(engine).run(a_workflow())).outputs) == 1
    assert freed == 1


async def test_broken_device_is_told_from_a_broken_node(
    simulator: RunningSimulator, render: Render
) -> None:
    simulator.faults.fail_device = 1
    with pytest.raises(DeviceFailed):
        await render.run(a_workflow())


async def _queue(simulator: RunningSimulator) -> tuple[list[Any], list[Any]]:
    import httpx

    async with httpx.AsyncClient(base_url=simulator.url) as http:
        queue = (await http.get("/queue")).json()
    return queue["queue_running"], queue["queue_pending"]


async def _bytes(content: bytes) -> AsyncIterator[bytes]:
    yield content
