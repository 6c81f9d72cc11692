"""Keys and tokens on two processes of the API over one Postgres: revoked, touched, cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from genjobs.adapters.postgres.credentials import PostgresCredentials
from genjobs.domain.tenancy import Owner
from genjobs.testing import a_key_text
from genjobs.testing.clock import BEGINNING, FakeClock
from genjobs.testing.site_keys import a_site_key
from tests.postgres import Database
from tests.worlds import World, postgres_world

SECOND = timedelta(seconds=1)


@pytest.fixture
async def worlds(database: Database) -> AsyncIterator[tuple[World, World]]:
    async with (
        postgres_world(database) as first,
        postgres_world(database, tenants=first.tenants, clock=first.clock) as second,
    ):
        yield first, second


async def statuses(worlds: tuple[World, World], token: str) -> list[int]:
    """Return what each process answers to a listing."""
    found = []
    for world in worlds:
        async with world.client(token) as http:
            found.append((await http.get("/v1/jobs", params={"user_id": "u_1"})).status_code)
    return found


async def test_revoked_key_is_refused_everywhere_within_five_seconds(
    worlds: tuple[World, World],
) -> None:
    old, new = await worlds[0].key("old"), await worlds[0].key("new")
    assert await statuses(worlds, old) == [200, 200]
    await worlds[0].arrange.revoke_key(a_key_text("old").id, worlds[0].clock.now())
    for _ in range(5):
        worlds[0].clock.advance(SECOND)
        last = await statuses(worlds, old)
        assert await statuses(worlds, new) == [200, 200]
    assert last == [401, 401]


async def test_tokens_die_with_key_issuer_and_cut_off_within_five_seconds(
    database: Database, worlds: tuple[World, World]
) -> None:
    clock, tenant = worlds[0].clock, worlds[0].tenants[0]
    site = a_site_key(tenant)
    await worlds[0].arrange.add_issuer_key(site.public)
    minting = await worlds[0].key("minting")

    async def minted(user: str) -> str:
        async with worlds[0].client(minting) as http:
            answer = await http.post("/v1/tokens", json={"user_id": user, "ttl_seconds": 3600})
        token: str = answer.json()["token"]
        return token

    own, other, signed = await minted("u_1"), await minted("u_1"), site.token(clock.now())
    assert [await statuses(worlds, token) for token in (own, signed)] == [[200, 200]] * 2

    await PostgresCredentials(database.owner).revoke_issuer_key(
        site.public.issuer, site.public.kid, clock.now()
    )
    clock.advance(5 * SECOND)
    assert await statuses(worlds, signed) == [401, 401]
    assert await statuses(worlds, own) == [200, 200]

    clock.advance(timedelta(milliseconds=400))
    await worlds[0].arrange.revoke_tokens(Owner(tenant_id=tenant, user_id="u_1"), clock.now())
    clock.advance(timedelta(milliseconds=100))
    newer = await minted("u_1")  # in the same second
    clock.advance(5 * SECOND)
    assert [await statuses(worlds, token) for token in (own, other)] == [[401, 401]] * 2
    assert await statuses(worlds, newer) == [200, 200]

    await worlds[0].arrange.revoke_key(a_key_text("minting").id, clock.now())
    clock.advance(5 * SECOND)
    assert await statuses(worlds, newer) == [401, 401]


async def test_odd_tokens_never_reach_the_database_as_an_error(
    worlds: tuple[World, World],
) -> None:
    from genjobs.testing.site_keys import jws

    site = a_site_key(worlds[0].tenants[0])
    claims = site.claims(worlds[0].clock.now())
    for kid, issuer in (
        ("\ud800", "https://x.test"),
        ("k", "\udfff"),
        ("k\x00", "https://x.test"),
        ("k" * 5000, "https://x.test"),
        ("'; DROP TABLE genjobs.jobs; --", "' OR 1=1 --"),
        ("ключ", "https://пример.test"),
    ):
        token = jws(site.header(kid=kid), {**claims, "iss": issuer}, site.sign)
        assert await statuses(worlds, token) == [401, 401]


async def test_use_of_a_key_is_noted_when_a_process_ends(database: Database) -> None:
    clock = FakeClock()
    async with postgres_world(database, clock=clock) as world:
        used, unused = await world.key("used"), a_key_text("unused").id
        await world.key("unused")
        clock.advance(SECOND)
        async with world.client(used) as http:
            for _ in range(3):
                await http.get("/v1/jobs")
        assert await world.arrange.last_used(a_key_text("used").id) is None
    assert await world.arrange.last_used(a_key_text("used").id) == BEGINNING + SECOND
    assert await world.arrange.last_used(unused) is None


async def test_hundred_requests_with_a_cold_key_are_all_let_in(
    worlds: tuple[World, World],
) -> None:
    token = await worlds[0].key("cold")
    async with worlds[0].client(token) as http:
        answers = await asyncio.gather(*(http.get("/v1/jobs") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
