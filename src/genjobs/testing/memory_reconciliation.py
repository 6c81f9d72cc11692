"""What rows name, and what of it is missing, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.reconciliation import JobPlace, MissingFile, NamedFiles
from genjobs.testing.memory_rows import MemoryJobs, Row


class MemoryReconciliation:
    """The ``Reconciliation`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs

    async def take_walk(self, *, now: datetime, every: timedelta) -> JobPlace | None:
        """See the port."""
        shared = self._jobs.shared
        if shared.walk_due is not None and shared.walk_due > now:
            return None
        shared.walk_due = now + every
        return shared.walked

    async def keep_walk(self, after: JobPlace, *, due: datetime) -> None:
        """See the port."""
        self._jobs.shared.walked, self._jobs.shared.walk_due = after, due

    async def named(self, after: JobPlace, *, limit: int) -> Sequence[NamedFiles]:
        """See the port."""
        jobs = [
            NamedFiles(owner=row.job.owner, job_id=row.job.id, keys=_keys(row))
            for row in self._jobs.rows.values()
        ]
        behind = [job for job in jobs if _order(job.place) > _order(after)]
        return sorted(behind, key=lambda job: _order(job.place))[:limit]

    async def note(
        self, looked_at: Sequence[NamedFiles], missing: Sequence[MissingFile], *, now: datetime
    ) -> int:
        """See the port."""
        noted, looked = self._jobs.missing, {job.job_id for job in looked_at}
        for file in [file for file in noted if file.job_id in looked and file not in missing]:
            del noted[file]
        news = [file for file in missing if file not in noted and self._named(file, now)]
        noted.update(dict.fromkeys(news, now))
        return len(news)

    async def missing_since(self, before: datetime, *, limit: int) -> Sequence[MissingFile]:
        """See the port."""
        rows = self._jobs.rows
        noted = {file: at for file, at in self._jobs.missing.items() if file.job_id in rows}
        return sorted((file for file, at in noted.items() if at <= before), key=noted.__getitem__)[
            :limit
        ]

    async def give_up(
        self, lost: Sequence[MissingFile], back: Sequence[MissingFile], *, now: datetime
    ) -> int:
        """See the port."""
        noted, given_up = self._jobs.missing, 0
        for file in back:
            noted.pop(file, None)
        for file in lost:
            row = self._jobs.rows.get(file.job_id)
            if row is not None and row.job.finished_at is None:
                noted[file] = now
                continue
            noted.pop(file, None)
            if row is not None and file.key in _keys(row):
                given_up += 1
                row.version += 1
                row.job = dataclasses.replace(
                    row.job,
                    inputs=tuple(item for item in row.job.inputs if item.key != file.key),
                    outputs=tuple(item for item in row.job.outputs if item.key != file.key),
                    version=str(row.version),
                )
        return given_up

    def _named(self, file: MissingFile, now: datetime) -> bool:
        row = self._jobs.rows.get(file.job_id)
        if row is None or row.job.owner.tenant_id != file.tenant_id:
            return False
        taken = row.purge_taken_until is not None and row.purge_taken_until > now
        return file.key in _keys(row) and not taken


def _keys(row: Row) -> frozenset[ArtifactKey]:
    inputs, outputs = row.job.inputs, row.job.outputs
    return frozenset([*(item.key for item in inputs), *(item.key for item in outputs)])


def _order(place: JobPlace) -> tuple[object, object]:
    return place.tenant_id, place.job_id
