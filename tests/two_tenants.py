"""
Everything that a user of tenant A asked for, asked again by those to whom none of it belongs.

Subclass with a fixture ``world``.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from genjobs.domain.tenancy import Owner, Scope
from genjobs.testing import a_workflow, png_bytes
from genjobs.testing.contracts.engine import loading
from tests.worlds import BASE, World

USER, OTHER_USER = "u_1", "u_2"
MARK = "mark-of-tenant-a"
SAME_ID = {"X-Request-Id": "the-same-request-id"}
MISSING_JOB = "job_01kb3v9m2xf0wtq7m8e5n4d3rc"
MISSING_UPLOAD = "upl_01kb3v9m2xf0wtq7m8e5n4d3rc"
MISSING_OUTPUT = "out_01kb3v9m2xf0wtq7m8e5n4d3rc"
PICTURE = {"name": "photo.png", "data": base64.b64encode(png_bytes()).decode()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it was sent."""

    name: str
    method: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None

    async def send(self, http: httpx.AsyncClient, **changes: Any) -> httpx.Response:
        """Send it, with another path, other parameters, headers or body if they are given."""
        return await http.request(
            self.method,
            changes.get("path", self.path),
            params=changes.get("params", self.params),
            headers={**changes.get("headers", self.headers), **SAME_ID},
            json=changes.get("body", self.body),
        )

    @property
    def names_a_job(self) -> bool:
        """Whether one job is named."""
        return self.path.startswith("/v1/jobs/")


@dataclass(slots=True, kw_only=True)
class Recording:
    """What A's user asked for, and every text of the answers that is nobody else's business."""

    asked: list[Asked] = field(default_factory=list)
    secrets: set[str] = field(default_factory=lambda: {MARK})
    job_id: str = ""
    output_id: str = ""
    queued_id: str = ""
    upload_id: str = ""


async def record(world: World, http: httpx.AsyncClient) -> Recording:
    """Ask for everything there is, as user u_1 of tenant A."""
    recording = Recording()
    user = {"user_id": USER}

    async def ask(name: str, method: str, path: str, status: int, **parts: Any) -> httpx.Response:
        asked = Asked(name=name, method=method, path=path, **parts)
        recording.asked.append(asked)
        answer = await asked.send(http)
        assert answer.status_code == status, (name, answer.text)
        return answer

    key = {"Idempotency-Key": "order-1"}
    body = {**user, "workflow": loading(), "media": [PICTURE], "metadata": {"order": MARK}}
    world.engine.script.outputs = {f"{MARK}.png": png_bytes(9, 9)}
    made = (await ask("submit", "POST", "/v1/jobs", 202, headers=key, body=body)).json()
    await ask("replay", "POST", "/v1/jobs", 202, headers=key, body=body)
    other = {**user, "workflow": a_workflow(), "metadata": {"order": MARK}}
    await ask("mismatch", "POST", "/v1/jobs", 422, headers=key, body=other)
    path = made["urls"]["self"]
    await ask("get queued", "GET", path, 200, params=user)
    await world.run_one()
    done = await ask("get completed", "GET", path, 200, params=user)
    fresh = {"If-None-Match": done.headers["etag"]}
    await ask("get unchanged", "GET", path, 304, params=user, headers=fresh)
    await ask("get any", "GET", path, 304, params=user, headers={"If-None-Match": "*"})
    [output] = done.json()["outputs"]
    outputs = f"{path}/outputs/{output['id']}"
    redirect = await ask("output", "GET", outputs, 302, params=user)

    ids = [made["id"]]
    for name in ("second", "third", "fourth"):
        answer = await ask(f"submit {name}", "POST", "/v1/jobs", 202, body=other)
        ids.append(answer.json()["id"])
    await ask("cancel", "DELETE", f"/v1/jobs/{ids[1]}", 200, params=user)
    await ask("cancel by post", "POST", f"/v1/jobs/{ids[2]}/cancel", 200, params=user)
    await ask("cancel of a final one", "DELETE", path, 200, params=user)
    await ask("get waiting", "GET", f"/v1/jobs/{ids[3]}", 200, params=user)
    page = {**user, "limit": "1"}
    first = (await ask("list", "GET", "/v1/jobs", 200, params=page)).json()
    cursor = {"cursor": first["next_cursor"]}
    await ask("list on", "GET", "/v1/jobs", 200, params={**page, **cursor})
    some = {**user, "status": "completed,cancelled", "created_after": made["created_at"]}
    await ask("list some", "GET", "/v1/jobs", 200, params=some)
    token = await ask("token", "POST", "/v1/tokens", 201, body=user)
    await ask("usage", "GET", "/v1/usage", 200, params=user)
    declared = {**user, "filename": "photo.png", "content_type": "image/png", "bytes": 9}
    upload = (await ask("upload", "POST", "/v1/uploads", 201, body=declared)).json()
    recording.upload_id = upload["id"]

    recording.job_id, recording.output_id, recording.queued_id = made["id"], output["id"], ids[3]
    recording.secrets |= {
        *(item.removeprefix("job_") for item in ids),
        *(output["id"].removeprefix("out_"), output["sha256"], first["next_cursor"]),
        *(upload["id"].removeprefix("upl_"), upload["url"]),
        *(token.json()["token"], redirect.headers["location"], output["url"]),
    }
    return recording


def assert_tells_nothing(answer: httpx.Response, recording: Recording) -> None:
    """Assert that no byte of what was A's is in an answer."""
    whole = "\n".join(
        [answer.text, *(f"{name}: {value}" for name, value in answer.headers.items())]
    )
    for secret in recording.secrets:
        assert secret not in whole


def assert_same(answer: httpx.Response, control: httpx.Response) -> None:
    """Assert that two answers are the same to the byte."""
    assert answer.status_code == control.status_code
    assert answer.content == control.content
    assert answer.headers.multi_items() == control.headers.multi_items()


def with_user(asked: Asked, user: str | None) -> dict[str, Any]:
    """Return the parameters and the body of a request for another user, or none."""

    def change(values: dict[str, Any]) -> dict[str, Any]:
        rest = {name: value for name, value in values.items() if name != "user_id"}
        return rest if user is None else {**rest, "user_id": user}

    return {
        "params": change(asked.params) if asked.body is None else asked.params,
        "body": None if asked.body is None else change(asked.body),
    }


async def check_named(http: httpx.AsyncClient, recording: Recording, **changes: Any) -> None:
    """Assert that each request that names a job is answered as for one that does not exist."""
    count = 0
    for asked in recording.asked:
        if not asked.names_a_job:
            continue
        count += 1
        parts = with_user(asked, changes["user"]) if "user" in changes else {}
        answer = await asked.send(http, **parts)
        assert answer.status_code == 404, (asked.name, answer.text)
        assert_tells_nothing(answer, recording)
        job_id = asked.path.split("/")[3]
        for missing in (MISSING_JOB, "job_nonsense", f"{job_id}x"):
            control = await asked.send(http, path=asked.path.replace(job_id, missing), **parts)
            assert_same(answer, control)
        elsewhere = await asked.send(
            http, path=asked.path.replace(recording.output_id, MISSING_OUTPUT), **parts
        )
        assert_same(answer, elsewhere)
    assert count >= 9


class TwoTenantReplay:
    @pytest.fixture
    async def a(self, world: World) -> AsyncIterator[httpx.AsyncClient]:
        async with world.client(await world.key("of a")) as client:
            yield client

    @pytest.fixture
    async def b(self, world: World) -> AsyncIterator[httpx.AsyncClient]:
        async with world.client(await world.key("of b", tenant=1)) as client:
            yield client

    @pytest.fixture
    async def recording(self, world: World, a: httpx.AsyncClient) -> Recording:
        return await record(world, a)

    @pytest.fixture
    async def as_other_user(
        self, world: World, a: httpx.AsyncClient
    ) -> AsyncIterator[httpx.AsyncClient]:
        """A's user u_2, with a token that may do all that a token can."""
        other = Owner(tenant_id=world.tenants[0], user_id=OTHER_USER)
        await world.arrange.set_plan(world.tenants[0], "web", browser_writes=True)
        # A user is known to the database from the first job on.
        job = {"user_id": OTHER_USER, "workflow": a_workflow(), "plan": "web"}
        made = await a.post("/v1/jobs", json=job)
        await a.delete(made.json()["urls"]["self"], params={"user_id": OTHER_USER})
        assert other.user_id == made.json()["user_id"]
        wanted = {"user_id": OTHER_USER, "scopes": ["jobs:read", "jobs:write"]}
        token = (await a.post("/v1/tokens", json=wanted)).json()["token"]
        async with world.client(token) as client:
            yield client

    async def test_what_is_named_does_not_exist_for_another_tenant(
        self, recording: Recording, b: httpx.AsyncClient
    ) -> None:
        await check_named(b, recording)
        await check_named(b, recording, user=None)
        await check_named(b, recording, user=OTHER_USER)

    async def test_what_is_named_does_not_exist_for_another_user(
        self, recording: Recording, a: httpx.AsyncClient, as_other_user: httpx.AsyncClient
    ) -> None:
        await check_named(a, recording, user=OTHER_USER)
        await check_named(as_other_user, recording)
        await check_named(as_other_user, recording, user=None)
        await check_named(as_other_user, recording, user=OTHER_USER)

    async def test_nothing_of_it_is_told_or_changed(
        self,
        recording: Recording,
        a: httpx.AsyncClient,
        b: httpx.AsyncClient,
        as_other_user: httpx.AsyncClient,
    ) -> None:
        mine = {"user_id": USER}
        before = (await a.get("/v1/jobs", params=mine)).json()
        for http, users in (
            (b, [USER, None, OTHER_USER]),
            (as_other_user, [USER, None, OTHER_USER]),
            (a, [OTHER_USER]),
        ):
            for user in users:
                for asked in recording.asked:
                    if asked.path == "/v1/tokens" and user is None:
                        continue
                    parts = with_user(asked, user)
                    if asked.body is not None and "metadata" in asked.body:
                        parts["body"] = {**parts["body"], "metadata": {"order": "x"}}
                    answer = await asked.send(http, **parts)
                    assert answer.status_code < 500, (asked.name, answer.text)
                    assert_tells_nothing(answer, recording)
                    if http is as_other_user and user == USER:
                        expected = 403 if asked.path == "/v1/tokens" else 404
                        assert answer.status_code == expected, asked.name
        assert (await a.get("/v1/jobs", params=mine)).json() == before

    async def test_idempotency_key_is_of_one_user(
        self, recording: Recording, b: httpx.AsyncClient, a: httpx.AsyncClient
    ) -> None:
        submit = next(asked for asked in recording.asked if asked.name == "submit")
        for http, user in ((b, USER), (a, OTHER_USER)):
            body = {**(submit.body or {}), "user_id": user}
            made = await submit.send(http, body=body)
            assert made.status_code == 202
            assert made.json()["id"] != recording.job_id
            assert "idempotency-replayed" not in made.headers
            again = await submit.send(http, body=body)
            assert again.json()["id"] == made.json()["id"]
            # Under a key that nobody used the answer is no other.
            fresh = await submit.send(http, body=body, headers={"Idempotency-Key": "fresh"})
            assert set(fresh.headers) == set(made.headers)

    async def test_cursor_of_another_is_no_cursor(
        self,
        recording: Recording,
        a: httpx.AsyncClient,
        b: httpx.AsyncClient,
        as_other_user: httpx.AsyncClient,
    ) -> None:
        asked = next(asked for asked in recording.asked if asked.name == "list on")
        for http, user in ((b, USER), (b, None), (a, OTHER_USER), (a, None), (as_other_user, None)):
            params = with_user(asked, user)["params"]
            answer = await asked.send(http, params=params)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")
            assert_same(answer, await asked.send(http, params={**params, "cursor": "garbage"}))

    async def test_queue_is_counted_for_each_user_alone(
        self, recording: Recording, a: httpx.AsyncClient, b: httpx.AsyncClient
    ) -> None:
        # A's user has a job waiting.
        for http, user in ((b, USER), (a, OTHER_USER)):
            made = await http.post("/v1/jobs", json={"user_id": user, "workflow": a_workflow()})
            assert made.json()["queue"] == {"position": 1}

    async def test_usage_is_of_the_caller_alone(
        self, recording: Recording, b: httpx.AsyncClient, as_other_user: httpx.AsyncClient
    ) -> None:
        used = (await b.get("/v1/usage", params={"user_id": USER})).json()
        nothing = {"queued": 0, "in_flight": 0, "jobs_today": 0, "bytes_today": 0}
        nothing["uploads"] = 0
        assert used["tenant"]["used"] == used["user"]["used"] == nothing
        stranger = (await b.get("/v1/usage", params={"user_id": "u_never"})).json()
        assert used == stranger
        mine = (await as_other_user.get("/v1/usage")).json()
        assert mine["tenant"] is None
        assert mine["user"]["used"]["jobs_today"] == 1

    async def test_plan_of_another_tenant_does_not_exist(
        self, world: World, recording: Recording, b: httpx.AsyncClient
    ) -> None:
        await world.arrange.set_plan(world.tenants[0], "theirs", max_queued=5)
        job = {"user_id": USER, "workflow": a_workflow()}
        answers = [
            await b.post("/v1/jobs", json={**job, "plan": plan}, headers=SAME_ID)
            for plan in ("theirs", "nobodys")
        ]
        assert answers[0].json()["code"] == "unknown_plan"
        assert_same(*answers)

    async def test_erasures_are_of_their_tenant(
        self,
        recording: Recording,
        a: httpx.AsyncClient,
        b: httpx.AsyncClient,
        as_other_user: httpx.AsyncClient,
    ) -> None:
        mine, path = {"user_id": USER}, f"/v1/jobs/{recording.queued_id}/erase"
        missing = path.replace(recording.queued_id, MISSING_JOB)
        for http, params in ((b, mine), (b, {}), (a, {"user_id": OTHER_USER})):
            foreign = await http.post(path, params=params, headers=SAME_ID)
            assert foreign.status_code == 404
            assert_same(foreign, await http.post(missing, params=params, headers=SAME_ID))
            assert_tells_nothing(foreign, recording)
        for method, address in (("POST", path), ("DELETE", f"/v1/users/{USER}")):
            refused = await as_other_user.request(method, address)
            assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        # A user of B's who has the same name is another.
        theirs = await b.delete(f"/v1/users/{USER}")
        assert theirs.status_code == 202
        assert (await a.get(f"/v1/jobs/{recording.queued_id}", params=mine)).status_code == 200
        job = {**mine, "workflow": a_workflow()}
        assert (await a.post("/v1/jobs", json=job)).status_code == 202
        assert (await b.post("/v1/jobs", json=job)).status_code == 409

        own = await a.delete(f"/v1/users/{USER}")
        assert own.status_code == 202
        receipt = own.headers["location"]
        assert (await a.get(receipt)).json() == own.json()
        unknown = await b.get("/v1/erasures/era_00000000000000000000000000", headers=SAME_ID)
        for address in (receipt, f"{receipt}x", "/v1/erasures/x"):
            answer = await b.get(address, headers=SAME_ID)
            assert answer.status_code == 404
            assert_same(answer, unknown)

    async def test_upload_of_another_does_not_exist(
        self,
        world: World,
        recording: Recording,
        a: httpx.AsyncClient,
        b: httpx.AsyncClient,
        as_other_user: httpx.AsyncClient,
    ) -> None:
        for http, user in ((b, USER), (b, OTHER_USER), (a, OTHER_USER), (as_other_user, None)):
            answers = []
            for upload_id in (recording.upload_id, MISSING_UPLOAD, "upl_nonsense"):
                media = [{"name": "photo.png", "upload_id": upload_id}]
                body = {"user_id": user, "workflow": loading(), "media": media}
                answers.append(await http.post("/v1/jobs", json=body, headers=SAME_ID))
            assert (answers[0].status_code, answers[0].json()["code"]) == (422, "upload_unknown")
            for answer in answers[1:]:
                assert_same(answers[0], answer)
        assert (await a.get("/v1/usage")).json()["tenant"]["used"]["uploads"] == 1

    async def test_key_without_a_users_name_reaches_nothing(
        self, world: World, recording: Recording
    ) -> None:
        async with world.client(await world.key("narrow", Scope.JOBS_READ)) as http:
            asked = next(asked for asked in recording.asked if asked.name == "get completed")
            answer = await asked.send(http, params={})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
            path = f"/v1/jobs/{MISSING_JOB}"
            assert_same(answer, await asked.send(http, path=path, params={}))
            assert_tells_nothing(answer, recording)
            listing = await http.get("/v1/jobs")
            assert (listing.status_code, listing.json()["errors"][0]["pointer"]) == (
                422,
                "/user_id",
            )

    async def test_file_is_served_by_its_signature_alone(
        self, world: World, recording: Recording, b: httpx.AsyncClient
    ) -> None:
        link = next(text for text in recording.secrets if "/files/t/" in text)
        link = BASE + link[link.index("/files/") :]
        async with world.client() as nobody:
            assert (await nobody.get(link)).content == png_bytes(9, 9)
            # A credential makes no difference, and no other address of the file is one.
            missing = await b.get(f"{BASE}/files/x", headers=SAME_ID)
            path, _, query = link.partition("?")
            for wrong in (path, f"{path}?{query}0", f"{path}0?{query}"):
                for http in (nobody, b):
                    answer = await http.get(wrong, headers=SAME_ID)
                    assert answer.status_code == 404
                    assert_same(answer, missing)
