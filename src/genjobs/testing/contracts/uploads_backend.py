"""What the suite of the uploads' ports runs on; its tests are in ``uploads``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from genjobs.domain.job import Created, Job
from genjobs.domain.ports import IngestLedger, TenantDirectory, UploadLedger, UploadStore
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload, UploadFile
from genjobs.testing.clock import BEGINNING
from genjobs.testing.contracts.jobs_backend import JobsBackend, reach_of
from genjobs.testing.contracts.tenancy_backend import Arrangement
from genjobs.testing.factories import a_new_job, an_upload


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadsBackend:
    """The uploads and the jobs that use them, over the same, empty data of two tenants."""

    jobs: JobsBackend
    ingests: IngestLedger
    uploads: UploadStore
    ledger: UploadLedger
    directory: TenantDirectory
    arrange: Arrangement
    #: Lets a job's data go at a moment, as whoever removes them does.
    release: Callable[[Job, datetime], Awaitable[None]]

    async def made(self, owner: Owner | None = None, **parts: Any) -> Upload:
        """Note an upload and return it."""
        upload = an_upload(owner or self.jobs.owner(), **parts)
        await self.uploads.create(upload)
        return upload

    async def submit(
        self, *uploads: Upload, owner: Owner | None = None, at: datetime = BEGINNING, **parts: Any
    ) -> Created:
        """Create a job with uploads."""
        new = a_new_job(owner or self.jobs.owner(), uploads=uploads, at=at, **parts)
        return await self.jobs.store.create(new)

    async def has(self, upload: Upload, *, at: datetime = BEGINNING) -> bool:
        """Return whether its owner may use it."""
        found = await self.uploads.find(upload.owner, [upload.id], now=at)
        assert all(item.key == upload.key for item in found.values())
        return upload.id in found

    async def take(self, at: datetime, limit: int = 100) -> set[UploadFile]:
        """Take what nobody needs."""
        return set(await self.ledger.take(now=at, limit=limit))

    async def unused(self, owner: Owner) -> tuple[int, int]:
        """Return how many uploads of the tenant and of the user count as unused."""
        usage = await self.directory.usage(reach_of(owner), now=BEGINNING)
        assert usage.tenant is not None
        assert usage.user is not None
        return usage.tenant.uploads, usage.user.uploads


def file_of(upload: Upload) -> UploadFile:
    """Return the upload's file."""
    return UploadFile(key=upload.key, tenant_id=upload.owner.tenant_id, upload_id=upload.id)
