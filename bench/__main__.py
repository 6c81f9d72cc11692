"""
Run the benchmarks and print them; also written to bench/latest.json.

Servers run as processes of their own, ours and the floor in turns, five rounds; medians count.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from bench import pipeline
from bench.load import once, rate, request
from bench.running import KEY, free_port, process
from genjobs.adapters.comfyui import ComfyUIEngine
from genjobs.adapters.local.embedded_postgres import embedded_postgres
from genjobs.adapters.system import SystemClock
from genjobs.domain.catalogue import NodeCatalogue
from genjobs.domain.ids import ExecutionId
from genjobs.domain.workflow import parse_workflow
from genjobs.settings import DEFAULT_TENANT
from genjobs.testing import a_workflow

#: The benchmarks come from one user, as fast as they can; counted they are all the same.
FAST = json.dumps({"submits_per_second": 1e6, "submit_burst": 1_000_000, "max_queued": 10_000_000})
ROUNDS = 5
SECONDS = 2.0
JOBS = 60
Result = dict[str, Any]


async def versus(
    ours: Callable[[], Awaitable[float]], floor: Callable[[], Awaitable[float]]
) -> tuple[float, float]:
    mine, theirs = [], []
    await ours(), await floor()  # warm both
    for _ in range(ROUNDS):
        mine.append(await ours())
        theirs.append(await floor())
    return statistics.median(mine), statistics.median(theirs)


def result(name: str, unit: str, value: float, reference: float, goal: float) -> Result:
    ratio = value / reference
    met = "met" if ratio >= goal else "MISSED"
    print(
        f"{name:22} {value:9.1f} {unit:9} floor {reference:9.1f}  ratio {ratio:.2f}  goal {goal} {met}"
    )
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "reference": reference,
        "ratio": ratio,
        "goal": goal,
    }


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


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="genjobs-bench-") as folder:
        data = Path(folder)
        data.chmod(0o755)
        settings = {
            "GENJOBS_DATA_DIRECTORY": str(data),
            "GENJOBS_API_KEY": KEY,
            "GENJOBS_TENANT_LIMITS": FAST,
            "GENJOBS_USER_LIMITS": FAST,
            "GENJOBS_REQUESTS_PER_SECOND": "1e6",
            "GENJOBS_LOG_JSON": "true",
        }
        # A database of its own: the jobs of the first benchmark would all be run in the second.
        other = {**settings, "GENJOBS_DATA_DIRECTORY": str(data / "whole")}
        (data / "whole").mkdir(mode=0o755)
        results = [*await api(data, settings), await whole_path(other, data / "whole")]
        results += await pipeline.rows(data, settings)
    latest = Path(__file__).parent / "latest.json"
    latest.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
