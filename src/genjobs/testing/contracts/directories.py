"""The contracts of ``KeyDirectory`` and of what tokens are held to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from genjobs.domain.credentials import IssuerKey, TokenHead, UserStanding
from genjobs.domain.tenancy import Scope
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts.tenancy_backend import TenancyBackend
from genjobs.testing.memory_access import a_key_record, a_key_text

NOW = BEGINNING
_MINUTE = timedelta(minutes=1)


class KeyDirectoryContract:
    """Needs the fixture ``backend``."""

    @pytest.fixture
    def backend(self) -> TenancyBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_key_is_found_by_its_id_as_it_was_stored(self, backend: TenancyBackend) -> None:
        record = a_key_record(
            a_key_text("a", live=True), backend.tenant, Scope.JOBS_READ, expires_at=NOW + _MINUTE
        )
        await backend.arrange.add_key(record)

        assert await backend.keys.find_key(record.id) == record
        assert await backend.keys.find_key(record.id.swapcase()) is None
        assert await backend.keys.find_key("") is None

    async def test_revoked_key_is_found_as_revoked(self, backend: TenancyBackend) -> None:
        record = a_key_record(a_key_text("b"), backend.tenant)
        await backend.arrange.add_key(record)
        await backend.arrange.revoke_key(record.id, NOW)
        await backend.arrange.revoke_key(record.id, NOW + _MINUTE)  # once revoked it stays so

        found = await backend.keys.find_key(record.id)
        assert found is not None
        assert (found.revoked_at, found.valid(NOW)) == (NOW, False)

    async def test_use_is_noted_for_each_key_and_never_goes_back(
        self, backend: TenancyBackend
    ) -> None:
        records = [
            a_key_record(a_key_text(str(n)), tenant)
            for n, tenant in enumerate(backend.jobs.tenants)
        ]
        for record in records:
            await backend.arrange.add_key(record)
        await backend.keys.touch({item.id: (item.tenant_id, NOW + _MINUTE) for item in records})
        await backend.keys.touch({records[0].id: (records[0].tenant_id, NOW)})
        await backend.keys.touch({})

        assert [await backend.arrange.last_used(item.id) for item in records] == [NOW + _MINUTE] * 2

    async def test_use_of_another_tenants_key_is_not_noted(self, backend: TenancyBackend) -> None:
        record = a_key_record(a_key_text("c"), backend.tenant)
        await backend.arrange.add_key(record)
        await backend.keys.touch({record.id: (backend.jobs.tenants[1], NOW)})

        assert await backend.arrange.last_used(record.id) in {None, NOW}

    async def test_issuers_key_is_found_for_its_tenant_only(self, backend: TenancyBackend) -> None:
        key = IssuerKey(
            tenant_id=backend.tenant,
            issuer="https://site.test",
            kid="k1",
            algorithm="EdDSA",
            public_key="a public key",
            scopes=frozenset({Scope.JOBS_READ}),
        )
        await backend.arrange.add_issuer_key(key)
        head = TokenHead(issuer=key.issuer, kid=key.kid, tenant_id=backend.tenant)

        assert await backend.keys.find_issuer_key(head) == key
        for other in (
            TokenHead(issuer=key.issuer, kid=key.kid, tenant_id=backend.jobs.tenants[1]),
            TokenHead(issuer=key.issuer, kid="k2", tenant_id=backend.tenant),
            TokenHead(issuer="https://other.test", kid=key.kid, tenant_id=backend.tenant),
        ):
            assert await backend.keys.find_issuer_key(other) is None

    async def test_standing_says_since_when_and_whether_browsers_write(
        self, backend: TenancyBackend
    ) -> None:
        owner = backend.jobs.owner()
        assert await backend.directory.standing(owner) == UserStanding(
            tokens_since=None, browser_writes=False
        )
        await backend.arrange.set_plan(backend.tenant, "web", browser_writes=True)
        await backend.arrange.assign(owner, "web")
        await backend.arrange.revoke_tokens(owner, NOW)
        await backend.arrange.revoke_tokens(owner, NOW + _MINUTE)

        assert await backend.directory.standing(owner) == UserStanding(
            tokens_since=NOW + _MINUTE, browser_writes=True
        )
        assert (await backend.directory.standing(backend.jobs.owner("u_2"))).tokens_since is None
        other = backend.jobs.owner(tenant=1)
        assert await backend.directory.standing(other) == UserStanding(
            tokens_since=None, browser_writes=False
        )
