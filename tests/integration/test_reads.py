"""Reads of the API on a database that refuses every write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from genjobs import bootstrap
from genjobs.api.app import create_app
from genjobs.api.context import ApiContext
from genjobs.settings import Settings
from genjobs.testing import a_workflow
from tests.postgres import Database


@asynccontextmanager
async def _api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with bootstrap.open_adapters(settings) as adapters:
        context = await bootstrap.build_context(adapters)

        @asynccontextmanager
        async def same() -> AsyncIterator[ApiContext]:
            yield context

        app = create_app(same, version="0")
        app.state.context = context  # in-process transports run no lifespan
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://genjobs.test",
            headers={"Authorization": f"Bearer {bootstrap.api_key(settings)}"},
        ) as http:
            yield http


async def _get(http: httpx.AsyncClient, path: str, **more: dict[str, str]) -> httpx.Response:
    if path.startswith("/v1"):  # a signed link stands no further parameter
        path += f"{'&' if '?' in path else '?'}user_id=u_1"
    return await http.get(path, headers=more.get("headers"))


async def _run(settings: Settings, jobs: int) -> None:
    async with bootstrap.open_worker(settings) as worker:
        for assignment in await worker.ledger.dispatch(now=worker.clock.now(), limit=jobs):
            await worker.run_job(assignment, asyncio.Event())


async def test_every_read_of_the_api_writes_nothing(database: Database, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "database_url": database.api,
            "worker_database_url": database.worker,
            "owner_database_url": database.owner,
            "data_directory": tmp_path,
            "public_url": "http://genjobs.test",
        }
    )
    await bootstrap.prepare_database(settings, database.owner)
    submit = {"user_id": "u_1", "workflow": a_workflow()}
    async with _api(settings) as http:
        done = (await http.post("/v1/jobs", json=submit)).raise_for_status().json()
        await _run(settings, 1)
        waiting = (await http.post("/v1/jobs", json=submit)).raise_for_status().json()
        await http.post("/v1/jobs", json=submit)
        erasure = (await http.delete("/v1/users/u_erased")).headers["Location"]
        # One that is past its queue deadline: a read must not be what fails it.
        await database.execute(
            "UPDATE genjobs.jobs SET queue_deadline = created_at - '1 h'::interval"
        )

    setting = f"ROLE genjobs_api IN DATABASE {database.name}"
    await database.execute(f"ALTER {setting} SET default_transaction_read_only = on")
    try:
        async with _api(settings) as http:
            assert (await http.post("/v1/jobs", json=submit)).status_code == 503
            job = (await _get(http, f"/v1/jobs/{done['id']}")).raise_for_status()
            assert job.json()["status"] == "completed"
            [output] = job.json()["outputs"]
            reads = {
                f"/v1/jobs/{waiting['id']}": 200,
                "/v1/jobs": 200,
                "/v1/jobs?limit=1&status=queued": 200,
                f"/v1/jobs/{done['id']}/outputs/{output['id']}": 302,
                output["url"]: 200,
                "/v1/usage": 200,
                erasure: 200,
                "/v1/jobs/job_00000000000000000000000000": 404,
                "/health": 200,
                "/livez": 200,
                "/readyz": 200,
                "/openapi.json": 200,
            }
            for path, status in reads.items():
                answer = await _get(http, path)
                assert answer.status_code == status, (path, answer.text)
            tagged = {"If-None-Match": job.headers["ETag"]}
            answer = await _get(http, f"/v1/jobs/{done['id']}", headers=tagged)
            assert answer.status_code == 304
            page = (await _get(http, "/v1/jobs?limit=1")).json()
            assert (await _get(http, f"/v1/jobs?cursor={page['next_cursor']}")).is_success
            # Every route that reads is among them.
            routes = (await http.get("/openapi.json")).json()["paths"]
            gets = {path for path, methods in routes.items() if "get" in methods}
            assert gets == {
                "/v1/jobs",
                "/v1/jobs/{job_id}",
                "/v1/jobs/{job_id}/outputs/{output_id}",
                "/v1/usage",
                "/v1/erasures/{erasure_id}",
                *("/health", "/livez", "/readyz"),
                "/files/{key}",
            }
    finally:
        await database.execute(f"ALTER {setting} RESET default_transaction_read_only")
    rows = await database.execute("SELECT DISTINCT status FROM genjobs.jobs ORDER BY 1")
    assert [row["status"] for row in rows] == ["completed", "queued"]
