"""Erasures in memory, the tenant's side and the supervisors'."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.credentials import TOKEN_LIFE
from genjobs.domain.erasure import Erased, Erasing, Erasure, ErasureKind
from genjobs.domain.ids import ErasureId, JobId, TenantId, UploadId
from genjobs.domain.retention import RetentionRules
from genjobs.domain.tenancy import Owner, Reach
from genjobs.testing.memory_rows import MemoryJobs, Row
from genjobs.testing.memory_store import MemoryJobStore


@dataclass(slots=True, kw_only=True)
class ErasureRow:
    """An erasure as it is kept."""

    receipt: Erasure
    #: Whose, and which job's; gone with the end.
    owner: Owner | None
    job_id: JobId | None
    due_at: datetime
    busy_at: datetime | None = None

    def count(self, **more: int) -> None:
        """Add to what was removed."""
        before = dataclasses.asdict(self.receipt.erased)
        now = Erased(**{name: before[name] + more.get(name, 0) for name in before})
        self.receipt = dataclasses.replace(self.receipt, erased=now)


class MemoryErasures:
    """The ``ErasureStore`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def begin_user(
        self, owner: Owner, erasure_id: ErasureId, *, now: datetime
    ) -> Erasure | None:
        """See the port."""
        row = self._begin(owner, None, erasure_id, now)
        cutoffs = self._jobs.tenants.token_cutoffs
        cutoffs[owner] = max(now, cutoffs.get(owner, now))
        self._jobs.erased_users.add(owner)
        return row.receipt

    async def begin_job(
        self, reach: Reach, job_id: JobId, erasure_id: ErasureId, *, now: datetime
    ) -> Erasure | None:
        """See the port."""
        job = self._jobs.within(reach, job_id)
        if job is None:
            return None
        return self._begin(job.job.owner, job_id, erasure_id, now).receipt

    async def get(self, tenant_id: TenantId, erasure_id: ErasureId) -> Erasure | None:
        """See the port."""
        row = self._jobs.erasures.get(erasure_id)
        return row.receipt if row and row.receipt.tenant_id == tenant_id else None

    def _begin(
        self, owner: Owner, job_id: JobId | None, erasure_id: ErasureId, now: datetime
    ) -> ErasureRow:
        erasures: dict[ErasureId, ErasureRow] = self._jobs.erasures
        for row in erasures.values():
            if row.owner == owner and row.job_id == job_id:
                return row
        kind = ErasureKind.USER if job_id is None else ErasureKind.JOB
        receipt = Erasure(id=erasure_id, tenant_id=owner.tenant_id, kind=kind, requested_at=now)
        erasures[erasure_id] = ErasureRow(receipt=receipt, owner=owner, job_id=job_id, due_at=now)
        return erasures[erasure_id]


class MemoryErasureLedger:
    """The ``ErasureLedger`` port."""

    def __init__(self, jobs: MemoryJobs, rules: RetentionRules | None = None) -> None:
        self._jobs = jobs
        self._rules = rules or RetentionRules()

    async def take(self, *, now: datetime, limit: int) -> Sequence[Erasing]:
        """See the port."""
        due = sorted(
            (row for row in self._jobs.erasures.values() if row.owner and row.due_at <= now),
            key=lambda row: row.due_at,
        )
        for row in due[:limit]:
            row.due_at = now + self._rules.taken
        return [
            Erasing(
                id=row.receipt.id,
                owner=row.owner,
                job_id=row.job_id,
                requested_at=row.receipt.requested_at,
                busy_at=row.busy_at,
            )
            for row in due[:limit]
            if row.owner
        ]

    async def put_off(
        self, erasing: Erasing, *, until: datetime, busy_at: datetime | None = None
    ) -> None:
        """See the port."""
        row = self._jobs.erasures[erasing.id]
        row.due_at = until
        if busy_at is not None:
            row.busy_at = max(row.busy_at or busy_at, busy_at)

    async def open_jobs(self, erasing: Erasing, *, limit: int) -> Sequence[JobId]:
        """See the port."""
        return [row.job.id for row in self._rows(erasing) if not row.job.finished_at][:limit]

    async def cancel(self, erasing: Erasing, job_id: JobId, *, now: datetime) -> None:
        """See the port."""
        if any(row.job.id == job_id for row in self._rows(erasing)):
            owner = erasing.owner
            reach = Reach(tenant_id=owner.tenant_id, user_id=owner.user_id)
            await MemoryJobStore(self._jobs).request_cancel(reach, job_id, now=now)

    async def jobs(self, erasing: Erasing, *, limit: int) -> Sequence[JobId]:
        """See the port."""
        return [row.job.id for row in self._rows(erasing)][:limit]

    async def jobs_gone(
        self, erasing: Erasing, files: Mapping[JobId, int], *, now: datetime
    ) -> int:
        """See the port."""
        kept = self._jobs.erasures[erasing.id]
        ended = [row for row in self._rows(erasing) if row.job.finished_at and row.job.id in files]
        for row in ended:
            del self._jobs.rows[row.job.id]
            for upload in self._jobs.uploads.values():
                if erasing.job_id is not None:
                    upload.release(row.job.id, now)
            named = len(row.job.inputs) + len(row.job.outputs)
            kept.count(jobs=1, files=max(files[row.job.id], named))
        if erasing.job_id is not None:
            keys = self._jobs.keys
            mine = [key for key, entry in keys.items() if entry[1] == erasing.job_id]
            for key in mine:
                del keys[key]
            kept.count(idempotency_keys=len(mine))
        return len(ended)

    async def keys_gone(self, erasing: Erasing, *, limit: int) -> int:
        """See the port."""
        keys = self._jobs.keys
        mine = [key for key in keys if key[0] == erasing.owner][:limit]
        for key in mine:
            del keys[key]
        self._jobs.erasures[erasing.id].count(idempotency_keys=len(mine))
        return len(mine)

    async def uploads(
        self, erasing: Erasing, *, now: datetime, limit: int
    ) -> Mapping[UploadId, ArtifactKey]:
        """See the port."""
        mine = [row for row in self._jobs.uploads.values() if row.upload.owner == erasing.owner]
        for row in mine[:limit]:
            row.leaving, row.due_at = True, now + self._rules.taken
        return {row.upload.id: row.upload.key for row in mine[:limit]}

    async def uploads_gone(self, erasing: Erasing, uploads: Sequence[UploadId]) -> int:
        """See the port."""
        kept = self._jobs.uploads
        mine = [
            upload_id
            for upload_id in uploads
            if upload_id in kept
            and kept[upload_id].leaving
            and kept[upload_id].upload.owner == erasing.owner
        ]
        for upload_id in mine:
            del kept[upload_id]
        self._jobs.erasures[erasing.id].count(uploads=len(mine))
        return len(mine)

    async def strays_gone(self, erasing: Erasing, files: int) -> None:
        """See the port."""
        self._jobs.erasures[erasing.id].count(files=files)

    async def finish(self, erasing: Erasing, *, now: datetime) -> bool:
        """See the port."""
        row = self._jobs.erasures[erasing.id]
        if row.receipt.finished_at is not None:
            return True
        whole = erasing.job_id is None
        keys = whole and any(key[0] == erasing.owner for key in self._jobs.keys)
        uploads = whole and any(
            row.upload.owner == erasing.owner for row in self._jobs.uploads.values()
        )
        if self._rows(erasing) or keys or uploads:
            return False
        if whole:
            self._jobs.erased_users.discard(erasing.owner)
            self._jobs.tenants.forget(erasing.owner)
            self._jobs.tenants.token_cutoffs[erasing.owner] = now
        row.receipt = dataclasses.replace(row.receipt, finished_at=now)
        row.owner = row.job_id = None
        return True

    async def tidy(self, *, now: datetime, limit: int) -> None:
        """See the port."""
        erasures, cutoffs = self._jobs.erasures, self._jobs.tenants.token_cutoffs
        for erasure_id, row in list(erasures.items()):
            ended = row.receipt.finished_at
            if ended is not None and ended <= now - self._rules.receipts:
                del erasures[erasure_id]
        for owner, since in list(cutoffs.items()):
            if since <= now - TOKEN_LIFE and owner not in self._jobs.erased_users:
                del cutoffs[owner]

    def _rows(self, erasing: Erasing) -> list[Row]:
        return [
            row
            for row in self._jobs.rows.values()
            if row.job.owner == erasing.owner and erasing.job_id in (None, row.job.id)
        ]
