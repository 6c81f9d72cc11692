"""Ports to the uploads: the tenant's store, and the system's ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.ids import UploadId
from genjobs.domain.tenancy import Owner
from genjobs.domain.uploads import Upload, UploadFile


class UploadStore(Protocol):
    """
    The tenant's side of the uploads; files are the artifact store's.

    Which jobs refer to an upload is written by ``JobStore.create``. Both methods raise
    ``Unavailable`` when the database cannot be reached.
    """

    async def create(self, upload: Upload) -> None:
        """
        Note an upload that is about to be made.

        Limits of tenant and user are judged and counted in the same transaction: the bytes of the
        day, which jobs that use the upload do not count again, and how many uploads are unused. No
        number of concurrent creates may get past one. A refused upload leaves nothing.

        Raises:
            QuotaExceeded, UploadsFull: a limit is reached, of the user or the tenant.
        """

    async def find(
        self, owner: Owner, ids: Collection[UploadId], *, now: datetime
    ) -> Mapping[UploadId, Upload]:
        """
        Return those of the uploads that the owner may submit a job with; reads only.

        One of somebody else, one that has expired unused, and one that is being removed must all
        be absent, like one that never was.
        """


class UploadLedger(Protocol):
    """
    The system's side of the uploads: what nobody needs goes.

    Any number of supervisors call it at once. All methods raise ``Unavailable`` when the database
    cannot be reached.
    """

    async def take(self, *, now: datetime, limit: int) -> Sequence[UploadFile]:
        """
        Let at most ``limit`` uploads leave that nobody needs, and return their files.

        Those are: one that expired before any job was submitted with it, and one whose jobs' data
        are all gone. From now on no job can be submitted with them; a submit that was in time has
        kept its upload. One that is not forgotten is returned again after ten minutes.
        """

    async def forget(self, files: Sequence[UploadFile]) -> None:
        """Forget uploads that left, their files removed; any other must stay as it is."""

    async def orphans(self, files: Sequence[UploadFile]) -> frozenset[ArtifactKey]:
        """
        Return which files are of no upload, in one statement.

        Files of tenants that are not known here must be left alone.
        """
