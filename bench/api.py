"""The API's own cost, and that of the whole path, against floors."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path

import httpx

from bench.load import once, rate, request
from bench.measuring import Result, free_port, process, result, versus
from genjobs.adapters.comfyui import ComfyUIEngine
from genjobs.adapters.local.embedded_postgres import embedded_postgres
from genjobs.adapters.system import SystemClock
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.ids import ExecutionId
from genjobs.domain.workflow import parse_workflow
from genjobs.settings import DEFAULT_TENANT
from genjobs.testing import a_key_text, a_workflow

KEY = a_key_text("bench").reveal()
SECONDS = 2.0
JOBS = 60


async def api(data: Path, settings: dict[str, str]) -> list[Result]:
    port, bare = free_port(), free_port()
    serve = ("-m", "genjobs", "serve", "--no-worker", "--no-supervisor", "--port", str(port))
    async with process(*serve, port=port, **settings), embedded_postgres(data / "postgres") as urls:
        floor = ("-m", "bench.bare", urls.owner, str(DEFAULT_TENANT), str(bare))
        async with process(*floor, port=bare):
            body = json.dumps({"user_id": "bench", "workflow": a_workflow()}).encode()
            auth = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            create = request("POST", "/v1/jobs", auth, body)
            create_bare = request("POST", "/jobs", {"Content-Type": "application/json"}, body)
            results = [
                result(
                    "api create",
                    "jobs/s",
                    *await versus(
                        lambda: rate(port, create, seconds=SECONDS),
                        lambda: rate(bare, create_bare, seconds=SECONDS),
                    ),
                    goal=0.5,
                )
            ]
            limited = request("POST", "/limited", {"Content-Type": "application/json"}, body)
            results.append(
                result(
                    "api create, one stmt",
                    "jobs/s",
                    *await versus(
                        lambda: rate(port, create, seconds=SECONDS),
                        lambda: rate(bare, limited, seconds=SECONDS),
                    ),
                    goal=0.5,
                )
            )
            # A user of its own, so that the queue position is not the cost of what came before.
            other = json.dumps({"user_id": "reader", "workflow": a_workflow()}).encode()
            job_id = json.loads(await once(port, request("POST", "/v1/jobs", auth, other)))["id"]
            bare_id = json.loads(
                await once(
                    bare, request("POST", "/jobs", {"Content-Type": "application/json"}, other)
                )
            )["id"]
            get = request("GET", f"/v1/jobs/{job_id}?user_id=reader", auth)
            get_bare = request("GET", f"/jobs/{bare_id}?user_id=reader", {})
            results.append(
                result(
                    "api get",
                    "reads/s",
                    *await versus(
                        lambda: rate(port, get, seconds=SECONDS),
                        lambda: rate(bare, get_bare, seconds=SECONDS),
                    ),
                    goal=0.5,
                )
            )
            return results


async def whole_path(settings: dict[str, str], data: Path) -> Result:
    port, comfyui = free_port(), free_port()
    url = f"http://127.0.0.1:{comfyui}"
    simulator = (
        "-m",
        "genjobs",
        "simulator",
        "--port",
        str(comfyui),
        "--directory",
        str(data / "c"),
    )
    serve = ("-m", "genjobs", "serve", "--no-supervisor", "--port", str(port))
    ours = {**settings, "GENJOBS_COMFYUI_URL": url, "GENJOBS_COMFYUI_DIRECTORY": str(data / "c")}
    async with (
        process(*simulator, port=comfyui, **settings),
        process(*serve, port=port, **ours),
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {KEY}"}
        ) as http,
        ComfyUIEngine(url, directory=data / "c", clock=SystemClock()) as engine,
    ):

        async def through() -> float:
            user, begun = uuid.uuid4().hex, time.perf_counter()
            for _ in range(JOBS):
                color = uuid.uuid4().int % 2**24
                body = {"user_id": user, "workflow": a_workflow(color=color)}
                (await http.post("/v1/jobs", json=body)).raise_for_status()
            while True:
                params = {"user_id": user, "status": "completed", "limit": "100"}
                done = (await http.get("/v1/jobs", params=params)).json()["data"]
                if len(done) == JOBS:
                    return JOBS / (time.perf_counter() - begun)
                await asyncio.sleep(0.05)

        async def direct() -> float:
            begun = time.perf_counter()
            for _ in range(JOBS):
                graph = a_workflow(color=uuid.uuid4().int % 2**24)
                await engine.render(
                    ExecutionId(uuid.uuid4()),
                    parse_workflow(graph, NodeCatalogue()),
                    {},
                    on_progress=lambda _: None,
                    stop=asyncio.Event(),
                )
            return JOBS / (time.perf_counter() - begun)

        return result("whole path", "jobs/s", *await versus(through, direct), goal=0.25)
