"""
Purge uploads that nobody needs: no job was submitted with them, or the jobs are gone.

The ledger says which, and from then on no job gets them. Then the files go, then the rows; a purge
that ends in between is taken up again by a later one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from genjobs.domain.ports import ArtifactStore, UploadLedger

_BATCH: Final = 100
_MAX_BATCHES: Final = 10  # a tick stays bounded; the next one goes on
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeUploads:
    """The use case."""

    uploads: UploadLedger
    artifacts: ArtifactStore
    batch: int = _BATCH

    async def __call__(self, *, now: datetime) -> int:
        """
        Purge what is due; return how many uploads went.

        Raises:
            Unavailable: database or store cannot be reached; what has begun is gone on with later.
        """
        gone = 0
        for _ in range(_MAX_BATCHES):
            files = await self.uploads.take(now=now, limit=self.batch)
            if files:
                await self.artifacts.delete([file.key for file in files])
                await self.uploads.forget(files)
                gone += len(files)
            if len(files) < self.batch:
                break
        if gone:
            _log.info("uploads.purged", uploads=gone)
        return gone
