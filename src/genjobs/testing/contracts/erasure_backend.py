"""What the suites of erasures run on; their tests are in the suites."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from genjobs.domain.erasure import Erased, Erasing, Erasure
from genjobs.domain.ids import ErasureId
from genjobs.domain.job import Job
from genjobs.domain.ports import (
    ErasureLedger,
    ErasureStore,
    TenantDirectory,
    UploadLedger,
    UploadStore,
)
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload
from genjobs.testing.contracts.job_store import reach_of
from genjobs.testing.contracts.ledger_steps import NOW, completed, start
from genjobs.testing.contracts.supervision_backend import SupervisionBackend
from genjobs.testing.factories import a_new_job, an_upload


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureBackend(SupervisionBackend):
    """All that is kept of jobs, and erasures of them; with the default rules."""

    erasures: ErasureStore
    erasing: ErasureLedger
    directory: TenantDirectory
    uploads: UploadStore
    upload_ledger: UploadLedger

    async def begun(self, owner: Owner | None = None) -> Erasure:
        """Begin to erase a user."""
        found = await self.erasures.begin_user(owner or self.owner(), ErasureId(uuid4()), now=NOW)
        assert found is not None
        return found

    async def begun_job(self, job: Job) -> Erasure:
        """Begin to erase a job."""
        found = await self.erasures.begin_job(
            reach_of(job.owner), job.id, ErasureId(uuid4()), now=NOW
        )
        assert found is not None
        return found

    async def taken(self) -> Erasing:
        """Return the one erasure that is due."""
        [erasing] = await self.erasing.take(now=NOW, limit=9)
        return erasing

    async def ended(self, owner: Owner | None = None, **parts: object) -> Job:
        """Return a completed job with an input and an output."""
        job = await self.submitted(owner, inputs=["a.png"], **parts)
        execution, _ = await start(self)
        await self.ledger.finish(execution, completed(execution), now=NOW)
        return await self.read(job)

    async def uploaded(self, owner: Owner | None = None) -> Upload:
        """Return an upload, declared."""
        upload = an_upload(owner or self.owner())
        await self.uploads.create(upload)
        return upload

    async def using(self, *uploads: Upload) -> Job:
        """Return a job that was submitted with uploads, and cancelled."""
        job = (await self.store.create(a_new_job(uploads[0].owner, uploads=list(uploads)))).job
        await self.store.request_cancel(reach_of(job.owner), job.id, now=NOW)
        return job

    async def erased(self, erasure: Erasure) -> Erased:
        """Return what the receipt says."""
        found = await self.erasures.get(erasure.tenant_id, erasure.id)
        assert found is not None
        return found.erased
