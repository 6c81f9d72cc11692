"""
The worker's pipeline: how busy it keeps the renderer, and how soon a cancel stops it.

The busy share is of a worker in this process, on real Postgres, with a renderer that does nothing
for two seconds and links to the store of 25 MB/s each way. The latency is of the shipped commands,
from DELETE until the simulator has nothing to do.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.api import KEY
from bench.measuring import free_port, process
from genjobs import bootstrap
from genjobs.adapters.local.artifact_store import DirectoryArtifactStore
from genjobs.bootstrap import Adapters
from genjobs.domain.artifacts import ArtifactKey, StoredFile
from genjobs.domain.ids import ExecutionId, TenantId
from genjobs.domain.job import Progress
from genjobs.domain.media import MediaKind
from genjobs.domain.ports import EngineFile, Rendered, StopSignal
from genjobs.domain.tenancy import Owner
from genjobs.domain.workflow import Workflow
from genjobs.gpu.keeping import ForeignEngine
from genjobs.settings import DEFAULT_TENANT, Settings
from genjobs.testing import a_new_job
from genjobs.testing.contracts.engine import sampling

FILE_BYTES = 20_000_000
LINK_BYTES_PER_SECOND = 25_000_000
RENDER_SECONDS = 2.0
JOBS = 12
SERIAL_JOBS = 4
CANCELS = 25
#: What the simulator takes for a step of its own, before which it sees no interrupt.
STEP_SECONDS = 0.05
_CHUNK = bytes(1024 * 1024)


@dataclass(slots=True)
class Link:
    """One direction of a connection, shared by all who use it."""

    free_at: float = 0.0

    async def carry(self, amount: int) -> None:
        """Take as long as so many bytes take."""
        now = time.perf_counter()
        self.free_at = max(self.free_at, now) + amount / LINK_BYTES_PER_SECOND
        await asyncio.sleep(self.free_at - now)

    async def throttled(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            await self.carry(len(chunk))
            yield chunk


class FarStore(DirectoryArtifactStore):
    """A store at the other end of a link."""

    down: Link
    up: Link

    async def put(
        self, key: ArtifactKey, chunks: AsyncIterator[bytes], *, content_type: str
    ) -> StoredFile:
        return await super().put(key, self.up.throttled(chunks), content_type=content_type)

    @asynccontextmanager
    async def read(
        self, key: ArtifactKey, *, start: int = 0, length: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async with super().read(key, start=start, length=length) as chunks:
            yield self.down.throttled(chunks)


@dataclass(slots=True)
class IdleEngine:
    """Renders by waiting, one at a time as ComfyUI does, and notes when."""

    renders: list[tuple[float, float]] = field(default_factory=list)

    async def stage(
        self, execution_id: ExecutionId, filename: str, chunks: AsyncIterator[bytes]
    ) -> str:
        async for _ in chunks:
            pass
        return filename

    async def render(
        self,
        execution_id: ExecutionId,
        workflow: Workflow,
        files: Mapping[str, str],
        *,
        on_progress: Callable[[Progress], None],
        stop: StopSignal,
    ) -> Rendered:
        begun = time.perf_counter()
        await asyncio.sleep(RENDER_SECONDS)
        self.renders.append((begun, time.perf_counter()))
        file = EngineFile(node_id="9", name="a.bin", reference={}, kind=MediaKind.FILE)
        return Rendered(outputs=(file,))

    @asynccontextmanager
    async def read(self, file: EngineFile) -> AsyncIterator[AsyncIterator[bytes]]:
        yield _zeros(FILE_BYTES)

    async def settle(self, execution_id: ExecutionId) -> None:
        return

    async def discard(self, execution_id: ExecutionId) -> None:
        return

    async def check(self) -> None:
        return


async def _zeros(amount: int) -> AsyncIterator[bytes]:
    while amount > 0:
        yield _CHUNK[: min(amount, len(_CHUNK))]
        amount -= len(_CHUNK)


class _Bench(Adapters):
    """The real adapters around an idle engine and a store that is far away."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        super().__init__(settings, stack)
        self.idle = IdleEngine()

    async def engine(self) -> IdleEngine:
        return self.idle

    async def keeper(self) -> ForeignEngine:
        return ForeignEngine(self.idle.check)

    async def artifacts(self) -> FarStore:
        def make() -> FarStore:
            root = self.settings.data_directory / "artifacts"
            store = FarStore(root, signing_key=b"k" * 32, base_url="http://bench.test")
            store.down, store.up = Link(), Link()
            return store

        return self._once("far_store", make)


async def busy_share(data: Path, *, places: int, jobs: int) -> float:
    """Return the share of time that a worker with so many places keeps its renderer busy."""
    settings = Settings(data_directory=data, worker_places=places)
    async with AsyncExitStack() as stack:
        adapters = _Bench(settings, stack)
        store, worker = await adapters.jobs(), await bootstrap.build_worker(adapters)
        owner = Owner(tenant_id=TenantId(DEFAULT_TENANT), user_id="bench")
        far, clock = await adapters.artifacts(), adapters.clock()
        for _ in range(jobs):
            new = a_new_job(
                owner, at=clock.now(), inputs=["p.bin"], job_id=adapters.ids().uuid7(clock.now())
            )
            # Past the link: what is measured begins with a job that waits.
            content = _zeros(FILE_BYTES)
            await DirectoryArtifactStore.put(far, new.inputs[0].key, content, content_type="x/y")
            await store.create(new)
        shutdown = asyncio.Event()
        working = asyncio.create_task(worker.run(shutdown))
        async with asyncio.timeout(jobs * 10 + 60):
            while len(adapters.idle.renders) < jobs:
                await asyncio.sleep(0.05)
        shutdown.set()
        await working
        renders = adapters.idle.renders
        return sum(end - begun for begun, end in renders) / (renders[-1][1] - renders[0][0])


async def latencies(data: Path, settings: dict[str, str], *, direct: bool) -> list[float]:
    """Return the seconds from each DELETE until the simulator has nothing to do."""
    port, comfyui = free_port(), free_port()
    url, folder = f"http://127.0.0.1:{comfyui}", data / "comfyui-bench"
    simulator = ("-m", "genjobs.simulator", str(comfyui), str(folder))
    serve = ("-m", "genjobs", "serve", "--no-worker", "--no-supervisor", "--port", str(port))
    ours = {
        **settings,
        "GENJOBS_COMFYUI_URL": url,
        "GENJOBS_COMFYUI_DIRECTORY": str(folder),
        "GENJOBS_DIRECT_NOTICES": str(direct).lower(),
    }
    auth = {"Authorization": f"Bearer {KEY}"}
    async with (
        process(*simulator, port=comfyui, **settings),
        process(*serve, port=port, **ours),
        process("-m", "genjobs", "worker", port=comfyui, **ours),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=auth) as http,
        httpx.AsyncClient(base_url=url) as engine,
    ):
        http.params = http.params.merge({"user_id": "bench"})
        return [await _one_cancel(http, engine, number) for number in range(CANCELS + 1)][1:]


async def _one_cancel(http: httpx.AsyncClient, engine: httpx.AsyncClient, number: int) -> float:
    document = {"user_id": "bench", "workflow": sampling(200, rounds=10)}
    made = (await http.post("/v1/jobs", json=document)).raise_for_status().json()
    while True:
        progress = (await http.get(f"/v1/jobs/{made['id']}")).json()["progress"]
        if progress and progress["step"]:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.1 + 0.037 * (number % 14))  # not always at the same time after a beat
    begun = time.perf_counter()
    (await http.delete(f"/v1/jobs/{made['id']}")).raise_for_status()
    while (await engine.get("/queue")).json()["queue_running"]:
        await asyncio.sleep(0.002)
    seconds = time.perf_counter() - begun
    while (await http.get(f"/v1/jobs/{made['id']}")).json()["status"] != "cancelled":
        await asyncio.sleep(0.02)
    return seconds


async def rows(data: Path, settings: dict[str, str]) -> list[dict[str, Any]]:
    """Measure and print both rows."""
    folders = [data / name for name in ("pipeline", "serial", "direct", "heartbeat")]
    for folder in folders:
        folder.mkdir(mode=0o755)
    share = await busy_share(folders[0], places=3, jobs=JOBS)
    serial = await busy_share(folders[1], places=1, jobs=SERIAL_JOBS)
    print(f"{'renderer busy':22} {share:9.3f} of 1, a serial worker {serial:.3f}")
    direct, beats = [
        await latencies(
            folder, {**settings, "GENJOBS_DATA_DIRECTORY": str(folder)}, direct=is_direct
        )
        for folder, is_direct in ((folders[2], True), (folders[3], False))
    ]
    for name, found in (("direct notice", direct), ("heartbeat only", beats)):
        p50, p95 = statistics.median(found), _p95(found)
        print(f"DELETE to idle, {name:14} p50 {p50:.3f} s  p95 {p95:.3f} s  max {max(found):.3f} s")
    return [
        _row("renderer busy share", share, "share", 1.0, share, 0.95),
        _row(
            "cancel latency",
            _p95(direct),
            "s",
            0.5,
            0.5 / max(_p95(direct) - STEP_SECONDS, 0.001),
            1.0,
        ),
    ]


def _p95(found: list[float]) -> float:
    return statistics.quantiles(found, n=20)[-1]


def _row(
    name: str, value: float, unit: str, reference: float, ratio: float, goal: float
) -> dict[str, Any]:
    met = "met" if ratio >= goal else "MISSED"
    print(f"{name:22} {value:9.3f} {unit:9} ratio {ratio:.2f}  goal {goal} {met}")
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "reference": reference,
        "ratio": ratio,
        "goal": goal,
    }


async def alone() -> None:
    """Measure these rows only: ``python -m bench.pipeline``."""
    with tempfile.TemporaryDirectory(prefix="genjobs-bench-") as folder:
        data = Path(folder)
        data.chmod(0o755)
        limits = json.dumps({"submits_per_second": None, "submit_burst": None, "max_queued": None})
        given = {"GENJOBS_API_KEY": KEY, "GENJOBS_LOG_JSON": "true", "GENJOBS_USER_LIMITS": limits}
        await rows(data, given)


if __name__ == "__main__":
    asyncio.run(alone())
