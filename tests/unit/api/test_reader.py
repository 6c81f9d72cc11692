"""The API that only reads: every route of the whole one is asked of it, with every credential."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from genjobs.domain.tenancy import Owner, Scope
from genjobs.testing import a_key_record, a_key_text, a_tenant_id, a_workflow, open_harness
from genjobs.testing.harness import Harness
from genjobs.testing.site_keys import SiteKey, a_site_key
from tests.arrangements import MemoryArrangement
from tests.routes import DOCUMENTS, routes_of

BASE = "http://genjobs.test"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
READS = {
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job_id}"),
    ("GET", "/v1/jobs/{job_id}/outputs/{output_id}"),
}
PROBES = {("GET", "/health"), ("GET", "/livez"), ("GET", "/readyz")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Two users' finished jobs, the site's key for tokens, and both APIs."""

    harness: Harness
    signs: SiteKey
    jobs: dict[str, str]
    key: str

    def client(self, app: FastAPI, credential: str | None = None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers)

    def token(self, user_id: str = "u_1", scope: str = "jobs:read") -> str:
        now = self.harness.clock.now()
        return self.signs.token(now, sub=user_id, scope=scope)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_harness() as harness:
        arrange, tenant, text = MemoryArrangement(harness.jobs), a_tenant_id(), a_key_text("site")
        await arrange.add_key(a_key_record(text, tenant))
        signs = a_site_key(tenant, scopes=frozenset(Scope))
        await arrange.add_issuer_key(signs.public)
        await arrange.set_plan(tenant, "web", browser_writes=True)
        jobs = {}
        site = Site(harness=harness, signs=signs, jobs=jobs, key=text.reveal())
        async with site.client(harness.api, site.key) as http:
            for user in ("u_1", "u_2"):
                await arrange.assign(Owner(tenant_id=tenant, user_id=user), "web")
                body = {"user_id": user, "workflow": a_workflow()}
                jobs[user] = (await http.post("/v1/jobs", json=body)).json()["id"]
                assert await harness.run_one()
        yield site


async def test_end_user_reads_their_jobs_and_goes_to_their_outputs(site: Site) -> None:
    job_id = site.jobs["u_1"]
    async with site.client(site.harness.reader, site.token()) as http:
        page = (await http.get("/v1/jobs")).json()
        assert [job["id"] for job in page["data"]] == [job_id]
        job = await http.get(f"/v1/jobs/{job_id}")
        assert job.json()["status"] == "completed"
        again = await http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": job.headers["etag"]})
        assert again.status_code == 304
        [output] = job.json()["outputs"]
        there = await http.get(f"/v1/jobs/{job_id}/outputs/{output['id']}")
        assert there.status_code == 302
        assert there.headers["location"].startswith("http")
        other = site.jobs["u_2"]
        for path in (f"/v1/jobs/{other}", f"/v1/jobs/{other}/outputs/{output['id']}"):
            assert (await http.get(path)).status_code == 404
        assert (await http.get("/v1/jobs", params={"user_id": "u_2"})).status_code == 404


async def test_token_that_genjobs_signed_is_read_as_well(site: Site) -> None:
    async with site.client(site.harness.api, site.key) as http:
        token = (await http.post("/v1/tokens", json={"user_id": "u_1"})).json()["token"]
    async with site.client(site.harness.reader, token) as http:
        assert len((await http.get("/v1/jobs")).json()["data"]) == 1


@pytest.mark.parametrize("scopes", [frozenset(), *(frozenset({one}) for one in Scope), None])
async def test_tenants_keys_are_refused_like_what_is_no_key(
    site: Site, scopes: frozenset[Scope] | None
) -> None:
    tenant, text = a_tenant_id(), a_key_text("other")
    record = a_key_record(text, tenant, *(frozenset(Scope) if scopes is None else scopes))
    await MemoryArrangement(site.harness.jobs).add_key(record)
    same = {"X-Request-Id": "the-same-request-id"}
    answers = set()
    for credential in (text.reveal(), a_key_text("nobody").reveal(), "gj_x", "x", site.key):
        async with site.client(site.harness.reader, credential) as http:
            for path in ("/v1/jobs?user_id=u_1", f"/v1/jobs/{site.jobs['u_1']}?user_id=u_1"):
                answer = await http.get(path, headers=same)
                answers.add((answer.status_code, answer.content))
    assert len(answers) == 1
    assert answers.pop()[0] == 401


async def test_nothing_but_reads_of_jobs_and_probes_is_there(site: Site) -> None:
    served = {(route.method, route.path) for route in routes_of(site.harness.reader)}
    assert {one for one in served if one[1] not in DOCUMENTS} == READS | PROBES
    assert {route.scope for route in routes_of(site.harness.reader)} == {None, Scope.JOBS_READ}


async def test_no_route_of_the_whole_api_does_anything_else_here(site: Site) -> None:
    job_id = site.jobs["u_1"]
    paths = {route.path: route for route in routes_of(site.harness.api)}
    assert len(paths) >= 12
    before = await state(site)
    for credential in (None, site.key, site.token(), site.token(scope="jobs:read jobs:write")):
        async with site.client(site.harness.reader, credential) as http:
            for path, route in paths.items():
                if path in DOCUMENTS:
                    continue
                for method in METHODS:
                    answer = await http.request(
                        method,
                        route.filled(job_id=job_id),
                        params={"user_id": "u_1"},
                        content=b'{"user_id": "u_1", "workflow": {}}',
                        headers={"Content-Type": "application/json"},
                    )
                    where = (method, path, answer.status_code, answer.text)
                    if (method, path) in READS:
                        assert answer.status_code in {200, 401, 404}, where
                    elif (method, path) in PROBES:
                        assert answer.status_code == 200, where
                    elif path in {one[1] for one in READS | PROBES}:
                        assert answer.status_code == 405, where
                    else:
                        assert answer.status_code == 404, where
    assert await state(site) == before


async def state(site: Site) -> object:
    """Return all that is stored, as text."""
    jobs = site.harness.jobs
    return repr(sorted(map(repr, jobs.rows.items()))), repr(jobs.tenants.keys)


async def test_document_names_what_is_served_and_who_is_let_in(site: Site) -> None:
    async with site.client(site.harness.reader) as http:
        document = (await http.get("/openapi.json")).json()
    named = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert named == READS | PROBES
    assert document["components"]["securitySchemes"]["bearer"]["description"] == (
        "A token of an end user"
    )
    assert not {"JobCreate", "TokenCreate", "UploadCreate"} & set(document["components"]["schemas"])


async def test_pages_of_named_origins_may_read_and_nothing_more() -> None:
    asked = {"Origin": "https://site.test", "Access-Control-Request-Headers": "authorization"}
    async with open_harness(cors_origins=["https://site.test"]) as harness:
        transport = httpx.ASGITransport(app=harness.reader)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            for method, status in (("GET", 200), ("POST", 400), ("DELETE", 400), ("PUT", 400)):
                headers = {**asked, "Access-Control-Request-Method": method}
                answer = await http.options("/v1/jobs", headers=headers)
                assert answer.status_code == status, method
