"""Who is let in by an end user's token, what it may do, and when it is dead."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from genjobs.adapters.jwt_tokens import JwtCodec
from genjobs.application.authenticate import FAILURES, Authenticate
from genjobs.application.mint_token import MintToken
from genjobs.domain.credentials import IssuerKey, TokenHead
from genjobs.domain.errors import (
    InvalidRequest,
    PlanLimit,
    RateLimited,
    ScopeMissing,
    Unauthenticated,
    Unavailable,
)
from genjobs.domain.ids import tenant_text
from genjobs.domain.tenancy import Owner, Principal, Scope
from genjobs.testing import (
    FakeClock,
    MemoryJobs,
    MemoryKeyDirectory,
    MemoryTenantDirectory,
    SequentialIds,
    a_key_record,
    a_key_text,
    a_tenant_id,
)
from genjobs.testing.site_keys import SiteKey, a_site_key, by_secret, jws

READ = frozenset({Scope.JOBS_READ})
BOTH = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})
CLIENT = "203.0.113.7"
SECOND = timedelta(seconds=1)


class CountingDirectory(MemoryKeyDirectory):
    def __init__(self, jobs: MemoryJobs) -> None:
        super().__init__(jobs)
        self.asked = 0

    async def find_issuer_key(self, head: TokenHead) -> IssuerKey | None:
        self.asked += 1
        return await super().find_issuer_key(head)


class Site:
    """A tenant with a key, its users, and the door they come to."""

    def __init__(self, secrets: tuple[str, ...] = ("s" * 32,)) -> None:
        self.clock = FakeClock()
        self.clock.advance(timedelta(milliseconds=300))
        self.jobs = MemoryJobs()
        self.tenant = a_tenant_id()
        self.directory = CountingDirectory(self.jobs)
        self.key = a_key_text("site")
        self.jobs.tenants.keys[self.key.id] = a_key_record(self.key, self.tenant)
        self.use(secrets)

    def use(self, secrets: tuple[str, ...]) -> None:
        codec = JwtCodec(secrets, audience="genjobs")
        tenants = MemoryTenantDirectory(self.jobs)
        self.authenticate = Authenticate(
            keys=self.directory, tenants=tenants, codec=codec, clock=self.clock
        )
        self.mint_token = MintToken(
            tenants=tenants, codec=codec, clock=self.clock, ids=SequentialIds()
        )

    def owner(self, user_id: str = "u_1") -> Owner:
        return Owner(tenant_id=self.tenant, user_id=user_id)

    def register(self, key: SiteKey) -> SiteKey:
        self.jobs.tenants.issuer_keys[key.public.issuer, key.public.kid] = key.public
        return key

    def change_key(self, **parts: Any) -> None:
        keys = self.jobs.tenants.keys
        keys[self.key.id] = dataclasses.replace(keys[self.key.id], **parts)

    def let_browsers_write(self, user_id: str = "u_1") -> None:
        self.jobs.tenants.set_plan(self.tenant, "web", browser_writes=True)
        self.jobs.tenants.plans_of_users[self.owner(user_id)] = "web"

    async def mint(
        self, user_id: str = "u_1", scopes: frozenset[Scope] = READ, seconds: float = 900
    ) -> str:
        holder = await self.authenticate.authenticate(self.key.reveal())
        minted = await self.mint_token(
            holder, user_id, life=timedelta(seconds=seconds), scopes=scopes
        )
        return minted.token

    async def enter(self, token: str) -> Principal:
        return await self.authenticate.authenticate(token)

    async def refused(self, token: str) -> bool:
        try:
            await self.enter(token)
        except Unauthenticated:
            return True
        return False


@pytest.fixture
def site() -> Site:
    return Site()


# -- what a token may -------------------------------------------------------------------------


async def test_token_is_of_its_user_and_no_more(site: Site) -> None:
    principal = await site.enter(await site.mint())
    assert (principal.tenant_id, principal.user_id) == (site.tenant, "u_1")
    assert (principal.scopes, principal.key_id) == (READ, site.key.id)


async def test_token_writes_while_key_and_plan_let_it(site: Site) -> None:
    site.let_browsers_write()
    token = await site.mint(scopes=BOTH)
    assert (await site.enter(token)).scopes == BOTH

    site.jobs.tenants.plans_of_users.clear()
    site.clock.advance(5 * SECOND)
    assert (await site.enter(token)).scopes == READ
    site.let_browsers_write()
    site.change_key(scopes=frozenset({Scope.TOKENS_WRITE}))
    site.clock.advance(5 * SECOND)
    assert (await site.enter(token)).scopes == READ


async def test_token_is_made_with_no_more_than_key_and_plan_have(site: Site) -> None:
    with pytest.raises(PlanLimit) as refused:
        await site.mint(scopes=BOTH)
    assert refused.value.pointer == "/scopes"
    site.let_browsers_write()
    site.change_key(scopes=frozenset({Scope.TOKENS_WRITE, Scope.JOBS_READ}))
    site.clock.advance(5 * SECOND)
    with pytest.raises(ScopeMissing):
        await site.mint(scopes=BOTH)


@pytest.mark.parametrize("scope", [s for s in Scope if s not in BOTH])
async def test_token_with_another_scope_is_not_made(site: Site, scope: Scope) -> None:
    with pytest.raises(InvalidRequest):
        await site.mint(scopes=READ | {scope})


@pytest.mark.parametrize("seconds", [29.999, 3600.001, 0, -1])
async def test_life_of_a_token_is_bounded(site: Site, seconds: float) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await site.mint(seconds=seconds)
    assert refused.value.pointer == "/ttl_seconds"


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_sites_token_has_no_scope_beyond_the_cap(site: Site, algorithm: str) -> None:
    key = site.register(a_site_key(site.tenant, algorithm, scopes=frozenset(Scope)))
    wanted = " ".join(Scope)
    principal = await site.enter(key.token(site.clock.now(), scope=wanted))
    assert (principal.user_id, principal.scopes) == ("u_1", READ)
    assert principal.key_id != site.key.id
    site.let_browsers_write("u_2")
    principal = await site.enter(key.token(site.clock.now(), "u_2", scope=wanted))
    assert principal.scopes == BOTH


async def test_sites_token_has_no_scope_that_its_key_was_not_given(site: Site) -> None:
    site.let_browsers_write()
    key = site.register(a_site_key(site.tenant, scopes=READ))
    token = key.token(site.clock.now(), scope="jobs:read jobs:write")
    assert (await site.enter(token)).scopes == READ
    nothing = key.token(site.clock.now(), scope="tenant:read tokens:write users:erase")
    assert (await site.enter(nothing)).scopes == frozenset()


# -- when it is dead --------------------------------------------------------------------------


async def test_token_is_dead_at_its_expiry(site: Site) -> None:
    minted = site.clock.now().replace(microsecond=0)
    token = await site.mint(seconds=60)
    site.clock.advance(minted + 60 * SECOND - site.clock.now() - timedelta(microseconds=1))
    await site.enter(token)
    site.clock.advance(timedelta(microseconds=1))
    assert await site.refused(token)
    site.clock.advance(SECOND)
    assert await site.refused(token)


async def test_sites_token_is_dead_at_its_expiry(site: Site) -> None:
    key, now = site.register(a_site_key(site.tenant)), site.clock.now()
    expiring = key.token(now, exp=now.timestamp() + 1, iat=now.timestamp() - 60)
    await site.enter(expiring)
    assert await site.refused(key.token(now, exp=now.timestamp() - 1, iat=now.timestamp() - 60))
    site.clock.advance(SECOND)
    assert await site.refused(expiring)


async def test_token_dies_with_the_key_that_it_was_made_with(site: Site) -> None:
    token = await site.mint()
    await site.enter(token)
    site.change_key(revoked_at=site.clock.now())
    site.clock.advance(5 * SECOND)
    assert await site.refused(token)


async def test_token_dies_when_its_key_expires(site: Site) -> None:
    site.change_key(expires_at=site.clock.now() + 10 * SECOND)
    token = await site.mint()
    site.clock.advance(9.999 * SECOND)
    await site.enter(token)
    site.clock.advance(0.001 * SECOND)
    assert await site.refused(token)


async def test_token_of_a_key_that_is_no_more_or_of_another_tenant_is_dead(site: Site) -> None:
    token = await site.mint()
    site.change_key(tenant_id=a_tenant_id())
    site.clock.advance(5 * SECOND)
    assert await site.refused(token)
    del site.jobs.tenants.keys[site.key.id]
    site.clock.advance(5 * SECOND)
    assert await site.refused(token)


async def test_cut_off_kills_the_older_tokens_of_one_user_and_no_newer(site: Site) -> None:
    older, of_other = await site.mint(), await site.mint("u_2")
    site.clock.advance(timedelta(milliseconds=100))
    site.jobs.tenants.token_cutoffs[site.owner()] = site.clock.now()
    at_once = await site.mint()
    site.clock.advance(timedelta(milliseconds=100))
    newer = await site.mint()  # all of them in the same second
    site.clock.advance(5 * SECOND)

    assert [await site.refused(token) for token in (older, at_once, newer, of_other)] == [
        True,
        False,
        False,
        False,
    ]


async def test_cut_off_holds_within_five_seconds(site: Site) -> None:
    token = await site.mint()
    await site.enter(token)
    site.clock.advance(SECOND)
    site.jobs.tenants.token_cutoffs[site.owner()] = site.clock.now()
    for _ in range(49):
        site.clock.advance(0.1 * SECOND)
        await site.refused(token)
    site.clock.advance(0.1 * SECOND)
    assert await site.refused(token)


async def test_cut_off_kills_sites_tokens_and_those_that_say_not_when_they_were_made(
    site: Site,
) -> None:
    key, now = site.register(a_site_key(site.tenant)), site.clock.now()
    site.jobs.tenants.token_cutoffs[site.owner()] = now
    assert await site.refused(key.token(now - SECOND))
    assert await site.refused(key.token(now, iat=None))
    # A site that writes whole seconds cannot tell before from after within one.
    assert await site.refused(key.token(now))
    await site.enter(key.token(now, iat=now.timestamp()))
    site.clock.advance(SECOND)
    await site.enter(key.token(site.clock.now()))


async def test_sites_key_that_is_revoked_kills_its_tokens(site: Site) -> None:
    key = site.register(a_site_key(site.tenant))
    token = key.token(site.clock.now())
    await site.enter(token)
    site.jobs.tenants.issuer_keys[key.public.issuer, key.public.kid] = dataclasses.replace(
        key.public, revoked_at=site.clock.now()
    )
    site.clock.advance(5 * SECOND)
    assert await site.refused(token)


async def test_own_signing_keys_rotate(site: Site) -> None:
    old, new = "o" * 40, "n" * 40
    site.use((old,))
    by_old = await site.mint()
    site.use((new, old))
    by_new = await site.mint()
    for token in (by_old, by_new):
        await site.enter(token)
    site.use((new,))
    assert await site.refused(by_old)
    await site.enter(by_new)


# -- whose it is ------------------------------------------------------------------------------


async def test_sites_key_signs_for_its_own_tenant_only(site: Site) -> None:
    other = a_tenant_id()
    key, now = site.register(a_site_key(site.tenant)), site.clock.now()
    await site.enter(key.token(now))
    assert await site.refused(key.token(now, tenant=tenant_text(other)))
    # Another tenant that registers the same key under its own name gains nothing of ours.
    theirs = site.register(a_site_key(other, issuer="https://other.test"))
    assert (await site.enter(theirs.token(now))).tenant_id == other
    assert await site.refused(theirs.token(now, tenant=tenant_text(site.tenant)))
    assert await site.refused(theirs.token(now, iss=key.public.issuer))


@pytest.mark.parametrize("kid", ["k2", "K1", "k1 ", "../k1", "k1\x00", "", "k" * 201, "\ud800"])
async def test_kid_that_is_not_registered_is_refused(site: Site, kid: str) -> None:
    key, now = site.register(a_site_key(site.tenant)), site.clock.now()
    assert await site.refused(jws(key.header(kid=kid), key.claims(now), key.sign))
    assert await site.refused(jws(key.header(kid=None), key.claims(now), key.sign))


async def test_issuer_that_calls_itself_by_our_name_is_not_let_in(site: Site) -> None:
    key = site.register(a_site_key(site.tenant, issuer="genjobs"))
    assert await site.refused(key.token(site.clock.now()))


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_public_key_makes_no_token(site: Site, algorithm: str) -> None:
    key, now = site.register(a_site_key(site.tenant, algorithm)), site.clock.now()
    sign = by_secret(key.public.public_key)
    for name in ("HS256", "HS384", "none", algorithm):
        assert await site.refused(jws(key.header(alg=name), key.claims(now), sign))
        assert await site.refused(jws(key.header(alg=name), key.claims(now), lambda _: b""))


@pytest.mark.parametrize(
    ("made", "life", "good"),
    [(0, 3600, True), (0, 3601, False), (-3599, 3600, True), (-1, 3601, False), (9, 60, True)],
)
async def test_sites_token_lives_an_hour_at_most(
    site: Site, made: int, life: int, good: bool
) -> None:
    key, now = site.register(a_site_key(site.tenant)), int(site.clock.now().timestamp())
    token = key.token(site.clock.now(), iat=now + made, exp=now + made + life)
    assert await site.refused(token) is not good


async def test_token_of_the_future_is_refused(site: Site) -> None:
    key, now = site.register(a_site_key(site.tenant)), int(site.clock.now().timestamp())
    for changes in ({"iat": now + 11, "exp": now + 60}, {"nbf": now + 11}):
        assert await site.refused(key.token(site.clock.now(), **changes))  # type: ignore[arg-type]


# -- what it costs ----------------------------------------------------------------------------


async def test_issuer_that_is_not_there_is_remembered(site: Site) -> None:
    key = a_site_key(site.tenant)
    for _ in range(10):
        assert await site.refused(key.token(site.clock.now()))
    assert site.directory.asked == 1


async def test_valid_tokens_pass_while_others_of_their_address_are_refused(site: Site) -> None:
    own, key = await site.mint(), site.register(a_site_key(site.tenant))
    signed, now = key.token(site.clock.now(), "u_2"), site.clock.now()
    await site.authenticate.authenticate(signed, client=CLIENT)
    for _ in range(FAILURES.burst):
        with pytest.raises(Unauthenticated):
            await site.authenticate.authenticate("a.b.c", client=CLIENT)
    for token in (own, signed):
        await site.authenticate.authenticate(token, client=CLIENT)
    stranger = a_site_key(site.tenant, issuer="https://unknown.test")
    asked = site.directory.asked
    for token in ("a.b.c", own[:-4], stranger.token(now), key.token(now, aud="other")):
        with pytest.raises(RateLimited):
            await site.authenticate.authenticate(token, client=CLIENT)
    assert site.directory.asked == asked


async def test_outage_lets_no_token_in(site: Site) -> None:
    token = await site.mint()
    site.clock.advance(5 * SECOND)
    site.jobs.available = False
    with pytest.raises(Unavailable):
        await site.enter(token)


async def test_hundred_pages_of_one_user_cost_one_look_up(site: Site) -> None:
    key = site.register(a_site_key(site.tenant))
    token = key.token(site.clock.now())
    principals = await asyncio.gather(*(site.enter(token) for _ in range(100)))
    assert len({principal.user_id for principal in principals}) == 1
    assert site.directory.asked == 1
