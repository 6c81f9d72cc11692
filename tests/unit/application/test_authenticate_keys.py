"""Who is let in by an API key, how soon a revocation holds, and who must wait."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from genjobs.adapters.jwt_tokens import JwtCodec
from genjobs.application.authenticate import FAILURES, Authenticate
from genjobs.domain.credentials import KeyRecord, KeyText
from genjobs.domain.errors import RateLimited, Unauthenticated, Unavailable
from genjobs.domain.ids import TenantId
from genjobs.domain.tenancy import Scope
from genjobs.testing import (
    FakeClock,
    MemoryJobs,
    MemoryKeyDirectory,
    MemoryTenantDirectory,
    a_key_record,
    a_key_text,
    a_tenant_id,
)

CLIENT = "203.0.113.7"


class CountingDirectory(MemoryKeyDirectory):
    """Counts look-ups; they wait while the gate is closed."""

    def __init__(self, jobs: MemoryJobs) -> None:
        super().__init__(jobs)
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def find_key(self, key_id: str) -> KeyRecord | None:
        self.asked.append(key_id)
        await self.gate.wait()
        return await super().find_key(key_id)

    async def touch(self, used: Mapping[str, tuple[TenantId, datetime]]) -> None:
        await self.gate.wait()
        await super().touch(used)


@dataclasses.dataclass
class Door:
    """An authenticator with what it stands on."""

    jobs: MemoryJobs
    directory: CountingDirectory
    clock: FakeClock
    authenticate: Authenticate

    def add(self, name: str = "key", tenant: TenantId | None = None, **parts: object) -> str:
        text = a_key_text(name)
        self.jobs.tenants.keys[text.id] = dataclasses.replace(
            a_key_record(text, tenant or a_tenant_id()),
            **parts,  # type: ignore[arg-type]
        )
        return text.reveal()

    def change(self, name: str = "key", **parts: object) -> None:
        keys, key_id = self.jobs.tenants.keys, a_key_text(name).id
        keys[key_id] = dataclasses.replace(keys[key_id], **parts)  # type: ignore[arg-type]

    async def knock(self, token: str, client: str | None = CLIENT) -> object:
        """Return the principal, or the error's class."""
        try:
            return await self.authenticate.authenticate(token, client=client)
        except (Unauthenticated, RateLimited, Unavailable) as refusal:
            return type(refusal)


def a_door(jobs: MemoryJobs | None = None, clock: FakeClock | None = None) -> Door:
    jobs, clock = jobs or MemoryJobs(), clock or FakeClock()
    directory = CountingDirectory(jobs)
    return Door(
        jobs,
        directory,
        clock,
        Authenticate(
            keys=directory,
            tenants=MemoryTenantDirectory(jobs),
            codec=JwtCodec(["s" * 32], audience="genjobs"),
            clock=clock,
        ),
    )


@pytest.fixture
def door() -> Door:
    return a_door()


def unknown(n: int) -> str:
    return a_key_text(f"unknown {n}").reveal()


async def fail(door: Door, count: int, client: str = CLIENT) -> None:
    for n in range(count):
        assert await door.knock(unknown(n), client) is Unauthenticated


# -- who is let in ---------------------------------------------------------------------------


async def test_key_names_its_tenant_and_scopes(door: Door) -> None:
    tenant = a_tenant_id()
    token = door.add(tenant=tenant, scopes=frozenset({Scope.JOBS_READ}))
    principal = await door.authenticate.authenticate(token)

    assert (principal.tenant_id, principal.key_id) == (tenant, a_key_text("key").id)
    assert (principal.scopes, principal.user_id) == (frozenset({Scope.JOBS_READ}), None)


async def test_text_with_a_wrong_checksum_costs_no_look_up(door: Door) -> None:
    token = door.add()
    for at in range(3, len(token)):
        wrong = token[:at] + ("a" if token[at] != "a" else "b") + token[at + 1 :]
        assert await door.knock(wrong, None) is Unauthenticated
    assert door.directory.asked == []


async def test_every_refusal_is_the_same(door: Door) -> None:
    text = a_key_text("key")
    door.add()
    door.add("expired", expires_at=door.clock.now())
    door.add("revoked", revoked_at=door.clock.now())
    door.add("other kind", live=True)
    refusals = set()
    for token in (
        KeyText(live=False, id=text.id, secret=a_key_text("x").secret).reveal(),
        KeyText(live=False, id=a_key_text("x").id, secret=text.secret).reveal(),
        KeyText(live=True, id=text.id, secret=text.secret).reveal(),
        a_key_text("expired").reveal(),
        a_key_text("revoked").reveal(),
        a_key_text("other kind").reveal(),
        text.reveal()[:-1],
        "gj_live_",
        "a.b.c",
    ):
        with pytest.raises(Unauthenticated) as refused:
            await door.authenticate.authenticate(token)
        refusals.add((str(refused.value), refused.value.__cause__))
    assert len(refusals) == 1


async def test_several_keys_of_a_tenant_are_live_at_once(door: Door) -> None:
    tenant = a_tenant_id()
    old, new = door.add("old", tenant), door.add("new", tenant)
    for token in (old, new):
        assert (await door.authenticate.authenticate(token)).tenant_id == tenant
    door.change("old", revoked_at=door.clock.now())
    door.clock.advance(timedelta(seconds=5))
    assert await door.knock(old) is Unauthenticated
    assert (await door.authenticate.authenticate(new)).tenant_id == tenant


async def test_key_expires_to_the_second_though_it_is_remembered(door: Door) -> None:
    token = door.add(expires_at=door.clock.now() + timedelta(seconds=1))
    await door.authenticate.authenticate(token)
    door.clock.advance(timedelta(milliseconds=999))
    await door.authenticate.authenticate(token)
    door.clock.advance(timedelta(milliseconds=1))
    assert await door.knock(token) is Unauthenticated
    assert len(door.directory.asked) == 1


# -- how soon ---------------------------------------------------------------------------------


async def test_revocation_holds_within_five_seconds_on_every_process() -> None:
    jobs, clock = MemoryJobs(), FakeClock()
    doors = [a_door(jobs, clock) for _ in range(2)]
    token = doors[0].add()
    for step, door in enumerate(doors):
        clock.advance(timedelta(seconds=step))
        await door.authenticate.authenticate(token)
    doors[0].change(revoked_at=clock.now())
    for _ in range(49):
        clock.advance(timedelta(seconds=0.1))
        for door in doors:
            await door.knock(token)  # asking all the time does not keep it alive
    clock.advance(timedelta(seconds=0.1))
    assert [await door.knock(token) for door in doors] == [Unauthenticated] * 2


async def test_new_key_that_was_asked_for_too_early_works_within_five_seconds(door: Door) -> None:
    token = a_key_text("key").reveal()
    assert [await door.knock(token) for _ in range(5)] == [Unauthenticated] * 5
    assert len(door.directory.asked) == 1  # that there is none is remembered
    door.add()
    door.clock.advance(timedelta(seconds=5))
    assert (await door.authenticate.authenticate(token)).scopes == frozenset(Scope)


async def test_hundred_requests_with_a_cold_key_cost_one_look_up(door: Door) -> None:
    token = door.add()
    door.directory.gate.clear()
    knocking = [asyncio.create_task(door.knock(token)) for _ in range(100)]
    await asyncio.sleep(0.001)
    knocking[0].cancel()
    await asyncio.sleep(0.001)
    door.directory.gate.set()
    answers = await asyncio.gather(*knocking[1:])

    assert len(set(answers)) == 1
    assert len(door.directory.asked) == 1


async def test_outage_is_no_failure_and_lets_nobody_in(door: Door) -> None:
    token = door.add()
    await door.authenticate.authenticate(token)
    door.jobs.available = False
    await door.authenticate.authenticate(token)  # still remembered
    door.clock.advance(timedelta(seconds=5))
    for _ in range(3 * FAILURES.burst):
        assert await door.knock(token) is Unavailable
    door.jobs.available = True
    assert await door.knock(unknown(0)) is Unauthenticated  # none of it was counted
    assert (await door.authenticate.authenticate(token, client=CLIENT)).scopes


# -- who must wait ----------------------------------------------------------------------------


async def test_failures_of_one_address_are_limited(door: Door) -> None:
    token = door.add()
    await fail(door, FAILURES.burst)
    asked = len(door.directory.asked)
    with pytest.raises(RateLimited) as refused:
        await door.authenticate.authenticate(token, client=CLIENT)
    assert refused.value.retry_after == pytest.approx(1 / FAILURES.per_second)
    assert len(door.directory.asked) == asked  # nothing was looked at

    assert await door.knock(unknown(0), "203.0.113.8") is Unauthenticated
    door.clock.advance(timedelta(seconds=refused.value.retry_after))
    assert (await door.authenticate.authenticate(token, client=CLIENT)).scopes


@pytest.mark.parametrize("wrong", ["gj_", "x", "a.b.c", "\udc80"])
async def test_texts_that_cost_no_look_up_are_counted_too(door: Door, wrong: str) -> None:
    for _ in range(FAILURES.burst):
        assert await door.knock(wrong) is Unauthenticated
    assert await door.knock(wrong) is RateLimited


async def test_key_that_is_known_passes_while_its_address_must_wait(door: Door) -> None:
    token = door.add()
    await door.authenticate.authenticate(token, client=CLIENT)
    await fail(door, FAILURES.burst)
    assert await door.knock(unknown(0)) is RateLimited
    assert (await door.authenticate.authenticate(token, client=CLIENT)).scopes

    door.clock.advance(timedelta(seconds=4))  # to be looked up again
    await fail(door, 2)
    door.directory.gate.clear()
    knocking = [asyncio.create_task(door.knock(token)) for _ in range(10)]
    await asyncio.sleep(0.001)
    door.directory.gate.set()
    assert RateLimited not in await asyncio.gather(*knocking)


async def test_known_key_passes_after_an_outage_though_its_address_must_wait(door: Door) -> None:
    token = door.add()
    await door.authenticate.authenticate(token, client=CLIENT)
    door.clock.advance(timedelta(seconds=4))
    door.jobs.available = False
    assert await door.knock(token) is Unavailable
    for _ in range(FAILURES.burst):
        await door.knock("gj_wrong")
    door.jobs.available = True
    assert (await door.authenticate.authenticate(token, client=CLIENT)).scopes


async def test_known_key_with_another_secret_must_wait(door: Door) -> None:
    token, text = door.add(), a_key_text("key")
    await door.authenticate.authenticate(token, client=CLIENT)
    await fail(door, FAILURES.burst)
    wrong = KeyText(live=False, id=text.id, secret=a_key_text("x").secret).reveal()
    assert await door.knock(wrong) is RateLimited
    door.change(revoked_at=door.clock.now())
    door.clock.advance(timedelta(seconds=5))
    await fail(door, 2)
    assert await door.knock(token) is Unauthenticated  # seen to be revoked, and then
    assert await door.knock(token) is RateLimited


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
        ("unix", "unix", True),
    ],
)
async def test_client_is_an_ipv4_address_or_an_ipv6_network(
    door: Door, first: str, second: str, together: bool
) -> None:
    await fail(door, FAILURES.burst, first)
    assert await door.knock(unknown(0), second) is (RateLimited if together else Unauthenticated)


async def test_clients_without_an_address_are_not_limited(door: Door) -> None:
    for n in range(2 * FAILURES.burst):
        assert await door.knock(unknown(n), None) is Unauthenticated


# -- when it was used -------------------------------------------------------------------------


async def test_use_is_noted_together_and_once(door: Door) -> None:
    tokens = [door.add(name) for name in ("a", "b")]
    for token in tokens * 5:
        await door.authenticate.authenticate(token)
    touched = door.jobs.tenants.touched
    assert touched == {}
    await door.authenticate.note_use()
    assert set(touched.values()) == {door.clock.now()}
    assert set(touched) == {a_key_text("a").id, a_key_text("b").id}
    touched.clear()
    await door.authenticate.note_use()
    assert touched == {}


async def test_use_that_could_not_be_noted_is_noted_later(door: Door) -> None:
    token = door.add()
    await door.authenticate.authenticate(token)
    first = door.clock.now()
    door.jobs.available = False
    await door.authenticate.note_use()
    door.jobs.available = True
    door.clock.advance(timedelta(seconds=1))
    await door.authenticate.authenticate(token)
    await door.authenticate.note_use()
    assert door.jobs.tenants.touched == {a_key_text("key").id: first + timedelta(seconds=1)}


async def test_use_is_not_lost_when_noting_it_is_cancelled(door: Door) -> None:
    await door.authenticate.authenticate(door.add())
    door.directory.gate.clear()
    noting = asyncio.create_task(door.authenticate.note_use())
    await asyncio.sleep(0.001)
    noting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await noting
    door.directory.gate.set()
    await door.authenticate.note_use()  # as is done at the end
    assert set(door.jobs.tenants.touched) == {a_key_text("key").id}


async def test_refused_key_is_not_used(door: Door) -> None:
    await door.knock(door.add(revoked_at=door.clock.now()))
    await door.authenticate.note_use()
    assert door.jobs.tenants.touched == {}
