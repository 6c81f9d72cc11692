"""The engine over answers that ComfyUI gives seldom: HTTP is scripted, the socket is real."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest
import respx
from websockets.asyncio.server import ServerConnection, serve

from genjobs.adapters.comfyui import ComfyUIEngine, Patience
from genjobs.adapters.system import SystemClock
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.errors import EngineFailed, RenderInterrupted, WorkflowRefused
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Progress
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import EngineFile, Rendered
from genjobs.domain.workflow import parse_workflow
from genjobs.testing import a_workflow

_HASTE = Patience(
    poll=timedelta(milliseconds=20),
    poll_closely=timedelta(milliseconds=10),
    cancel_again=timedelta(milliseconds=10),
    refused=timedelta(milliseconds=100),
    silent=timedelta(seconds=5),
)
_LONG = 20  # seconds; whatever takes this long hangs


class Scripted:
    """A ComfyUI of which each test decides the answers; it says nothing on the socket."""

    def __init__(self, http: respx.Router, url: str) -> None:
        self.id = str(uuid.uuid4())
        self.url = url
        self.messages: list[Mapping[str, Any]] = []
        self.queued = True
        self.prompt = http.post("/prompt").respond(
            json={"prompt_id": self.id, "number": 1, "node_errors": {}}
        )
        self.queue = http.get("/queue").mock(side_effect=self._queue)
        self.history = http.get(f"/history/{self.id}").respond(json={})
        self.cancel = http.post(f"/api/jobs/{self.id}/cancel").respond(json={"cancelled": True})
        self.dequeue = http.post("/queue").respond(200)
        self.interrupt = http.post("/interrupt").respond(200)
        self.http = http

    def ended(self, kind: str = "success", **message: Any) -> httpx.Response:
        name = f"genjobs/{self.id}"
        image = {"filename": "a_00001_.png", "subfolder": name, "type": "output"}
        status = {
            "status_str": "success" if kind == "success" else "error",
            "messages": [[f"execution_{kind}", {"prompt_id": self.id, **message}]],
        }
        entry = {"outputs": {"9": {"images": [image]}}, "status": status}
        return httpx.Response(200, json={self.id: entry})

    def _queue(self, _: httpx.Request) -> httpx.Response:
        running = [[1, self.id, {}, {}, []]] if self.queued else []
        return httpx.Response(200, json={"queue_running": running, "queue_pending": []})


@pytest.fixture
async def comfyui() -> AsyncIterator[Scripted]:
    async def talk(socket: ServerConnection) -> None:
        for message in scripted.messages:
            await socket.send(json.dumps(message))
        await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        with respx.mock(base_url=url, assert_all_called=False) as http:
            scripted = Scripted(http, url)
            yield scripted


@pytest.fixture
async def engine(comfyui: Scripted) -> AsyncIterator[ComfyUIEngine]:
    async with ComfyUIEngine(comfyui.url, clock=SystemClock(), patience=_HASTE) as opened:
        yield opened


class Render:
    def __init__(self, engine: ComfyUIEngine, comfyui: Scripted) -> None:
        self.engine = engine
        self.id = ExecutionId(uuid.UUID(comfyui.id))
        self.stop = asyncio.Event()
        self.progress: list[Progress] = []

    async def run(self) -> Rendered:
        workflow = parse_workflow(a_workflow(), NodeCatalogue())
        async with asyncio.timeout(_LONG):
            return await self.engine.render(
                self.id, workflow, {}, on_progress=self.progress.append, stop=self.stop
            )


@pytest.fixture
def render(engine: ComfyUIEngine, comfyui: Scripted) -> Render:
    return Render(engine, comfyui)


async def test_refusal_stands_when_the_valid_part_fails_first(
    comfyui: Scripted, render: Render
) -> None:
    errors = {"7": {"class_type": "SaveImage", "errors": [{"type": "required_input_missing"}]}}
    comfyui.prompt.respond(json={"prompt_id": comfyui.id, "number": 1, "node_errors": errors})
    comfyui.history.mock(
        return_value=comfyui.ended("error", node_id="2", exception_type="ValueError")
    )

    with pytest.raises(WorkflowRefused) as refused:
        await render.run()
    assert refused.value.node_id == "7"


async def test_history_that_cannot_be_read_is_not_a_lost_job(
    comfyui: Scripted, render: Render
) -> None:
    comfyui.queued = False
    comfyui.history.side_effect = [httpx.Response(500, text="trouble")] * 6 + [comfyui.ended()]

    assert len((await render.run()).outputs) == 1


async def test_answer_that_cannot_be_decoded_is_asked_for_again(
    comfyui: Scripted, render: Render
) -> None:
    garbage = httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip")
    )
    comfyui.history.side_effect = [garbage, comfyui.ended()]

    assert len((await render.run()).outputs) == 1


async def test_submit_without_an_answer_is_looked_for_until_comfyui_answers(
    comfyui: Scripted, render: Render
) -> None:
    comfyui.prompt.side_effect = httpx.ReadTimeout("frozen")
    comfyui.queue.side_effect = httpx.ReadTimeout("frozen")
    comfyui.history.side_effect = [httpx.ReadTimeout("frozen")] * 8 + [comfyui.ended()]

    assert len((await render.run()).outputs) == 1
    assert comfyui.prompt.call_count == 1


async def test_submit_that_never_arrived_is_called_off_and_not_repeated(
    comfyui: Scripted, render: Render
) -> None:
    comfyui.prompt.side_effect = httpx.RemoteProtocolError("cut")
    comfyui.queued = False

    with pytest.raises(EngineFailed):
        await render.run()
    assert comfyui.prompt.call_count == 1
    assert comfyui.cancel.called  # it may still arrive, and would then render for nobody


@pytest.mark.parametrize("status", [403, 404, 429, 502])
async def test_status_that_does_not_judge_the_workflow_is_the_engines_failure(
    comfyui: Scripted, render: Render, status: int
) -> None:
    comfyui.prompt.respond(status, json={"error": "who are you"})
    comfyui.queued = False

    with pytest.raises(EngineFailed):
        await render.run()


async def test_too_large_a_prompt_is_refused(comfyui: Scripted, render: Render) -> None:
    comfyui.prompt.respond(413, text="Maximum request body size 104857600 exceeded.")
    with pytest.raises(WorkflowRefused):
        await render.run()


async def test_prompt_under_another_id_is_cancelled_there(
    comfyui: Scripted, render: Render
) -> None:
    minted = str(uuid.uuid4())
    comfyui.prompt.respond(json={"prompt_id": minted, "number": 1, "node_errors": {}})
    cancel = comfyui.http.post(f"/api/jobs/{minted}/cancel").respond(json={"cancelled": True})

    with pytest.raises(EngineFailed):
        await render.run()
    assert cancel.called


@pytest.mark.parametrize("body", [{"number": 1, "node_errors": {}}, "queued", {"prompt_id": "x"}])
async def test_200_that_does_not_name_the_prompt_is_not_believed(
    comfyui: Scripted, render: Render, body: object
) -> None:
    comfyui.prompt.respond(json=body)
    comfyui.queued = False

    with pytest.raises(EngineFailed):
        await render.run()
    assert comfyui.prompt.call_count == 1


async def test_comfyui_without_the_jobs_routes_is_stopped_by_prompt_id_only(
    comfyui: Scripted, render: Render
) -> None:
    comfyui.cancel.respond(404, text="404: Not Found")

    def interrupted(_: httpx.Request) -> httpx.Response:
        comfyui.history.mock(return_value=comfyui.ended("interrupted", node_id="2"))
        return httpx.Response(200)

    comfyui.interrupt.side_effect = interrupted
    running = asyncio.create_task(render.run())
    while not comfyui.history.called:
        await asyncio.sleep(0.01)
    render.stop.set()

    with pytest.raises(RenderInterrupted):
        await running
    bodies = [json.loads(call.request.content) for call in comfyui.interrupt.calls]
    assert bodies == [{"prompt_id": comfyui.id}] * len(bodies) != []
    assert json.loads(comfyui.dequeue.calls[0].request.content) == {"delete": [comfyui.id]}


async def test_cancel_that_fails_is_tried_again(comfyui: Scripted, render: Render) -> None:
    answers = [httpx.ReadTimeout("frozen"), httpx.Response(500), httpx.ConnectError("no")]

    def cancelled(_: httpx.Request) -> httpx.Response:
        if answers:
            answer = answers.pop()
            if isinstance(answer, Exception):
                raise answer
            return answer
        comfyui.history.mock(return_value=comfyui.ended("interrupted", node_id="2"))
        return httpx.Response(200, json={"cancelled": True})

    comfyui.cancel.side_effect = cancelled
    running = asyncio.create_task(render.run())
    while not comfyui.history.called:
        await asyncio.sleep(0.01)
    render.stop.set()

    with pytest.raises(RenderInterrupted):
        await running
    assert answers == []


async def test_progress_is_full_at_the_end_of_a_render_nobody_reported_on(
    comfyui: Scripted, render: Render
) -> None:
    comfyui.history.side_effect = [httpx.Response(200, json={}), comfyui.ended()]
    await render.run()

    assert render.progress[-1].fraction == 1.0
    assert render.progress[-1].nodes_done == render.progress[-1].nodes_total == 3


async def test_malformed_message_costs_no_later_progress(comfyui: Scripted, render: Render) -> None:
    def message(kind: str, **data: Any) -> dict[str, Any]:
        return {"type": kind, "data": {"prompt_id": comfyui.id, **data}}

    comfyui.messages = [
        message("progress_state", nodes={"1": None}),
        message("progress_state", nodes=[1]),
        message("execution_cached", nodes=7),
        message("progress", node="2", value=float("nan"), max=4),
        message("progress", node="2", value=2, max=4),
    ]

    def once_heard(_: httpx.Request) -> httpx.Response:
        heard = any(progress.step == 2 for progress in render.progress)
        return comfyui.ended() if heard else httpx.Response(200, json={})

    comfyui.history.side_effect = once_heard
    assert len((await render.run()).outputs) == 1


def a_file(comfyui: Scripted) -> EngineFile:
    reference = {"filename": "a.png", "subfolder": f"genjobs/{comfyui.id}", "type": "output"}
    return EngineFile(node_id="9", name="a.png", reference=reference, kind=MediaKind.FILE)


async def test_file_that_breaks_off_is_the_engines_failure_where_it_is_read(
    comfyui: Scripted, engine: ComfyUIEngine
) -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x" * 2_500_000
            raise httpx.ReadError("cut")

    comfyui.http.get("/view").mock(return_value=httpx.Response(200, stream=Broken()))
    async with engine.read(a_file(comfyui)) as chunks:
        sizes = [len(await anext(chunks)), len(await anext(chunks))]
        # Who reads the chunks sees it at once: a store must not take it for a failure of its own.
        with pytest.raises(EngineFailed):
            await anext(chunks)
    assert max(sizes) <= 1024 * 1024


async def test_failure_of_who_reads_a_file_is_not_the_engines(
    comfyui: Scripted, engine: ComfyUIEngine
) -> None:
    comfyui.http.get("/view").respond(200, content=b"png")
    with pytest.raises(httpx.ConnectError):
        async with engine.read(a_file(comfyui)):
            raise httpx.ConnectError("the store is away")


async def test_check_asks_for_the_systems_state(comfyui: Scripted, engine: ComfyUIEngine) -> None:
    route = comfyui.http.get("/system_stats").respond(json={"system": {}})
    await engine.check()
    assert route.called
    route.respond(503)
    with pytest.raises(EngineFailed):
        await engine.check()
