"""
The APIs in Modal's own container process: a submit and the call it makes; end users' reads.

The reader is told no more than its secret must hold.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genjobs.settings.deployment import WORKER
from genjobs.testing import a_key_record, a_key_text, a_tenant_id, a_workflow
from genjobs.testing.site_keys import a_site_key
from tests.arrangements import PostgresArrangement
from tests.deploy.container import running
from tests.deploy.plane import Plane, Served
from tests.deploy.test_modal_app import environment_of
from tests.postgres import Database


async def answer(served: Served, call_id: str, *request: Any) -> tuple[int, dict[str, Any]]:
    """Send a request and return status and JSON body of its answer."""
    served.tell(served.plane.request, call_id, *request)
    messages: list[dict[str, Any]] = []
    async with asyncio.timeout(40):
        while not messages or messages[-1].get("more_body", True):
            await asyncio.sleep(0.05)
            messages = list(served.plane.messages.get(call_id, []))
    body = b"".join(message.get("body", b"") for message in messages)
    return messages[0]["status"], json.loads(body)


async def test_api_serves_and_calls_for_what_is_submitted(
    database: Database, served: Served, deployment: Plane, tmp_path: Path
) -> None:
    served.plane.adopt(deployment)
    tenant, key = a_tenant_id(), a_key_text("api")
    await database.make_tenant(tenant)
    await PostgresArrangement(database).add_key(a_key_record(key, tenant))
    settings = {
        "GENJOBS_DATABASE_URL": database.api,
        "GENJOBS_WORKER_DATABASE_URL": database.worker,
        "GENJOBS_ARTIFACTS_URL": f"file:{tmp_path / 'artifacts'}",
        "GENJOBS_DATA_DIRECTORY": str(tmp_path / "data"),
        "GENJOBS_DISPATCH_URL": f"modal://genjobs/{WORKER}",
        "GENJOBS_LOG_JSON": "true",
    }
    async with running(served, tmp_path, settings, "api") as process:
        try:
            status, ready = await answer(served, "fc-web-1", "GET", "/readyz", {}, b"")
            assert status == 200, ready
            headers = {
                "Authorization": f"Bearer {key.reveal()}",
                "Content-Type": "application/json",
            }
            body = json.dumps({"user_id": "u_1", "workflow": a_workflow()}).encode()
            status, job = await answer(served, "fc-web-2", "POST", "/v1/jobs", headers, body)
            assert (status, job["status"]) == (202, "queued")
            async with asyncio.timeout(20):
                while not (calls := set(served.plane.spawned) - {"fc-web-1", "fc-web-2"}):
                    await asyncio.sleep(0.05)
            assert len(calls) == 1
            served.tell(served.plane.bring, "", served.plane.layout["api"])
            await asyncio.wait_for(process.wait(), 20)
        except BaseException:
            print((tmp_path / "container.log").read_text()[-8000:])
            raise
    assert process.returncode == 0
    kept = await database.execute("SELECT call_id FROM genjobs.slots WHERE job_id IS NOT NULL")
    assert [row["call_id"] for row in kept] == list(calls)
    assert "Warning" not in (tmp_path / "container.log").read_text()


async def test_reader_reads_for_tokens_of_sites_with_nothing_but_the_apis_role(
    database: Database, served: Served, behind_proxy_auth: Plane, tmp_path: Path
) -> None:
    served.plane.adopt(behind_proxy_auth)
    tenant, key = a_tenant_id(), a_key_text("api")
    await database.make_tenant(tenant)
    arrange, site = PostgresArrangement(database), a_site_key(tenant)
    await arrange.add_key(a_key_record(key, tenant))
    await arrange.add_issuer_key(site.public)
    told = environment_of(served.plane, served.plane.function("reader"))
    settings = {
        **told,
        "GENJOBS_DATABASE_URL": database.api,
        "GENJOBS_ARTIFACTS_URL": "r2://account/bucket",
        "GENJOBS_R2_ACCESS_KEY_ID": "id",
        "GENJOBS_R2_SECRET_ACCESS_KEY": "secret",
    }
    token = site.token(datetime.now(UTC))
    asked = (
        ("GET", "/livez", "", 200),
        ("GET", "/v1/jobs", token, 200),
        ("GET", "/v1/jobs", key.reveal(), 401),
        ("POST", "/v1/jobs", token, 405),
        ("POST", "/v1/tokens", key.reveal(), 404),
    )
    async with running(served, tmp_path, settings, "reader") as process:
        try:
            for number, (method, path, credential, status) in enumerate(asked):
                headers = {"Authorization": f"Bearer {credential}"}
                request = (method, path, headers, b"", "reader")
                found, body = await answer(served, f"fc-web-{number}", *request)
                assert found == status, (method, path, body)
                if path == "/v1/jobs" and status == 200:
                    assert body == {"data": [], "has_more": False, "next_cursor": None}
            served.tell(served.plane.bring, "", served.plane.layout["reader"])
            await asyncio.wait_for(process.wait(), 20)
        except BaseException:
            print((tmp_path / "container.log").read_text()[-8000:])
            raise
    assert process.returncode == 0
    assert "Warning" not in (tmp_path / "container.log").read_text()
