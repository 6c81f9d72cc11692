"""A whole genjobs on real parts, with a server in the place of the Internet."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import httpx
import trustme
from PIL import Image

from genjobs import bootstrap
from genjobs.adapters.safe_fetch import FetchLimits, SafeFetcher
from genjobs.api.app import create_app
from genjobs.api.context import ApiContext
from genjobs.bootstrap import Adapters, api_key
from genjobs.domain.errors import EngineFailed
from genjobs.domain.ports import WorkflowEngine
from genjobs.settings import Settings
from genjobs.testing import a_key_text
from tests.attack_server import AttackServer, Network, attack_server
from tests.documented import documented
from tests.postgres import Database


class OutsideWorld(Adapters):
    """The production adapters, on a network of the test's own."""

    network: Network

    def fetcher(self) -> SafeFetcher:
        """Return the real fetcher with resolver and dialer of the test's network."""
        return SafeFetcher(
            resolver=self.network,
            dialer=self.network,
            limits=FetchLimits(connect=2, head=3, window=1, total=5),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running genjobs and the server that customers' URLs lead to."""

    http: httpx.AsyncClient
    server: AttackServer
    network: Network
    data: Path
    #: What the worker renders with.
    engine: WorkflowEngine

    async def submit(self, workflow: object, user_id: str = "u_1", **urls: str) -> httpx.Response:
        """Submit a workflow with media by URL, named as the keywords."""
        media = [{"name": f"{name}.png", "url": url} for name, url in urls.items()]
        body = {"user_id": user_id, "workflow": workflow, "media": media}
        return await self.http.post("/v1/jobs", json=body)

    async def final(self, job_id: str, user_id: str = "u_1") -> dict[str, object]:
        """Return the job once it is final."""
        async with asyncio.timeout(60):
            while True:
                answer = await self.http.get(f"/v1/jobs/{job_id}", params={"user_id": user_id})
                job: dict[str, object] = answer.json()
                if job["status"] in {"completed", "failed", "cancelled"}:
                    return job
                await asyncio.sleep(0.05)

    async def pictures(self, job: dict[str, object]) -> list[Image.Image]:
        """Return the job's outputs, in their order."""
        outputs: list[dict[str, str]] = job["outputs"]  # type: ignore[assignment]
        contents = [(await self.http.get(output["url"])).content for output in outputs]
        return [Image.open(io.BytesIO(content)) for content in contents]

    async def pixels(self, job: dict[str, object]) -> tuple[int, ...]:
        """Return one pixel of the job's only output."""
        [picture] = await self.pictures(job)
        pixel = picture.convert("RGB").getpixel((0, 0))
        assert isinstance(pixel, tuple)
        return tuple(int(value) for value in pixel)


@asynccontextmanager
async def open_site(database: Database, folder: Path, **given: object) -> AsyncIterator[Site]:
    """Hold a site; ``given`` are settings."""
    settings = Settings.model_validate(
        {
            "database_url": database.api,
            "worker_database_url": database.worker,
            "owner_database_url": database.owner,
            "data_directory": folder,
            "public_url": "http://genjobs.test",
            "ingest_tries": 1,
            **given,
        }
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("example.com").configure_cert(tls)
    async with AsyncExitStack() as stack:
        server, network = await stack.enter_async_context(attack_server(tls))
        adapters = OutsideWorld(settings, stack)
        adapters.network = network
        await bootstrap.prepare_database(settings, database.owner)
        http = await client_of(adapters, stack)
        worker = await bootstrap.build_worker(adapters)
        ingester = await bootstrap.build_ingester(adapters)
        stop = asyncio.Event()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(stop.set)
        group.create_task(worker.run(stop))
        group.create_task(ingester.run(stop))
        engine = await adapters.engine()
        await _answers(engine)
        yield Site(http=http, server=server, network=network, data=folder, engine=engine)


@asynccontextmanager
async def other_tenant(site: Site, database: Database, tenant_id: UUID) -> AsyncIterator[Site]:
    """Hold what another tenant sees of a site: same worker, same engine, same store of files."""
    settings = Settings.model_validate(
        {
            "database_url": database.api,
            "worker_database_url": database.worker,
            "owner_database_url": database.owner,
            "data_directory": site.data,
            "public_url": "http://genjobs.test",
            "tenant_id": tenant_id,
            "api_key": a_key_text(str(tenant_id)).reveal(),
        }
    )
    async with AsyncExitStack() as stack:
        adapters = OutsideWorld(settings, stack)
        adapters.network = site.network
        await bootstrap.prepare_database(settings, database.owner)
        yield replace(site, http=await client_of(adapters, stack))


async def client_of(adapters: Adapters, stack: AsyncExitStack) -> httpx.AsyncClient:
    """Return a client of the API on these adapters."""
    context: ApiContext = await bootstrap.build_context(adapters)
    app = create_app(lambda: _same(context), version="0")
    app.state.context = context
    return await stack.enter_async_context(
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://genjobs.test",
            headers={"Authorization": f"Bearer {api_key(adapters.settings)}"},
            event_hooks={"response": [documented]},
        )
    )


async def _answers(engine: WorkflowEngine) -> None:
    """Return once the engine, whose process the worker starts, answers."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await engine.check()
            except EngineFailed:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _same(context: ApiContext) -> AsyncIterator[ApiContext]:
    yield context


def inverting(name: str) -> dict[str, object]:
    """Return a workflow that inverts a loaded picture."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }
