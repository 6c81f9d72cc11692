"""What a tenant does without: of that tenant only, and within five seconds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from genjobs.application.catalogues import Catalogues
from genjobs.domain.catalogue import Narrowing, NodeCatalogue
from genjobs.domain.errors import Unavailable
from genjobs.domain.ids import TenantId
from genjobs.testing import (
    FakeClock,
    MemoryJobs,
    MemoryTenantDirectory,
    a_tenant_id,
)


class Counting(MemoryTenantDirectory):
    def __init__(self, jobs: MemoryJobs) -> None:
        super().__init__(jobs)
        self.asked: list[TenantId] = []

    async def narrowing(self, tenant_id: TenantId) -> Narrowing:
        self.asked.append(tenant_id)
        return await super().narrowing(tenant_id)


@pytest.fixture
def jobs() -> MemoryJobs:
    return MemoryJobs()


async def test_narrowing_is_of_one_tenant_and_soon_effective(jobs: MemoryJobs) -> None:
    clock, directory, whole = FakeClock(), Counting(jobs), NodeCatalogue()
    catalogues, mine, other = Catalogues(whole, directory, clock), a_tenant_id(), a_tenant_id()
    assert whole.get("ImageInvert") is not None
    assert await catalogues.of(mine) is whole

    jobs.tenants.rules(mine).narrowing = Narrowing(denied=frozenset({"ImageInvert"}))
    clock.advance(timedelta(seconds=5))
    assert (await catalogues.of(mine)).get("ImageInvert") is None
    assert (await catalogues.of(mine)).get("SaveImage") is not None
    assert await catalogues.of(other) is whole

    jobs.tenants.rules(mine).narrowing = Narrowing(allowed=frozenset({"SaveImage"}))
    clock.advance(timedelta(seconds=5))
    assert (await catalogues.of(mine)).get("ImageInvert") is None
    jobs.tenants.rules(mine).narrowing = Narrowing()
    clock.advance(timedelta(seconds=5))
    assert await catalogues.of(mine) is whole


async def test_narrowing_is_looked_up_once_in_its_seconds(jobs: MemoryJobs) -> None:
    clock, directory = FakeClock(), Counting(jobs)
    catalogues, mine = Catalogues(NodeCatalogue(), directory, clock), a_tenant_id()
    for _ in range(10):
        await catalogues.of(mine)
    assert directory.asked == [mine]


async def test_tenants_that_do_without_the_same_share_a_catalogue(jobs: MemoryJobs) -> None:
    catalogues = Catalogues(NodeCatalogue(), MemoryTenantDirectory(jobs), FakeClock())
    tenants = [a_tenant_id(), a_tenant_id()]
    for tenant in tenants:
        jobs.tenants.rules(tenant).narrowing = Narrowing(denied=frozenset({"ImageInvert"}))
    first, second = [await catalogues.of(tenant) for tenant in tenants]
    assert first is second


async def test_nobody_gets_the_whole_catalogue_because_of_an_outage(jobs: MemoryJobs) -> None:
    catalogues = Catalogues(NodeCatalogue(), MemoryTenantDirectory(jobs), FakeClock())
    jobs.available = False
    with pytest.raises(Unavailable):
        await catalogues.of(a_tenant_id())
