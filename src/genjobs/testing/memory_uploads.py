"""Uploads in memory: the tenant's side, and the system's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.errors import UserBeingErased
from genjobs.domain.ids import UploadId
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload, UploadFile
from genjobs.testing.memory_rows import MemoryJobs, UploadRow

_PAUSE = timedelta(minutes=10)


class MemoryUploadStore:
    """The ``UploadStore`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def create(self, upload: Upload) -> None:
        """See the port."""
        owner = upload.owner
        self._jobs.reach()
        if owner in self._jobs.erased_users:
            raise UserBeingErased
        self._jobs.tenants.admit_upload(
            upload, self._jobs.unused_uploads(owner.tenant_id), self._jobs.unused_uploads(owner)
        )
        self._jobs.uploads[upload.id] = UploadRow(upload=upload, due_at=upload.expires_at)

    async def find(
        self, owner: Owner, ids: Collection[UploadId], *, now: datetime
    ) -> Mapping[UploadId, Upload]:
        """See the port."""
        rows = {upload_id: self._jobs.uploads.get(upload_id) for upload_id in ids}
        return {
            upload_id: row.upload
            for upload_id, row in rows.items()
            if row is not None and row.usable(owner, now)
        }


class MemoryUploadLedger:
    """The ``UploadLedger`` port; a job whose row is gone refers to nothing."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def take(self, *, now: datetime, limit: int) -> Sequence[UploadFile]:
        """See the port."""
        taken: list[UploadFile] = []
        for upload_id, row in self._jobs.uploads.items():
            row.jobs.intersection_update(self._jobs.rows)
            if row.due_at > now or row.jobs or len(taken) == limit:
                continue
            row.leaving, row.due_at = True, now + _PAUSE
            owner = row.upload.owner
            taken.append(
                UploadFile(key=row.upload.key, tenant_id=owner.tenant_id, upload_id=upload_id)
            )
        return taken

    async def forget(self, files: Sequence[UploadFile]) -> None:
        """See the port."""
        for file in files:
            row = self._jobs.uploads.get(file.upload_id)
            if row is not None and row.leaving:
                del self._jobs.uploads[file.upload_id]

    async def orphans(self, files: Sequence[UploadFile]) -> frozenset[ArtifactKey]:
        """See the port."""
        known = self._jobs.tenants.known()
        known |= {row.job.owner.tenant_id for row in self._jobs.rows.values()}
        known |= {row.upload.owner.tenant_id for row in self._jobs.uploads.values()}
        keys = {row.upload.key for row in self._jobs.uploads.values()}
        return frozenset(
            file.key for file in files if file.tenant_id in known and file.key not in keys
        )
