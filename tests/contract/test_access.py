"""Who is let in: authenticator and token codec against their contracts, on fakes and Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genjobs.adapters.jwt_tokens import JwtCodec
from genjobs.adapters.postgres import (
    PostgresKeyDirectory,
    PostgresTenantDirectory,
    open_pool,
)
from genjobs.adapters.postgres.credentials import PostgresCredentials
from genjobs.application.authenticate import Authenticate
from genjobs.domain.errors import ConfigurationError
from genjobs.domain.plans import DefaultLimits
from genjobs.domain.ports import Authenticator
from genjobs.testing import (
    FakeClock,
    MemoryJobs,
    MemoryKeyDirectory,
    MemoryTenantDirectory,
    a_key_record,
    a_key_text,
    a_tenant_id,
)
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts import AuthenticatorContract, TokenCodecContract
from genjobs.testing.contracts.token_steps import NEW, Make, refuse_everywhere, some_claims
from genjobs.testing.site_keys import a_site_key, by_secret, jws
from tests.postgres import Database

KEY = a_key_text("contract")


class TestAuthenticateInMemory(AuthenticatorContract):
    @pytest.fixture
    def authenticator(self) -> Authenticator:
        jobs = MemoryJobs()
        jobs.tenants.keys[KEY.id] = a_key_record(KEY, a_tenant_id())
        return Authenticate(
            keys=MemoryKeyDirectory(jobs),
            tenants=MemoryTenantDirectory(jobs),
            codec=JwtCodec([NEW], audience="genjobs"),
            clock=FakeClock(),
        )

    @pytest.fixture
    def token(self) -> str:
        return KEY.reveal()


class TestAuthenticateOnPostgres(AuthenticatorContract):
    @pytest.fixture
    async def authenticator(self, database: Database) -> AsyncIterator[Authenticator]:
        tenant = a_tenant_id()
        await database.make_tenant(tenant)
        record = a_key_record(KEY, tenant)
        await PostgresCredentials(database.owner).add_key(record, "contract", BEGINNING)
        async with open_pool(database.api) as pool:
            yield Authenticate(
                keys=PostgresKeyDirectory(pool),
                tenants=PostgresTenantDirectory(pool, DefaultLimits()),
                codec=JwtCodec([NEW], audience="genjobs"),
                clock=FakeClock(),
            )

    @pytest.fixture
    def token(self) -> str:
        return KEY.reveal()


class TestJwtCodec(TokenCodecContract):
    @pytest.fixture
    def make(self) -> Make:
        def make(secrets: Sequence[str]) -> JwtCodec:
            return JwtCodec(secrets, audience="genjobs")

        return make


CODEC = JwtCodec([NEW], audience="genjobs")
SITE = a_site_key(a_tenant_id())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(["iss", "aud", "sub", "tenant", "scope", "jti", "iat", "exp", "nbf", "key"])


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\Z"))
def test_garbage_token_is_only_ever_unauthenticated(text: str) -> None:
    refuse_everywhere(CODEC, text)


@given(st.binary(max_size=200) | JSON, st.binary(max_size=200) | JSON, st.booleans())
def test_garbage_that_is_signed_is_only_ever_unauthenticated(
    header: object, payload: object, own: bool
) -> None:
    refuse_everywhere(CODEC, jws(header, payload, by_secret(NEW) if own else SITE.sign))


@given(st.dictionaries(NAMES, JSON, min_size=1), st.booleans())
def test_good_token_with_odd_claims_is_read_or_unauthenticated(
    changes: dict[str, object], own: bool
) -> None:
    """Whatever a site signs is read, or refused in the one way; it is never an error."""
    from genjobs.domain.errors import Unauthenticated

    now = some_claims().issued_at
    token = jws(SITE.header(), {**SITE.claims(now), **changes}, SITE.sign)
    try:
        if CODEC.read_own(token, now=now) is None:
            CODEC.head(token)
            claims = CODEC.read(token, SITE.public, now=now)
            assert claims.tenant_id == SITE.public.tenant_id or "tenant" in changes
    except Unauthenticated:
        pass


@pytest.mark.parametrize("secrets", [[], ["short"], [NEW, "x" * 31]])
def test_secrets_that_are_too_short_are_no_configuration(secrets: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        JwtCodec(secrets, audience="genjobs")
