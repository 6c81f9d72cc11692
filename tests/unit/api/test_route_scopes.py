"""Every route against every kind of credential; routes are found, so a new one is judged too."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from genjobs.domain.credentials import KeyText
from genjobs.domain.tenancy import Owner, Scope
from genjobs.testing import a_key_record, a_key_text, a_workflow
from genjobs.testing.site_keys import a_site_key
from tests.routes import DOCUMENTS, PUBLIC, Found, routes_of
from tests.worlds import World, memory_world

#: What a credential may do; None for one that lets nobody in.
Granted = frozenset[Scope] | None
#: Makes the Authorization header.
Make = Callable[[World], Awaitable[str | None]]

READ = frozenset({Scope.JOBS_READ})
BOTH = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})
CREDENTIALS: dict[str, tuple[Make, Granted]] = {}


def credential(name: str, granted: Granted) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        CREDENTIALS[name] = (make, granted)
        return make

    return register


def header(text: str, name: str) -> None:
    async def make(_: World) -> str:
        return text

    CREDENTIALS[name] = (make, None)


CREDENTIALS["no credential"] = (lambda _: _none(), None)
header("", "empty")
header("Bearer", "no token")
header("Bearer ", "blank token")
header("Bearer x", "garbage")
header("Basic Z2o6Z2o=", "another scheme")
header(f"Bearer {a_key_text('nobody').reveal()}", "a key that is not there")
header(f"Bearer {'x' * 4097}", "an endless token")


async def _none() -> None:
    return None


def single(scope: Scope) -> None:
    async def make(world: World) -> str:
        return f"Bearer {await world.key('single', scope)}"

    CREDENTIALS[f"a key with {scope.value}"] = (make, frozenset({scope}))


for each in Scope:
    single(each)


@credential("a key with every scope", frozenset(Scope))
async def every_scope(world: World) -> str:
    return f"Bearer {await world.key('every')}"


@credential("a live key with every scope", frozenset(Scope))
async def live(world: World) -> str:
    return f"bearer   {await world.key('live', live=True)}  "


@credential("a key without a scope", frozenset())
async def no_scope(world: World) -> str:
    text = a_key_text("none")
    record = a_key_record(text, world.tenants[0])
    await world.arrange.add_key(dataclasses.replace(record, scopes=frozenset()))
    return f"Bearer {text.reveal()}"


@credential("an expired key", None)
async def expired(world: World) -> str:
    return f"Bearer {await world.key('expired', expires_at=world.clock.now())}"


@credential("a revoked key", None)
async def revoked(world: World) -> str:
    return f"Bearer {await world.key('revoked', revoked_at=world.clock.now())}"


def tampered(name: str, change: Callable[[KeyText], str]) -> None:
    async def make(world: World) -> str:
        await world.key("tampered")
        return f"Bearer {change(a_key_text('tampered'))}"

    CREDENTIALS[name] = (make, None)


OTHER = a_key_text("another")
tampered("a test key called live", lambda key: KeyText.reveal(dataclasses.replace(key, live=True)))
tampered("another id", lambda key: dataclasses.replace(key, id=OTHER.id).reveal())
tampered("another secret", lambda key: dataclasses.replace(key, secret=OTHER.secret).reveal())
tampered("another checksum", lambda key: key.reveal()[:-6] + OTHER.reveal()[-6:])
tampered("a key cut short", lambda key: key.reveal()[:-1])
tampered("a key with more", lambda key: key.reveal() + "x")
tampered("a key in other case", lambda key: key.reveal().swapcase())


async def minted(world: World, *scopes: str) -> str:
    owner = Owner(tenant_id=world.tenants[0], user_id="u_1")
    await world.arrange.set_plan(owner.tenant_id, "web", browser_writes=True)
    await world.arrange.assign(owner, "web")
    async with world.client(await world.key("minting")) as http:
        wanted = {"user_id": "u_1", "scopes": list(scopes)}
        answer = await http.post("/v1/tokens", json=wanted)
    return f"Bearer {answer.json()['token']}"


@credential("a token that reads", READ)
async def reading(world: World) -> str:
    return await minted(world, "jobs:read")


@credential("a token that writes", BOTH)
async def writing(world: World) -> str:
    return await minted(world, "jobs:read", "jobs:write")


@credential("a token that writes only", frozenset({Scope.JOBS_WRITE}))
async def writing_only(world: World) -> str:
    return await minted(world, "jobs:write")


@credential("a token that the plan lets write no more", READ)
async def no_longer_writing(world: World) -> str:
    made = await minted(world, "jobs:read", "jobs:write")
    await world.arrange.assign(Owner(tenant_id=world.tenants[0], user_id="u_1"), None)
    world.clock.advance(timedelta(seconds=5))
    return made


@credential("an expired token", None)
async def expired_token(world: World) -> str:
    made = await minted(world, "jobs:read")
    world.clock.advance(timedelta(seconds=901))
    return made


@credential("a token of a revoked key", None)
async def orphaned(world: World) -> str:
    made = await minted(world, "jobs:read")
    await world.arrange.revoke_key(a_key_text("minting").id, world.clock.now())
    world.clock.advance(timedelta(seconds=5))
    return made


@credential("a site's own token with every scope", READ)
async def sites(world: World) -> str:
    key = a_site_key(world.tenants[0], scopes=frozenset(Scope))
    await world.arrange.add_issuer_key(key.public)
    return f"Bearer {key.token(world.clock.now(), scope=' '.join(Scope))}"


@credential("a token of a key that is not registered", None)
async def unregistered(world: World) -> str:
    return f"Bearer {a_site_key(world.tenants[0]).token(world.clock.now())}"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with memory_world() as opened:
        yield opened


def business_routes(app: FastAPI) -> list[Found]:
    return [route for route in routes_of(app) if route.path not in PUBLIC | DOCUMENTS]


@pytest.mark.parametrize("name", CREDENTIALS)
async def test_route_lets_in_who_has_its_scope_and_nobody_else(world: World, name: str) -> None:
    async with world.client(await world.key("owner")) as http:
        job = {"user_id": "u_1", "workflow": a_workflow()}
        job_id = (await http.post("/v1/jobs", json=job)).json()["id"]
    make, granted = CREDENTIALS[name]
    authorization = await make(world)
    headers = {} if authorization is None else {"Authorization": authorization}
    routes = business_routes(world.api)
    assert len(routes) >= 8
    async with world.client() as http:
        for route in routes:
            answer = await http.request(
                route.method,
                route.filled(job_id=job_id),
                params={"user_id": "u_1"},
                json={} if route.method in {"POST", "PUT", "PATCH"} else None,
                headers=headers,
            )
            where = (name, route.method, route.path, answer.text)
            if granted is None:
                assert answer.status_code == 401, where
                assert answer.headers["www-authenticate"] == "Bearer"
            elif route.scope not in granted:
                assert answer.status_code == 403, where
                assert answer.json()["code"] == "scope_missing"
            else:
                assert answer.status_code not in {401, 403, 429, 500}, where
    kept = await job_status(world, job_id)
    assert kept == ("cancelled" if granted and Scope.JOBS_WRITE in granted else "queued")


async def job_status(world: World, job_id: str) -> str:
    async with world.client(await world.key("owner")) as http:
        answer = await http.get(f"/v1/jobs/{job_id}", params={"user_id": "u_1"})
    status: str = answer.json()["status"]
    return status


async def test_refusals_of_credentials_are_the_same_on_every_route(world: World) -> None:
    same = {"X-Request-Id": "the-same-request-id"}
    answers = set()
    for name, (make, granted) in CREDENTIALS.items():
        if granted is not None:
            continue
        authorization = await make(world)
        headers = {"Authorization": authorization} if authorization is not None else {}
        async with world.client(address=f"203.0.113.{len(name)}") as http:
            for route in business_routes(world.api):
                # Whatever else is wrong with the request is not looked at.
                answer = await http.request(
                    route.method,
                    route.filled(),
                    params={"limit": "x", "user_id": "a b"},
                    content=b"{",
                    headers={**headers, **same},
                )
                assert answer.status_code in {401, 429}, (name, route)
                if answer.status_code == 401:
                    answers.add((answer.content, tuple(sorted(answer.headers.items()))))
    assert len(answers) == 1


async def test_every_route_but_the_public_ones_declares_its_scope(world: World) -> None:
    for route in routes_of(world.api):
        open_to_all = route.path in PUBLIC | DOCUMENTS
        assert (route.scope is None) == open_to_all, route
    paths = {route.path for route in routes_of(world.api)}
    documented = {path.replace("{key}", "{key:path}") for path in world.api.openapi()["paths"]}
    assert documented <= paths  # nothing is served that was not found


async def test_route_without_a_scope_is_found_wherever_it_is_included() -> None:
    app, inner, outer = FastAPI(), APIRouter(prefix="/in"), APIRouter(prefix="/out")

    @app.get("/bare")
    @inner.get("/deep")
    async def bare() -> None:
        return None

    outer.include_router(inner)
    app.include_router(outer)
    found = [route for route in routes_of(app) if route.path not in DOCUMENTS | {"/redoc"}]
    assert [route.scope for route in found] == [None, None]
    app.mount("/sub", FastAPI())
    with pytest.raises(AssertionError, match="guarded"):
        routes_of(app)


async def test_credential_in_the_query_or_a_cookie_is_none(world: World) -> None:
    token = await world.key("owner")
    async with world.client() as http:
        for params, headers in (
            ({"access_token": token}, {}),
            ({"user_id": "u_1", "authorization": f"Bearer {token}"}, {}),
            ({}, {"Cookie": f"Authorization=Bearer {token}"}),
            ({}, {"X-Api-Key": token}),
        ):
            answer = await http.get("/v1/jobs", params=params, headers=headers)
            assert answer.status_code == 401


async def test_public_routes_need_nothing(world: World) -> None:
    async with world.client() as http:
        for path in ("/health", "/livez", "/readyz"):
            assert (await http.get(path)).status_code == 200
        assert isinstance(await http.get("/files/x"), httpx.Response)
        assert (await http.get("/files/x")).status_code == 404
