"""
What the job ports promise, as dictionaries and the transition table.

Written from the ports' docstrings and the design, not from any of their implementations. Where a
promise leaves a choice (who goes first of two never served), the model accepts each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from genjobs.domain.attempts import Assignment, Recorded, Rescue
from genjobs.domain.ids import ExecutionId, JobId
from genjobs.domain.job import NewJob
from genjobs.domain.lifecycle import JobEvent, JobStatus
from genjobs.domain.limits import IDEMPOTENCY_LIFE
from genjobs.domain.tenancy import Owner
from tests.contract.model.plain_ingest import PlainIngest
from tests.contract.model.plain_jobs import DEADLINES, WINDOW, JobRow

#: How a started attempt ends: the step without and with a requested cancel, the method it leaves.
_ENDINGS: dict[str, tuple[JobEvent, JobEvent, str]] = {
    "completed": (JobEvent.COMPLETED, JobEvent.COMPLETED, "too_late"),
    "failed": (JobEvent.FAILED, JobEvent.STOPPED, "interrupted"),
    "stopped": (JobEvent.RELEASED, JobEvent.STOPPED, "process_killed"),
    "released": (JobEvent.RELEASED, JobEvent.STOPPED, "interrupted"),
}


class PlainModel(PlainIngest):
    """What each call must do."""

    def submitted_before(self, owner: Owner, key: str) -> tuple[bytes, JobId] | None:
        found = self.keys.get((owner, key))
        if found is None or found[2] <= self.now - IDEMPOTENCY_LIFE:
            return None
        return found[0], found[1]

    def submit(self, new: NewJob) -> None:
        """Take in a job that was judged before."""
        if new.idempotency is not None:
            key = new.owner, new.idempotency.key
            self.keys[key] = new.idempotency.fingerprint, new.id, self.now
        self.limits.count_submit(new, self.now)
        self.forgotten.discard(new.owner)
        ingest = None
        if new.pending:
            if not any(job["ingest"] for job in self.of(new.owner)):
                self.turn += 1
                self.joined[new.owner] = self.turn
            ingest = {
                **{"due": self.now, "deadline": new.ingest_deadline, "claim": 0, "tries": 0},
                **{"execution": None, "lease": None},
            }
        self.jobs[new.id] = {
            **{"id": new.id, "owner": new.owner, "status": JobStatus.QUEUED, "attempt": 0},
            **{"eligible": not new.pending, "charged": 0, "priority": new.priority},
            **{"not_before": self.now, "deadline": new.queue_deadline, "slot": None},
            "timeout": new.queue_deadline - (new.ingest_deadline or self.now),
            **{"cancelled": False, "method": None, "code": None, "finished": None},
            **{"ingest": ingest, "ended": {}, "settled": {}, "last_settled": None},
        }

    def cancel(self, job: JobRow) -> None:
        if job["status"] is JobStatus.QUEUED:
            job["ingest"] = job["last_settled"] = None
            self._end(job, JobEvent.DEQUEUED, method="dequeued")
            job["cancelled"] = True
        elif job["status"] is JobStatus.RUNNING:
            job["cancelled"] = True

    def positions(self, job: JobRow) -> tuple[int | None, int | None]:
        """Return the least and the greatest that may be told; those that pause may count."""
        if job["status"] is not JobStatus.QUEUED or not job["eligible"]:
            return None, None
        if job["slot"]:
            return 1, 1
        ahead = [other for other in self.waiting(job["owner"]) if _line(other) < _line(job)]
        return 1 + sum(not other.get("paused") for other in ahead), 1 + len(ahead)

    # -- attempts -----------------------------------------------------------------------------

    def dispatched(self, given: Sequence[Assignment], limit: int) -> None:
        """Check what was dispatched, and in which order."""
        for assignment in given:
            lines = self._lines()
            assert self._free(), "no slot is free"
            assert lines, "nothing could be dispatched"
            tenants = self._foremost({owner.tenant_id for owner in lines})
            owner = assignment.owner
            assert owner.tenant_id in tenants, "another tenant's turn"
            same = {other for other in lines if other.tenant_id == owner.tenant_id}
            assert owner in self._foremost(same), "another user's turn"
            job = min(lines[owner], key=_line)
            assert (assignment.job_id, assignment.attempt) == (job["id"], job["attempt"] + 1)
            self._step(job, JobEvent.DISPATCHED)
            job["attempt"] += 1
            job["slot"] = {"start": self.now + DEADLINES.start, "execution": None, "lease": None}
            self.turn += 1
            self.served[owner] = self.served[owner.tenant_id] = self.turn
        assert len(given) == limit or not self._free() or not self._lines(), "passed over"
        if given or self._free():  # a look at the queue ends the pauses that are over
            self._notice_pauses()

    def start(self, job: JobRow | None, attempt: int, execution: ExecutionId) -> bool:
        """Say whether the execution owns the attempt, having started it if nobody had."""
        slot = job and job["slot"]
        if not job or not slot or job["attempt"] != attempt:
            return False
        if slot["execution"] is None:
            self._step(job, JobEvent.STARTED)
            slot.update(execution=execution, start=None, lease=self.now + DEADLINES.lease)
        return bool(slot["execution"] == execution)

    def withdraw(self, job: JobRow | None, attempt: int) -> bool:
        """Say whether an attempt that nobody has started is taken back."""
        slot = job and job["slot"]
        if not job or not slot or job["attempt"] != attempt or slot["execution"]:
            return False
        self._step(job, JobEvent.START_MISSED)
        job["slot"] = None
        return True

    def holds(self, job: JobRow | None, attempt: int, execution: ExecutionId) -> bool:
        slot = job and job["slot"]
        return bool(job and slot and (job["attempt"], slot["execution"]) == (attempt, execution))

    def renew(self, job: JobRow) -> None:
        job["slot"]["lease"] = self.now + DEADLINES.lease

    def end(self, job: JobRow | None, attempt: int, execution: ExecutionId, kind: str) -> Recorded:
        if job is None or not self.holds(job, attempt, execution):
            again = job is not None and job["ended"].get((attempt, execution)) == kind
            return Recorded.YOURS if again else Recorded.STALE
        job["ended"][attempt, execution] = kind
        if kind == "crashed":
            self._charge(job, JobEvent.CRASHED, JobEvent.CRASHED_FOR_GOOD, "crashed")
            return Recorded.YOURS
        plain, cancelling, method = _ENDINGS[kind]
        event = cancelling if job["cancelled"] else plain
        if event is JobEvent.RELEASED:
            self._requeue(job, event, self.now)
        else:
            code = "node_error" if event is JobEvent.FAILED else None
            self._end(job, event, method=method if job["cancelled"] else None, code=code)
        return Recorded.YOURS

    # -- time ---------------------------------------------------------------------------------

    def expired(self) -> list[JobRow]:
        queued = [job for job in self.jobs.values() if job["status"] is JobStatus.QUEUED]
        return [job for job in queued if job["eligible"] and job["deadline"] <= self.now]

    def unstarted(self) -> list[JobRow]:
        return self._slots_past("start")

    def lost(self) -> list[JobRow]:
        return self._slots_past("lease")

    def forgettable(self) -> list[Owner]:
        """Return the users who have had nothing here since the day before yesterday."""
        before = self.now.date() - timedelta(days=1)
        return [
            owner
            for owner in {job["owner"] for job in self.jobs.values()} - self.forgotten
            if all(job["finished"] for job in self.of(owner))
            and owner not in self.limits.plan_of
            and self.limits.last_day(owner) < before
        ]

    def forget(self, owners: list[Owner]) -> None:
        self.forgotten |= set(owners)
        self.served |= dict.fromkeys(owners)

    def swept(self, rescues: Sequence[Rescue], due: list[JobRow], limit: int, what: str) -> None:
        """Check what the supervisor did, and to whom: which of those due first, it may choose."""
        assert len(rescues) == len({item.job_id for item in rescues}) == min(limit, len(due))
        for rescue in rescues:
            job = self.jobs[rescue.job_id]
            assert job in due
            if what == "expired":
                self._end(job, JobEvent.QUEUE_EXPIRED, code="queue_timeout")
            elif what == "unstarted":
                self._step(job, JobEvent.START_MISSED)
                job["slot"] = None
            elif what == "lost":
                self._charge(job, JobEvent.LOST, JobEvent.LOST_FOR_GOOD, "worker_lost")
            else:
                self.fail_try(job, for_good=job["ingest"]["deadline"] <= self.now)
                if job["finished"]:
                    job["last_settled"] = None
            assert (rescue.owner, rescue.status) == (job["owner"], job["status"])

    def _lines(self) -> dict[Owner, list[JobRow]]:
        """Return the jobs that may be dispatched, of each user who may have one more."""
        lines: dict[Owner, list[JobRow]] = {}
        for owner in {job["owner"] for job in self.jobs.values()}:
            due = [job for job in self.waiting(owner) if job["not_before"] <= self.now]
            if due and all(
                self.in_flight(of) < self.limits.most_in_flight(of)
                for of in (owner, owner.tenant_id)
            ):
                lines[owner] = due
        return lines

    def _foremost(self, whose: Iterable[Any]) -> set[Any]:
        shares = {of: self.in_flight(of) / self.limits.weight(of) for of in whose}
        tied = {of for of, share in shares.items() if share == min(shares.values())}
        turns = {of: self.served.get(of, 0) for of in tied}
        known = [turn for turn in turns.values() if turn is not None]
        if len(known) < len(turns):
            return tied
        return {of for of, turn in turns.items() if turn == min(known)}

    def _free(self) -> int:
        return WINDOW - sum(bool(job["slot"]) for job in self.jobs.values())

    def _slots_past(self, what: str) -> list[JobRow]:
        held = [job for job in self.jobs.values() if job["slot"] and job["slot"][what]]
        return [job for job in held if job["slot"][what] <= self.now]

    def _notice_pauses(self) -> None:
        for job in self.jobs.values():
            if job["not_before"] <= self.now:
                job["paused"] = False

    def _charge(self, job: JobRow, again: JobEvent, for_good: JobEvent, code: str) -> None:
        job["charged"] += 1
        if job["cancelled"]:
            self._end(job, JobEvent.LOST_WHILE_CANCELLING, method="worker_lost")
        elif job["charged"] >= DEADLINES.max_attempts:
            self._end(job, for_good, code=code)
        else:
            pause = DEADLINES.backoff * 2 ** (job["charged"] - 1)
            self._requeue(job, again, self.now + min(pause, DEADLINES.max_backoff))


def _line(job: JobRow) -> tuple[int, UUID]:
    return -job["priority"], job["id"]
