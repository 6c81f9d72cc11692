"""
The OpenAPI document against a server with real state: schemathesis asks what the document allows.

Real Postgres, worker, ingester, supervisor and a socket. There are jobs in every state, uploads,
erasures; who asks is a tenant's key and, again, an end user's token. Statuses, types, shapes and
headers must be documented, nothing may be a 5xx, and what the document forbids must be refused.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from genjobs.bootstrap import api_key, prepare_database
from genjobs.cli.serving import serve
from genjobs.domain.ids import TenantId
from genjobs.settings import Settings
from genjobs.testing import a_workflow, png_bytes
from genjobs.testing.contracts.engine import loading, sampling
from tests.arrangements import PostgresArrangement
from tests.attack_server import Network
from tests.documented import DOCUMENT, documented
from tests.integration.site import OutsideWorld
from tests.postgres import Database
from tools.docs import ROOT

USER, ERASED = "u_42", "u_2"  # the first as in the document's examples
PICTURE = png_bytes(9, 9)
UPLOAD = {"filename": "photo.png", "content_type": "image/png", "bytes": len(PICTURE)}
FAILING = {
    **a_workflow(),
    "2": {"class_type": "SimulatorFail", "inputs": {"image": ["1", 0], "message": "no"}},
}
#: Not ``positive_data_acceptance``: whether a workflow is allowed no schema can say.
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance", "negative_data_rejection"),
    *("missing_required_header", "unsupported_method", "ignored_auth"),
)

#: How what the document forbids may be answered.
REFUSED = [400, 401, 403, 404, 409, 413, 415, 422, 429]


@dataclass(slots=True, kw_only=True)
class Served:
    url: str
    key: str
    token: str = ""
    jobs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    erasures: list[str] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)


@pytest.fixture
async def served(database: Database, open_folder: Path, closed_port: int) -> AsyncIterator[Served]:
    settings = Settings.model_validate(
        {
            "database_url": database.api,
            "worker_database_url": database.worker,
            "owner_database_url": database.owner,
            "data_directory": open_folder,
            "user_limits": {"submits_per_second": None, "submit_burst": None, "max_queued": None},
            "stop_seconds": 0.5,
            "requests_per_second": 1e6,
            "user_requests_per_second": 1e6,
        }
    )
    await prepare_database(settings, database.owner)
    listening: asyncio.Future[tuple[str, asyncio.Event]] = (
        asyncio.get_running_loop().create_future()
    )

    def adapters(*arguments: Any) -> OutsideWorld:
        opened = OutsideWorld(*arguments)
        opened.network = Network(port=closed_port, tls_port=closed_port)
        return opened

    serving = asyncio.create_task(
        serve(
            settings,
            **{"host": "127.0.0.1", "port": 0, "worker": True, "supervisor": True},
            ingester=True,
            ready=lambda url, stop: listening.set_result((url, stop)),
            adapters=adapters,
        )
    )
    await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
    url, stop = listening.result()
    try:
        yield await with_state(database, settings, url)
    finally:
        stop.set()
        await serving


async def with_state(database: Database, settings: Settings, url: str) -> Served:
    """Make jobs in every state, and what else there is."""
    key, arrange = api_key(settings), PostgresArrangement(database)
    tenant = TenantId(settings.tenant_id)
    await arrange.set_plan(tenant, "web", browser_writes=True)
    found = Served(url=url, key=key)
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        event_hooks={"response": [documented]},
        trust_env=False,
    ) as http:

        async def ask(method: str, path: str, status: int, **parts: Any) -> dict[str, Any]:
            answer = await http.request(method, path, **parts)
            assert answer.status_code == status, answer.text
            body: dict[str, Any] = answer.json()
            return body

        async def submit(user: str, workflow: object, *media: dict[str, str]) -> str:
            body = {"user_id": user, "workflow": workflow, "media": media, "plan": "web"}
            made = await ask("POST", "/v1/jobs", 202, json=body)
            found.jobs.append(made["id"])
            return str(made["id"])

        async def reaches(job_id: str, status: str) -> dict[str, Any]:
            async with asyncio.timeout(30):
                while (job := await ask("GET", f"/v1/jobs/{job_id}", 200))["status"] != status:
                    await asyncio.sleep(0.05)
            return job

        upload = await ask("POST", "/v1/uploads", 201, json={**UPLOAD, "user_id": USER})
        unused = await ask("POST", "/v1/uploads", 201, json={**UPLOAD, "user_id": USER})
        found.uploads.extend((upload["id"], unused["id"]))
        put = await http.put(upload["url"], content=PICTURE, headers=upload["headers"])
        assert put.status_code == 200
        photo = {"name": "photo.png", "upload_id": upload["id"]}
        done = await reaches(await submit(USER, loading(), photo), "completed")
        found.outputs.append(done["outputs"][0]["id"])
        await reaches(await submit(USER, FAILING), "failed")
        gone = await submit(USER, a_workflow())
        await reaches(gone, "completed")
        erased = await ask("POST", f"/v1/jobs/{gone}/erase", 202, params={"user_id": USER})
        found.erasures.append(erased["id"])
        other = await submit(ERASED, a_workflow())
        await reaches(other, "completed")
        erased = await ask("DELETE", f"/v1/users/{ERASED}", 202)
        found.erasures.append(erased["id"])

        await reaches(await submit(USER, sampling(200, rounds=20)), "running")
        await submit(USER, loading(), {"name": "photo.png", "url": "http://example.com/p.png"})
        waiting = [await submit(USER, sampling(200, rounds=20)) for _ in range(9)]
        await ask("DELETE", f"/v1/jobs/{waiting[-1]}", 200)
        page = await ask("GET", "/v1/jobs", 200, params={"limit": 2, "user_id": USER})
        found.cursors.append(page["next_cursor"])
        wanted = {"user_id": USER, "scopes": ["jobs:read", "jobs:write"]}
        found.token = (await ask("POST", "/v1/tokens", 201, json=wanted))["token"]
    return found


def configuration(served: Served) -> str:
    """Return what tells schemathesis of the state and of the checks."""
    values = {
        "users": [USER],
        "jobs": served.jobs,
        "outputs": served.outputs,
        "uploads": served.uploads,
        "erasures": served.erasures,
        "cursors": served.cursors,
    }
    lines = []
    for name, found in values.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(found)}"]
    lines.append("[parameters]")
    bound = {
        **{"path.job_id": "jobs", "path.output_id": "outputs", "path.erasure_id": "erasures"},
        **{"query.user_id": "users", "query.cursor": "cursors"},
        **{"body.user_id": "users", "body.media[*].upload_id": "uploads"},
    }
    for where, name in bound.items():
        lines.append(f'"{where}" = {{ dictionary = "{name}", probability = 0.7 }}')
    # What must be hit: guesses would seldom name a job together with one of its outputs.
    fixed = {
        "jobs_output": {"path.job_id": served.jobs[0], "path.output_id": served.outputs[0]},
        "jobs_cancel_post": {"path.job_id": served.jobs[-2]},
        "jobs_erase": {"path.job_id": served.jobs[1]},
        "users_erase": {"path.user_id": ERASED},
    }
    for operation, parameters in fixed.items():
        lines += ["[[operations]]", f'include-operation-id = "{operation}"']
        lines += ["[operations.parameters]"]
        lines += [f'"{where}" = "{value}"' for where, value in parameters.items()]
    lines += [
        "[checks]",
        "enabled = false",
    ]
    for check in CHECKS:
        lines += [f"[checks.{check}]", "enabled = true"]
        if check == "negative_data_rejection":
            lines.append(f"expected-statuses = {json.dumps(REFUSED)}")
    return "\n".join(lines) + "\n"


async def fuzz(served: Served, folder: Path, credential: str, *options: str) -> str:
    """Run schemathesis; fails with what it says when it finds anything."""
    (folder / "schemathesis.toml").write_text(configuration(served))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(folder / "schemathesis.toml"), "run", str(ROOT / "openapi.json")),
        *("--url", served.url, "--header", f"Authorization: Bearer {credential}"),
        *("--request-timeout", "30", "--generation-database", "none", "--no-color", *options),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    said = out.decode()
    assert process.returncode == 0, said
    return said


def reached(logged: list[MutableMapping[str, Any]]) -> set[str]:
    """Return the operations that were answered with what was asked for."""
    return {
        f"{entry['method']} {entry['route']}"
        for entry in logged
        if entry["event"] == "api.request" and entry["status"] < 400
    }


#: What a key may do; signed URLs are not guessed (``tests/unit/api/test_files.py``).
ALL = {
    f"{method.upper()} {path}"
    for path, operations in DOCUMENT["paths"].items()
    if not path.startswith("/files/")
    for method in operations
}
NO_TOKEN = {
    *("DELETE /v1/users/{user_id}", "POST /v1/jobs/{job_id}/erase"),
    *("GET /v1/erasures/{erasure_id}", "POST /v1/tokens"),
}


async def test_key_gets_only_what_is_documented(served: Served, tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        await fuzz(served, tmp_path, served.key, *("--phases", "examples,coverage", "--seed", "1"))
    assert reached(logged) == ALL


@pytest.mark.slow
@pytest.mark.parametrize("who", ["key", "token"])
async def test_everybody_gets_only_what_is_documented_whatever_is_asked(
    served: Served, tmp_path: Path, who: str
) -> None:
    credential = served.key if who == "key" else served.token
    with structlog.testing.capture_logs() as logged:
        await fuzz(served, tmp_path, credential, "--max-examples", "150")
    assert reached(logged) == (ALL if who == "key" else ALL - NO_TOKEN)
