"""What supervisors share, in memory; and workers that only pretend to be processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

from genjobs.domain.artifacts import ArtifactKey
from genjobs.domain.attempts import Execution, Rescue
from genjobs.domain.calls import worker_of
from genjobs.domain.errors import Unavailable
from genjobs.domain.job import CancelMethod
from genjobs.domain.lifecycle import JobEvent, Phase
from genjobs.domain.supervision import Deeds, JobFile, Patience, SilentCancel, Termination
from genjobs.testing.memory_endings import cancel, lose, requeue
from genjobs.testing.memory_rows import MemoryJobs, Row


class MemorySupervision:
    """The ``Supervision`` port."""

    def __init__(self, jobs: MemoryJobs) -> None:
        self._jobs = jobs
        self._patience = Patience.of(jobs.deadlines)

    async def begin_tick(self, *, now: datetime) -> bool:
        """See the port."""
        shared, patience = self._jobs.shared, self._patience
        gap = shared.ticked_at is None or now - shared.ticked_at > patience.longest_gap
        grace = gap and shared.gaps < patience.most_gaps
        shared.gaps = shared.gaps + 1 if gap else 0
        shared.ticked_at = max(shared.ticked_at or now, now)
        if grace:
            shared.grace_until = now + patience.lease
        return grace

    async def end_tick(self, deeds: Deeds) -> None:
        """See the port."""
        shared = self._jobs.shared
        before, new = dataclasses.asdict(shared.deeds), dataclasses.asdict(deeds)
        shared.deeds = Deeds(**{name: before[name] + new[name] for name in before})

    async def recount_next(self) -> int | None:
        """See the port; nothing is counted in advance here, so nothing can be wrong."""
        return 0 if self._jobs.rows else None

    async def silent_cancels(self, *, now: datetime, limit: int) -> Sequence[SilentCancel]:
        """See the port."""
        shared = self._jobs.shared
        if shared.grace_until is not None and shared.grace_until > now:
            return []
        found = [row for row in self._jobs.rows.values() if self._is_silent(row, now)][:limit]
        silent = []
        for row in found:
            slot = row.slot
            assert slot is not None
            assert slot.execution_id is not None
            slot.terminations += 1
            slot.terminate_after = now + self._patience.pause
            execution = Execution(
                owner=row.job.owner,
                job_id=row.job.id,
                attempt=slot.attempt,
                execution_id=slot.execution_id,
            )
            silent.append(
                SilentCancel(
                    execution=execution, call_id=slot.call_id, terminations=slot.terminations
                )
            )
        return silent

    def _is_silent(self, row: Row, now: datetime) -> bool:
        slot, receipt = row.slot, row.job.cancellation
        if slot is None or slot.lease_expires_at is None or receipt is None:
            return False
        if slot.terminate_after is not None and slot.terminate_after > now:
            return False
        patience = self._patience
        beaten_at = slot.lease_expires_at - patience.lease
        if max(beaten_at, receipt.requested_at) <= now - patience.silence:
            return True
        deaf = receipt.requested_at <= now - patience.deafness
        return deaf and row.job.phase is not Phase.UPLOADING

    async def end_silent(
        self, silent: SilentCancel, seen: Termination, *, now: datetime
    ) -> Sequence[Rescue]:
        """See the port."""
        execution, done = silent.execution, []
        for row in self._jobs.rows.values():
            slot = row.slot
            if slot is None or slot.execution_id is None:
                continue
            its_own = slot.execution_id == execution.execution_id
            beside = _is_beside(slot.call_id, silent.call_id, seen)
            if not its_own and not beside:
                continue
            if seen is not Termination.TERMINATED:
                lose(row, now, self._jobs.deadlines)
            elif row.job.cancellation is not None:
                cancel(row, JobEvent.TERMINATED, CancelMethod.CONTAINER_TERMINATED, now)
            else:
                requeue(row, JobEvent.SPARED, now)
            done.append(row.rescue())
        return done

    async def pause(self, *, now: datetime) -> None:
        """See the port."""
        self._jobs.shared.paused_at = self._jobs.shared.paused_at or now

    async def resume(self) -> None:
        """See the port."""
        self._jobs.shared.paused_at = None

    async def take_sweep(self, *, now: datetime, every: timedelta) -> str | None:
        """See the port."""
        shared = self._jobs.shared
        if shared.sweep_due is not None and shared.sweep_due > now:
            return None
        shared.sweep_due = now + every
        return shared.swept

    async def keep_sweep(self, after: str, *, due: datetime) -> None:
        """See the port."""
        self._jobs.shared.swept, self._jobs.shared.sweep_due = after, due

    async def orphans(self, files: Sequence[JobFile]) -> frozenset[ArtifactKey]:
        """See the port."""
        known = self._jobs.tenants.known()
        known |= {row.job.owner.tenant_id for row in self._jobs.rows.values()}
        return frozenset(
            file.key for file in files if file.tenant_id in known and not self._needed(file)
        )

    def _needed(self, file: JobFile) -> bool:
        row = self._jobs.rows.get(file.job_id)
        if row is None or row.job.owner.tenant_id != file.tenant_id:
            return False
        named = {entry.key for entry in row.job.inputs} | {out.key for out in row.job.outputs}
        runs = row.slot is not None and row.slot.attempt == file.attempt
        ingest = row.ingest
        claimed = ingest is not None and ingest.execution_id and ingest.claim == file.claim
        return file.key in named or runs or bool(claimed)


def _is_beside(one: str | None, other: str | None, seen: Termination) -> bool:
    """Whether what was seen of the worker of ``other`` is so for ``one`` as well."""
    if one is None or other is None or seen is Termination.UNKNOWN:
        return False
    return worker_of(one) == worker_of(other) if seen is Termination.TERMINATED else one == other


class MemoryWorkerControl:
    """The ``WorkerControl`` port over workers that ``running`` names; ``available`` switches it."""

    def __init__(self) -> None:
        #: Workers that run, and those that have run.
        self.running: set[str] = set()
        self.ended: set[str] = set()
        self.available = True

    async def terminate(self, call_id: str) -> Termination:
        """See the port."""
        if not self.available:
            raise Unavailable
        if call_id in self.running:
            self.running.remove(call_id)
            self.ended.add(call_id)
            return Termination.TERMINATED
        return Termination.GONE if call_id in self.ended else Termination.UNKNOWN
