"""
What must be true of rows, logs and answers when it is over; files are in ``file_checks``.

Each check notes what is not in the verdict; nothing noted is as it should be.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genjobs.domain.ids import job_text
from tests.chaos.cluster import Cluster
from tests.chaos.fleet import Fleet, Harm
from tests.chaos.load import Load
from tests.chaos.orders import Order
from tests.chaos.plan import Plan
from tests.row_checks import BROKEN

_READS = 150
_ALL = 0  # the pid of a harm that is done to every process


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What is wrong, and what was counted on the way."""

    faults: list[str] = field(default_factory=list)
    counts: dict[str, object] = field(default_factory=dict)

    def need(self, fine: bool, fault: str) -> None:
        """Note a fault unless all is fine."""
        if not fine:
            self.faults.append(fault)


async def check_rows(verdict: Verdict, cluster: Cluster, load: Load) -> list[Mapping[str, Any]]:
    """Every job final, with one outcome, as it was ordered; the books balanced. Return the jobs."""
    jobs = await cluster.rows("SELECT * FROM genjobs.jobs ORDER BY id")
    orders = {accepted.order.key: accepted for accepted in load.accepted}
    texts = {job_text(row["id"]): row for row in jobs}
    for accepted in load.accepted:
        verdict.need(accepted.job_id in texts, f"{accepted.job_id} was accepted and is not there")
    keys = Counter(json.loads(row["metadata"])["order"] for row in jobs)
    for key, count in keys.items():
        verdict.need(count == 1, f"{key} was made into {count} jobs")
        verdict.need(key in orders, f"{key} has a job and was never answered")

    changes = await cluster.rows("SELECT job_id, was, became FROM chaos.changes ORDER BY number")
    final = ("completed", "failed", "cancelled")
    ends = Counter(row["job_id"] for row in changes if row["became"] in final)
    for row in changes:
        verdict.need(row["was"] not in final, f"job {row['job_id']}: {row['was']} was changed")
    outcomes = await cluster.rows(
        "SELECT job_id, count(*) AS n FROM genjobs.attempts"
        " WHERE end_reason IN ('completed', 'failed', 'stopped') GROUP BY 1 HAVING count(*) > 1"
    )
    verdict.need(not outcomes, f"jobs with outcomes of several attempts: {outcomes}")
    for text, row in texts.items():
        status = row["status"]
        verdict.need(status in final, f"{text} is {status} in the end")
        verdict.need(ends[row["id"]] == 1, f"{text} has ended {ends[row['id']]} times")
        accepted = orders.get(json.loads(row["metadata"])["order"])
        if accepted is not None:
            _as_ordered(verdict, text, row, accepted.order, text in load.cancelled)

    for name, query in BROKEN.items():
        verdict.need(not await cluster.rows(query), f"rows: {name}")
    [slots] = await cluster.rows(
        "SELECT count(*) AS n, count(job_id) AS taken, bool_or(cancel_requested) AS asked"
        " FROM genjobs.slots"
    )
    verdict.need(slots["taken"] == 0 and not slots["asked"], f"slots have leaked: {slots}")
    [loads] = await cluster.rows(
        "SELECT coalesce(sum(abs(queued) + abs(in_flight) + abs(ready)), 0) AS n"
        " FROM genjobs.user_load"
    )
    verdict.need(loads["n"] == 0, f"counters say that {loads['n']} jobs are still there")
    [shared] = await cluster.rows("SELECT * FROM genjobs.supervision")
    verdict.need(shared["drift"] == 0, f"supervisors have mended {shared['drift']} counts")
    verdict.counts["jobs"] = dict(Counter(row["status"] for row in jobs))
    verdict.counts["errors"] = dict(
        Counter(json.loads(row["error"])["code"] for row in jobs if row["error"])
    )
    verdict.counts["cancels"] = dict(
        Counter(row["cancel_method"] for row in jobs if row["cancel_requested_at"])
    )
    verdict.counts["supervisors"] = {
        name: shared[name]
        for name in ("rescues", "ingest_rescues", "escalations", "drift", "swept_files")
    }
    return [dict(row) for row in jobs]


def _as_ordered(
    verdict: Verdict, text: str, row: Mapping[str, Any], order: Order, cancelled: bool
) -> None:
    error = json.loads(row["error"])["code"] if row["error"] else None
    fine = (row["status"], error) == (order.status, order.error)
    if cancelled and row["cancel_requested_at"] is not None:
        fine = fine or row["status"] == "cancelled"
    verdict.need(
        fine,
        f"{text} ({order.kind}) is {row['status']} {row['error']}, charged {row['charged']}, "
        f"spared {row['spared']}",
    )


async def check_attempts(verdict: Verdict, cluster: Cluster, fleet: Fleet) -> None:
    """
    No attempt was taken from a worker to which nothing had been done.

    Done to it in time: before its lease ran out, or before it had to be renewed after an outage.
    """
    attempts = await cluster.rows(
        "SELECT a.*, l.expires_at FROM genjobs.attempts a"
        " LEFT JOIN chaos.leases l USING (execution_id)"
    )
    causes: Counter[str] = Counter()
    for row in attempts:
        if row["end_reason"] not in {"lost", "terminated"}:
            continue
        pid = int(row["call_id"].rpartition(":")[2])
        beaten = row["expires_at"].timestamp() - fleet.plan.lease
        due = row["expires_at"].timestamp()
        if row["end_reason"] == "terminated":  # it may have renewed its lease, and not listened
            due = row["ended_at"].timestamp()
        for begun, ended in cluster.away:
            if begun <= due and ended >= beaten:
                due = max(due, ended + fleet.plan.lease)
        harms = fleet.harms + _stalls(fleet)
        kinds = [
            harm.kind
            for harm in harms
            if harm.pid in {pid, _ALL}
            and harm.begun <= due
            and (harm.ended is None or harm.ended + fleet.plan.lease >= beaten)
        ]
        causes[kinds[0] if kinds else "nothing"] += 1
        verdict.need(
            bool(kinds),
            f"attempt {row['attempt']} of {job_text(row['job_id'])} was {row['end_reason']}"
            f" though nothing was done to its worker {pid}: started {row['started_at']}, last"
            f" heartbeat {row['expires_at']} less a lease, ended {row['ended_at']}",
        )
    verdict.counts["attempts"] = dict(Counter(row["end_reason"] for row in attempts))
    verdict.counts["lost because"] = dict(causes)
    ends = {(job_text(row["job_id"]), row["attempt"]): row["end_reason"] for row in attempts}
    _as_told(verdict, ends, fleet)


def _as_told(verdict: Verdict, ends: Mapping[tuple[str, int], str], fleet: Fleet) -> None:
    """
    Check that an end that a worker was told is recorded is the attempt's, and no other is.

    A fence with a gap would let an attempt that was taken away end what another works on.
    """
    told: Counter[str] = Counter()
    for event in _events(fleet, "job.ended"):
        recorded = ends.get((event["job_id"], event["attempt"]))
        told[event["recorded"]] += 1
        verdict.need(
            (recorded == event["outcome"]) == (event["recorded"] == "yours"),
            f"attempt {event['attempt']} of {event['job_id']} ended as {event['outcome']}, was told"
            f" {event['recorded']}, and its row says {recorded}",
        )
    verdict.counts["ends told"] = dict(told)


def _events(fleet: Fleet, name: str) -> Iterator[dict[str, Any]]:
    for member in fleet.members:
        for log in member.logs():
            for line in log.read_text(errors="replace").split("\n"):
                if f'"{name}"' in line:
                    with contextlib.suppress(ValueError):  # cut off by a kill
                        yield json.loads(line)


def _stalls(fleet: Fleet) -> list[Harm]:
    """Return when processes got no CPU, which no product can help."""
    return [
        Harm(
            pid=int(note[1]),
            kind="starved of CPU",
            begun=float(note[0]) - float(note[3]),
            ended=float(note[0]),
        )
        for member in fleet.members
        for note in member.notes()
        if note[2] == "stalled"
    ] + [
        Harm(pid=_ALL, kind="starved of CPU", begun=begun, ended=ended)
        for begun, ended in fleet.stalls
    ]


async def check_links(verdict: Verdict, load: Load, jobs: Sequence[Mapping[str, Any]]) -> None:
    """What the API serves is what is recorded and was read before; some links are followed."""
    followed = 0
    read_before = [accepted for accepted in load.accepted if accepted.job_id in load.seen]
    for accepted in read_before[:_READS]:
        job = await load.read(accepted)
        if followed < 20 and job.get("outputs"):
            followed += 1
            output = job["outputs"][0]
            content = await load.download(output["url"])
            digest = hashlib.sha256(content).hexdigest()
            verdict.need(digest == output["sha256"], f"{output['url']} serves something else")
    for row in jobs:
        text = job_text(row["id"])
        seen = load.seen.get(text)
        verdict.need(seen is None or seen[0] == row["status"], f"{text} was read as {seen}")
    verdict.faults += load.wrong
    verdict.counts["links followed"] = followed
    verdict.counts["answers"] = dict(load.answers)


def check_logs(verdict: Verdict, cluster: Cluster, fleet: Fleet) -> None:
    """Nobody met an unforeseen error, no deadlock surfaced, no process ended by itself."""
    said: Counter[str] = Counter()
    for member in fleet.members:
        for log in member.logs():
            _read_log(verdict, f"{member.name}/{log.name}", log, said)
    deadlocks = cluster.log.count("deadlock detected")
    verdict.need(deadlocks == 0, f"Postgres has seen {deadlocks} deadlocks")
    verdict.need(not fleet.strays, f"processes ended by themselves: {fleet.strays}")
    verdict.counts["said"] = dict(said)
    verdict.counts["deadlocks"] = deadlocks


def _read_log(verdict: Verdict, name: str, log: Path, said: Counter[str]) -> None:
    lines = log.read_text(errors="replace").split("\n")
    for place, line in enumerate(lines):
        try:
            event = json.loads(line)
        except ValueError:
            # The last line of a process that was killed may be half a line.
            verdict.need(place >= len(lines) - 1, f"{name}: {line}")
            continue
        if event["level"] in {"warning", "error"}:
            said[event["event"]] += 1
        if "exception" in event:
            verdict.faults.append(f"{name}: {event['event']}\n{event['exception']}")


def check_trouble(verdict: Verdict, plan: Plan, cuts: Counter[str], struck: Counter[str]) -> None:
    """There was as much trouble as there must be for the rest to mean anything."""
    for statement in ("start_attempt", "end_execution"):
        verdict.need(cuts[statement] > 0, f"no answer to {statement} was cut off")
    verdict.need(len(struck) >= plan.failpoints, f"only {len(struck)} failpoints were met")
