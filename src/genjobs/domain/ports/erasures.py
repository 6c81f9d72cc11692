"""Ports to erasures: the tenant's side, and the supervisors'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.erasure import Erasing, Erasure
from genjobs.domain.ids import ErasureId, JobId, TenantId, UploadId
from genjobs.domain.tenancy import Owner, Reach


class ErasureStore(Protocol):
    """
    The tenant's side: begin an erasure, read its receipt.

    Every method raises ``Unavailable`` when the database cannot be reached; repeating is safe.
    """

    async def begin_user(
        self, owner: Owner, erasure_id: ErasureId, *, now: datetime
    ) -> Erasure | None:
        """
        Begin to erase all that is the owner's; None when there is no such tenant.

        The one that goes on already is returned instead, if there is one. Once this has returned
        no submit of the owner's is accepted, one that had begun included, and tokens that were made
        for the owner until ``now`` are dead. Whether anything is the owner's makes no difference.
        """

    async def begin_job(
        self, reach: Reach, job_id: JobId, erasure_id: ErasureId, *, now: datetime
    ) -> Erasure | None:
        """Begin to erase a job, likewise; None when there is none within ``reach``."""

    async def get(self, tenant_id: TenantId, erasure_id: ErasureId) -> Erasure | None:
        """Return the tenant's erasure, or None."""


class ErasureLedger(Protocol):
    """
    The supervisors' side: the steps of an erasure, over all tenants.

    Each step looks at what there is and may be repeated; what was removed before is not counted
    twice. Rows go only after their files were removed by the caller. Every method raises
    ``Unavailable`` when the database cannot be reached.
    """

    async def take(self, *, now: datetime, limit: int) -> Sequence[Erasing]:
        """
        Take at most ``limit`` erasures that are due.

        The same one must not be given to anybody else before ``RetentionRules.taken`` has passed,
        or it was put off to an earlier time.
        """

    async def put_off(
        self, erasing: Erasing, *, until: datetime, busy_at: datetime | None = None
    ) -> None:
        """Let it go on at ``until``; note when a job of it was seen going on."""

    async def open_jobs(self, erasing: Erasing, *, limit: int) -> Sequence[JobId]:
        """Return at most ``limit`` jobs to be erased that have not ended."""

    async def cancel(self, erasing: Erasing, job_id: JobId, *, now: datetime) -> None:
        """Request the cancel of a job to be erased, as ``JobStore.request_cancel`` does."""

    async def jobs(self, erasing: Erasing, *, limit: int) -> Sequence[JobId]:
        """Return at most ``limit`` jobs to be erased."""

    async def jobs_gone(
        self, erasing: Erasing, files: Mapping[JobId, int], *, now: datetime
    ) -> int:
        """
        Remove jobs with all their rows, and return how many.

        ``files`` tells how many files of each the caller has removed; a job counts with at least
        as many as it names. A job that has not ended must stay, and so must any that is not to be
        erased. With a single job its idempotency keys go at once.
        """

    async def keys_gone(self, erasing: Erasing, *, limit: int) -> int:
        """Remove at most ``limit`` of the owner's idempotency keys, and return how many."""

    async def uploads(
        self, erasing: Erasing, *, now: datetime, limit: int
    ) -> Mapping[UploadId, ArtifactKey]:
        """
        Return at most ``limit`` of the owner's uploads; no job can be submitted with them any more.

        None of the owner's jobs refers to them by then.
        """

    async def uploads_gone(self, erasing: Erasing, uploads: Sequence[UploadId]) -> int:
        """Remove uploads whose files are gone, and return how many."""

    async def strays_gone(self, erasing: Erasing, files: int) -> None:
        """Count files that were found and removed once no row named any."""

    async def finish(self, erasing: Erasing, *, now: datetime) -> bool:
        """
        End the erasure unless something is left; return whether it has ended.

        From then on nothing here tells whose it was, and the user may submit again, as one who was
        never here.
        """

    async def tidy(self, *, now: datetime, limit: int) -> None:
        """Remove receipts that are kept no longer, and cutoffs of tokens that have all expired."""
