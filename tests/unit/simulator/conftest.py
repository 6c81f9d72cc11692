"""A simulator on a port, a client for it, and the recordings of the real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from genjobs.simulator import RunningSimulator, running_simulator

DATA = Path(__file__).parents[2] / "data" / "comfyui"

#: Bound on every single wait; far above what anything here takes.
PATIENCE_SECONDS = 20.0

Workflow = dict[str, Any]
Message = dict[str, Any]


class Listener:
    """One WebSocket connection."""

    def __init__(self, socket: websockets.ClientConnection, client_id: str) -> None:
        self.socket = socket
        self.client_id = client_id

    async def next(self) -> Any:
        """Return the next message: a dict, or bytes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await self.socket.recv()
        return message if isinstance(message, bytes) else json.loads(message)

    async def until(self, kind: str, *, into: list[Any] | None = None, **data: Any) -> list[Any]:
        """Return the messages up to the first of this type with these data members."""
        seen = [] if into is None else into
        while True:
            message = await self.next()
            seen.append(message)
            wanted = isinstance(message, dict) and message["type"] == kind
            if wanted and data.items() <= message["data"].items():
                return seen

    async def until_end(self) -> list[Any]:
        """Return the messages up to the one that says that nothing runs."""
        return await self.until("executing", node=None)


class Client:
    """What the tests do with a server."""

    def __init__(self, http: httpx.AsyncClient, running: RunningSimulator) -> None:
        self.http = http
        self.running = running

    @contextlib.asynccontextmanager
    async def listen(self, client_id: str | None = None) -> AsyncIterator[Listener]:
        """Connect; the greeting is still to be read."""
        client_id = client_id or uuid.uuid4().hex
        url = f"{self.running.url.replace('http', 'ws', 1)}/ws?clientId={client_id}"
        async with websockets.connect(url, max_queue=None) as socket:
            yield Listener(socket, client_id)

    async def submit(self, workflow: Workflow, client_id: str | None = None, **body: Any) -> str:
        """Submit and return the prompt id."""
        if client_id is not None:
            body["client_id"] = client_id
        answer = await self.http.post("/prompt", json={"prompt": workflow, **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    async def finished(self, prompt_id: str) -> dict[str, Any]:
        """Wait for a prompt's history and return it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                history = (await self.http.get(f"/history/{prompt_id}")).json()
                if history:
                    return dict(history[prompt_id])
                await asyncio.sleep(0.005)

    async def run(self, workflow: Workflow, **body: Any) -> dict[str, Any]:
        """Submit with a client id and return the history."""
        return await self.finished(await self.submit(workflow, uuid.uuid4().hex, **body))

    async def until_running(self, prompt_id: str) -> None:
        """Wait until a prompt is the running one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                running = (await self.http.get("/queue")).json()["queue_running"]
                if any(item[1] == prompt_id for item in running):
                    return
                await asyncio.sleep(0.005)

    async def queue_empty(self) -> None:
        """Wait until nothing waits or runs."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answer = await self.http.get("/prompt")
                if not answer.json()["exec_info"]["queue_remaining"]:
                    return
                await asyncio.sleep(0.005)


@pytest.fixture(scope="session")
def recording() -> Callable[[str], Any]:
    """Read a recording of the real server; a .jsonl one as the list of its messages."""

    def read(name: str) -> Any:
        text = (DATA / name).read_text("utf-8")
        if name.endswith(".jsonl"):
            return [json.loads(line)["msg"] for line in text.splitlines()]
        return json.loads(text)

    return read


@pytest.fixture(scope="session")
def comparable() -> Callable[[Any], Any]:
    """Blank what differs from run to run: ids and times."""
    volatile = {"prompt_id", "timestamp", "sid", "client_id", "create_time"}

    def blank(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: "*" if name in volatile else blank(each) for name, each in value.items()}
        return [blank(each) for each in value] if isinstance(value, list) else value

    return blank


@contextlib.asynccontextmanager
async def _client(base_directory: Path, **options: Any) -> AsyncIterator[Client]:
    options.setdefault("step_seconds", 0.002)
    async with (
        running_simulator(base_directory, **options) as running,
        httpx.AsyncClient(base_url=running.url, timeout=PATIENCE_SECONDS, verify=False) as http,
    ):
        yield Client(http, running)


@pytest.fixture(scope="session")
def make_client() -> Callable[..., contextlib.AbstractAsyncContextManager[Client]]:
    """Give a test the context manager that serves a simulator with options of its own."""
    return _client


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """Serve a fresh simulator for one test."""
    async with _client(tmp_path / "comfy") as client:
        yield client


@pytest.fixture(scope="session")
def picture_workflow() -> Callable[..., Workflow]:
    """Build EmptyImage -> (middle nodes in a row) -> SaveImage."""

    def build(
        *middle: tuple[str, dict[str, Any]], prefix: str = "t", color: int = 7, size: int = 16
    ) -> Workflow:
        workflow: Workflow = {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": size, "height": size, "batch_size": 1, "color": color},
            }
        }
        last = "1"
        for number, (class_type, inputs) in enumerate(middle, 10):
            node = {"class_type": class_type, "inputs": {**inputs, "image": [last, 0]}}
            last = str(number)
            workflow[last] = node
        inputs = {"images": [last, 0], "filename_prefix": prefix}
        workflow["9"] = {"class_type": "SaveImage", "inputs": inputs}
        return workflow

    return build


@pytest.fixture(scope="session")
def sampler_workflow(recording: Callable[[str], Any]) -> Callable[..., Workflow]:
    """Build the text-to-picture workflow with these sampler inputs."""

    def build(text: str = "a cat", **sampler: Any) -> Workflow:
        workflow: Workflow = recording("txt2img_tiny.json")
        workflow["3"]["inputs"].update(sampler)
        workflow["6"]["inputs"]["text"] = text
        return workflow

    return build
