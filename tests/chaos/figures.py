"""What a run prints."""

from __future__ import annotations

from collections import Counter

from tests.chaos.checks import Verdict
from tests.chaos.failpoints import API, WORKER
from tests.chaos.fleet import Fleet
from tests.chaos.load import Load
from tests.chaos.troubles import Troubles


def struck(fleet: Fleet) -> Counter[str]:
    """Return how often processes died at which failpoint."""
    return Counter(
        note[3] for member in fleet.members for note in member.notes() if note[2] == "struck"
    )


def print_figures(
    verdict: Verdict, load: Load, troubles: Troubles, *, phases: dict[str, float]
) -> None:
    """Print what was done and what came of it, a line for each."""
    fleet, cluster, plan = troubles.fleet, troubles.cluster, troubles.plan
    points = struck(fleet)
    missed = [point for point in (*WORKER, *API) if not points[point]]
    away = [f"{end - begin:.1f} s" for begin, end in cluster.away]
    lines: dict[str, object] = {
        "seed": plan.seed,
        "time": ", ".join(f"{name} {seconds:.0f} s" for name, seconds in phases.items()),
        "processes": f"{plan.apis} serve, {plan.workers} worker; lives "
        f"{sum(member.lives for member in fleet.members)}",
        "accepted": f"{len(load.accepted)}, longest wait for an answer {load.longest:.1f} s",
        "cancels answered": len(load.cancelled),
        "died at failpoints": _shown(points),
        "failpoints not met": ", ".join(missed) or "none",
        "trouble": _shown(troubles.done),
        "answers cut off": _shown(troubles.cuts),
        "Postgres stopped": f"{cluster.stops} times, away {', '.join(away)}",
        "workers ended by supervisors": fleet.ended_by_supervisors,
        **verdict.counts,
    }
    print(f"\nchaos run, {len(verdict.faults)} faults")
    for name, value in lines.items():
        text = _shown(Counter(value)) if isinstance(value, dict) else value
        print(f"  {name:22} {text}")
    for fault in verdict.faults[:40]:
        print(f"  FAULT {fault}")


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=str)) or "none"
