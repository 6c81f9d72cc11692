"""The contracts of ``TenantAdministration`` and ``CredentialAdministration``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from genjobs.domain.administration import ListedIssuerKey, ListedKey, TenantRecord
from genjobs.domain.catalogue import Narrowing
from genjobs.domain.credentials import IssuerKey
from genjobs.domain.errors import ConfigurationError, NotFound
from genjobs.domain.ids import TenantId
from genjobs.domain.ports import (
    CredentialAdministration,
    JobLedger,
    JobStore,
    KeyDirectory,
    TenantAdministration,
    TenantDirectory,
)
from genjobs.domain.tenancy import Owner, Reach, Scope
from genjobs.testing.clock import BEGINNING, SequentialIds
from genjobs.testing.factories import a_new_job
from genjobs.testing.memory_access import a_key_record, a_key_text

NOW = BEGINNING
_MINUTE = timedelta(minutes=1)
_ids = SequentialIds()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministrationBackend:
    """Both administrators' ports, and what is seen of their work by others; no tenant exists."""

    tenants: TenantAdministration
    credentials: CredentialAdministration
    keys: KeyDirectory
    directory: TenantDirectory
    store: JobStore
    ledger: JobLedger

    async def tenant(self, name: str) -> TenantId:
        """Make a tenant."""
        tenant_id = TenantId(_ids.uuid7(NOW))
        await self.tenants.create_tenant(tenant_id, name, NOW)
        return tenant_id

    async def queue(self, owner: Owner, count: int) -> None:
        """Let a user have jobs that wait."""
        for _ in range(count):
            await self.store.create(a_new_job(owner))

    async def dispatched(self) -> int:
        """Return how many of them get a slot."""
        return len(await self.ledger.dispatch(now=NOW, limit=8))


class AdministrationContract:
    """Needs the fixture ``backend``, with 8 slots and no built-in limit."""

    @pytest.fixture
    def backend(self) -> AdministrationBackend:
        """Return the backend under test."""
        raise NotImplementedError

    # -- tenants ------------------------------------------------------------------------------

    async def test_tenant_is_found_by_its_name(self, backend: AdministrationBackend) -> None:
        second, first = await backend.tenant("b"), await backend.tenant("a")

        record = TenantRecord(id=first, name="a", created_at=NOW)
        assert await backend.tenants.tenant_named("a") == record
        assert [item.id for item in await backend.tenants.list_tenants()] == [first, second]
        with pytest.raises(NotFound):
            await backend.tenants.tenant_named("A")

    async def test_name_is_taken_once(self, backend: AdministrationBackend) -> None:
        await backend.tenant("a")
        with pytest.raises(ConfigurationError, match="'a'"):
            await backend.tenant("a")
        assert len(await backend.tenants.list_tenants()) == 1

    async def test_limits_are_set_one_by_one_and_unset(
        self, backend: AdministrationBackend
    ) -> None:
        tenant = await backend.tenant("a")
        await backend.tenants.set_tenant_limits(tenant, {"max_queued": 5, "weight": 2.0})
        found = await backend.tenants.set_tenant_limits(
            tenant, {"jobs_per_day": 7, "max_queued": None}, ["weight", "max_in_flight"]
        )

        assert found == {"max_queued": None, "jobs_per_day": 7}
        assert (await backend.tenants.tenant_named("a")).limits == found
        usage = await backend.directory.usage(Reach(tenant_id=tenant, user_id=None), now=NOW)
        assert usage.tenant is not None
        assert (usage.tenant.limits.jobs_per_day, usage.tenant.limits.weight) == (7, 1)

    @pytest.mark.parametrize(
        ("changes", "unset"),
        [
            ({"max_jobs": 1}, ()),
            ({"max_queued": -1}, ()),
            ({"max_queued": 2**31}, ()),
            ({"weight": None}, ()),
            ({"submits_per_second": 1.0}, ()),
            ({}, ("submit_burst",)),
            ({}, ("nothing",)),
        ],
    )
    async def test_limits_without_sense_change_nothing(
        self, backend: AdministrationBackend, changes: dict[str, object], unset: tuple[str, ...]
    ) -> None:
        tenant = await backend.tenant("a")
        rate = {"submits_per_second": 2.0, "submit_burst": 4}
        await backend.tenants.set_plan(tenant, "p", rate)
        if unset == ("submit_burst",):
            await backend.tenants.set_tenant_limits(tenant, rate)
        before = (await backend.tenants.tenant_named("a")).limits

        with pytest.raises(ConfigurationError):
            await backend.tenants.set_tenant_limits(tenant, changes, unset)
        assert (await backend.tenants.tenant_named("a")).limits == before

    async def test_cap_of_a_tenant_holds_at_once(self, backend: AdministrationBackend) -> None:
        tenant = await backend.tenant("a")
        await backend.queue(Owner(tenant_id=tenant, user_id="u_1"), 6)
        await backend.tenants.set_tenant_limits(tenant, {"max_in_flight": 2})
        assert await backend.dispatched() == 2
        await backend.tenants.set_tenant_limits(tenant, {}, ["max_in_flight"])
        assert await backend.dispatched() == 4

    async def test_narrowing_is_kept(self, backend: AdministrationBackend) -> None:
        tenant = await backend.tenant("a")
        for narrowing in (
            Narrowing(allowed=frozenset({"A", "B"}), denied=frozenset({"B"})),
            Narrowing(allowed=frozenset()),
            Narrowing(),
        ):
            await backend.tenants.narrow(tenant, narrowing)
            assert (await backend.tenants.tenant_named("a")).narrowing == narrowing
            assert await backend.directory.narrowing(tenant) == narrowing

    # -- plans --------------------------------------------------------------------------------

    async def test_plans_are_of_one_tenant(self, backend: AdministrationBackend) -> None:
        tenant, other = await backend.tenant("a"), await backend.tenant("b")
        await backend.tenants.set_plan(tenant, "pro", {"weight": 3.0})
        await backend.tenants.set_plan(tenant, "free", {"max_queued": 2, "weight": 0.5})
        await backend.tenants.set_plan(tenant, "free", {"max_queued": 3}, ["weight"])

        assert await backend.tenants.list_plans(tenant) == {
            "free": {"max_queued": 3},
            "pro": {"weight": 3.0},
        }
        assert await backend.tenants.list_plans(other) == {}
        for name in ("pro", "none"):
            with pytest.raises(NotFound):
                await backend.tenants.remove_plan(other, name)
            with pytest.raises(NotFound):
                await backend.tenants.assign_plan(Owner(tenant_id=other, user_id="u"), name)

    async def test_removed_plan_lets_its_users_go_at_once_and_for_good(
        self, backend: AdministrationBackend
    ) -> None:
        tenant = await backend.tenant("a")
        owner = Owner(tenant_id=tenant, user_id="u_1")
        await backend.tenants.set_plan(tenant, "one", {"max_in_flight": 1})
        await backend.tenants.assign_plan(owner, "one")
        await backend.queue(owner, 3)
        assert await backend.dispatched() == 1

        await backend.tenants.remove_plan(tenant, "one")
        assert await backend.dispatched() == 2
        await backend.tenants.set_plan(tenant, "one", {"max_in_flight": 1})
        usage = await backend.directory.usage(
            Reach(tenant_id=tenant, user_id=owner.user_id), now=NOW
        )
        assert usage.user is not None
        assert (usage.user.plan, usage.user.limits.max_in_flight) == (None, None)

    # -- credentials --------------------------------------------------------------------------

    async def test_keys_are_listed_without_their_digest(
        self, backend: AdministrationBackend
    ) -> None:
        tenant, other = await backend.tenant("a"), await backend.tenant("b")
        first = a_key_record(a_key_text("1", live=True), tenant, expires_at=NOW + _MINUTE)
        second = a_key_record(a_key_text("2"), other, Scope.JOBS_READ)
        await backend.credentials.add_key(second, "", NOW)
        await backend.credentials.add_key(first, "backend", NOW)
        await backend.keys.touch({first.id: (tenant, NOW)})
        await backend.credentials.revoke_key(first.id, NOW)

        listed = ListedKey(
            id=first.id,
            tenant="a",
            name="backend",
            live=True,
            scopes=frozenset(Scope),
            created_at=NOW,
            expires_at=NOW + _MINUTE,
            revoked_at=NOW,
            last_used_at=NOW,
        )
        assert await backend.credentials.list_keys(tenant) == [listed]
        assert [item.id for item in await backend.credentials.list_keys(None)] == [
            first.id,
            second.id,
        ]
        assert await backend.keys.find_key(second.id) == second
        with pytest.raises(NotFound):
            await backend.credentials.revoke_key("0" * 12, NOW)

    async def test_issuers_key_is_registered_once_and_revoked(
        self, backend: AdministrationBackend
    ) -> None:
        tenant, other = await backend.tenant("a"), await backend.tenant("b")
        key = IssuerKey(
            tenant_id=tenant,
            issuer="https://site.test",
            kid="k1",
            algorithm="ES256",
            public_key="PEM",
            scopes=frozenset({Scope.JOBS_READ}),
        )
        await backend.credentials.add_issuer_key(key, NOW)
        with pytest.raises(ConfigurationError):
            await backend.credentials.add_issuer_key(key, NOW)
        await backend.credentials.revoke_issuer_key(key.issuer, key.kid, NOW)
        await backend.credentials.revoke_issuer_key(key.issuer, key.kid, NOW + _MINUTE)

        listed = ListedIssuerKey(
            issuer=key.issuer,
            kid="k1",
            tenant="a",
            algorithm="ES256",
            public_key="PEM",
            scopes=key.scopes,
            created_at=NOW,
            revoked_at=NOW,
        )
        assert await backend.credentials.list_issuer_keys(tenant) == [listed]
        assert await backend.credentials.list_issuer_keys(None) == [listed]
        assert await backend.credentials.list_issuer_keys(other) == []
        with pytest.raises(NotFound):
            await backend.credentials.revoke_issuer_key(key.issuer, "k2", NOW)

    async def test_tokens_stay_revoked(self, backend: AdministrationBackend) -> None:
        owner = Owner(tenant_id=await backend.tenant("a"), user_id="u_1")
        await backend.credentials.revoke_tokens(owner, NOW + _MINUTE)
        await backend.credentials.revoke_tokens(owner, NOW)
        assert (await backend.directory.standing(owner)).tokens_since == NOW + _MINUTE
