"""
The floors of the API: bare FastAPI routes over asyncpg, one statement each on the same tables.

No authentication, no validation, no row security (it is the owner), no problem documents, no
signing; run as a process of its own. ``/jobs`` inserts plainly, without limits or counts;
``/limited`` runs the statement that the API runs.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import uvicorn
from fastapi import FastAPI, Request

from genjobs.adapters.postgres.job_store import _CREATE as _CREATE_LIMITED
from genjobs.adapters.postgres.limits import dump_limits
from genjobs.adapters.postgres.pool import connect_arguments
from genjobs.adapters.postgres.rows import JOB_COLUMNS
from genjobs.domain.ids import uuid7
from genjobs.domain.plans import Limits

_CREATE = """
WITH job AS (
    INSERT INTO genjobs.jobs (tenant_id, id, user_id, status, eligible, eligible_at, not_before,
        priority, created_at, queue_deadline, queue_timeout, run_timeout, retention, inputs, metadata)
    VALUES ($1, $3, $2, 'queued', true, $5, $5, 0, $5, $5::timestamptz + $6::interval, $6, $7, $8,
        '[]', '{}')
    RETURNING tenant_id, id
)
INSERT INTO genjobs.workflows (tenant_id, job_id, document) SELECT tenant_id, id, $4 FROM job
"""
_UNLIMITED = dump_limits(Limits(submits_per_second=1e6, submit_burst=10**6, max_queued=10**7))
_GET = f"""
SELECT {JOB_COLUMNS}, queue_position FROM genjobs.job_views
WHERE tenant_id = $1 AND id = $2 AND user_id = $3
"""


def make_app(url: str, tenant: uuid.UUID) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(**connect_arguments(url), max_size=10) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/jobs")
    async def create(request: Request) -> dict[str, str]:
        body = await request.json()
        now = datetime.now(UTC)
        job_id = uuid7(now, uuid.uuid4().int >> 54)
        await request.app.state.pool.fetch(
            _CREATE,
            tenant,
            body["user_id"],
            job_id,
            json.dumps(body["workflow"]).encode(),
            now,
            *(timedelta(minutes=30), timedelta(minutes=10), timedelta(days=7)),
        )
        return {"id": str(job_id), "status": "queued"}

    @app.post("/limited")
    async def create_limited(request: Request) -> dict[str, str]:
        body = await request.json()
        now = datetime.now(UTC)
        job_id = uuid7(now, uuid.uuid4().int >> 54)
        document = json.dumps(body["workflow"]).encode()
        await request.app.state.pool.fetch(
            _CREATE_LIMITED,
            *(tenant, body["user_id"], job_id, document, "[]", 0, "{}", now),
            *(timedelta(minutes=30), timedelta(minutes=10), False, timedelta(days=7), False),
            *(None, None, timedelta(days=1), None, None, None, 0, _UNLIMITED, _UNLIMITED, None),
        )
        return {"id": str(job_id), "status": "queued"}

    @app.get("/jobs/{job_id}")
    async def get(request: Request, job_id: uuid.UUID, user_id: str) -> dict[str, object]:
        rows = await request.app.state.pool.fetch(_GET, tenant, job_id, user_id)
        return {"id": str(rows[0]["id"]), "status": rows[0]["status"]}

    return app


if __name__ == "__main__":
    uvicorn.run(
        make_app(sys.argv[1], uuid.UUID(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[3]),
        log_level="warning",
        access_log=False,
    )
