"""The contract of ``UploadStore``: how many uploads there may be, and of how many bytes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import pytest

from genjobs.domain.errors import GenjobsError, QuotaExceeded, UploadsFull
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Created
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload
from genjobs.testing.clock import BEGINNING as NOW
from genjobs.testing.contracts.jobs_backend import reach_of
from genjobs.testing.contracts.uploads_backend import UploadsBackend, file_of
from genjobs.testing.factories import an_input

DAY = timedelta(days=1)


class UploadLimits:
    """Part of ``UploadsContract``."""

    @pytest.fixture
    def backend(self) -> UploadsBackend:
        """Return the backend under test."""
        raise NotImplementedError

    async def test_no_number_of_uploads_at_once_gets_past_a_cap(
        self, backend: UploadsBackend
    ) -> None:
        await backend.arrange.set_limits(backend.jobs.tenants[0], max_uploads=9)
        owners = [backend.jobs.owner(f"u_{n % 4}") for n in range(40)]
        results = await asyncio.gather(
            *(backend.made(owner) for owner in owners), return_exceptions=True
        )
        assert sum(isinstance(result, Upload) for result in results) == 9
        assert sum(isinstance(result, UploadsFull) for result in results) == 31
        assert (await backend.unused(owners[0]))[0] == 9
        await backend.made(backend.jobs.owner(tenant=1))

    async def test_users_cap_is_by_plan_and_has_room_again(self, backend: UploadsBackend) -> None:
        owner = backend.jobs.owner()
        await backend.arrange.set_plan(owner.tenant_id, "two", max_uploads=2)
        await backend.arrange.assign(owner, "two")
        used, expired = await backend.made(life=2 * DAY), await backend.made(life=DAY)
        assert isinstance(await _refused(backend, owner), UploadsFull)
        await backend.made(backend.jobs.owner("u_2"))

        await backend.submit(used)
        third = await backend.made()
        assert isinstance(await _refused(backend, owner), UploadsFull)
        assert await backend.take(NOW + DAY) >= {file_of(expired)}
        await backend.made(at=NOW + DAY)
        assert not await backend.has(third, at=NOW + DAY)

    async def test_declared_bytes_are_of_the_day_and_count_once(
        self, backend: UploadsBackend
    ) -> None:
        owner = backend.jobs.owner()
        await backend.arrange.set_plan(owner.tenant_id, "thin", bytes_per_day=1000)
        await backend.arrange.assign(owner, "thin")
        upload = await backend.made(length=600)
        refused = await _refused(backend, owner, length=401)
        assert isinstance(refused, QuotaExceeded)
        assert (NOW + timedelta(seconds=refused.retry_after)).hour == 0

        created = await backend.submit(upload, pending=["late.png"])
        await _ingest(backend, created, {"late.png": 300})
        assert await _bytes_today(backend, owner) == 900
        assert isinstance(await _refused(backend, owner, length=101), QuotaExceeded)
        await backend.made(length=1000, at=NOW + DAY)

    async def test_bytes_of_the_tenant_are_all_its_users(self, backend: UploadsBackend) -> None:
        tenant = backend.jobs.tenants[0]
        await backend.arrange.set_limits(tenant, bytes_per_day=1000)
        await backend.made(length=700)
        refused = await _refused(backend, backend.jobs.owner("u_2"), length=301)
        assert isinstance(refused, QuotaExceeded)
        assert await backend.unused(backend.jobs.owner("u_2")) == (1, 0)
        await backend.made(backend.jobs.owner("u_2"), length=300)


async def _refused(backend: UploadsBackend, owner: Owner, **parts: object) -> GenjobsError:
    with pytest.raises(GenjobsError) as caught:
        await backend.made(owner, **parts)
    return caught.value


async def _ingest(backend: UploadsBackend, created: Created, sizes: dict[str, int]) -> None:
    """End the job's ingest; media that ``sizes`` does not name have 10,000 bytes."""
    [ingest] = await backend.ingests.claim([ExecutionId(uuid4())], now=NOW)
    inputs = [
        dataclasses.replace(
            an_input(created.job.owner, created.job.id, index=media.index, name=media.name),
            bytes=sizes.get(media.name, 10_000),
        )
        for media in ingest.media
    ]
    await backend.ingests.finish(ingest.execution, inputs, now=NOW)


async def _bytes_today(backend: UploadsBackend, owner: Owner) -> int:
    usage = await backend.directory.usage(reach_of(owner), now=NOW)
    both: Sequence[int] = [part.bytes_today for part in (usage.tenant, usage.user) if part]
    assert len(set(both)) == 1
    return both[0]
