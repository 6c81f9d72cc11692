"""How long, how much, how often: the two sizes of the run, and the settings of its processes."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

_UNLIMITED = json.dumps({"submits_per_second": None, "submit_burst": None, "max_queued": None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. Times are in seconds."""

    seed: int
    jobs: int
    tenants: int
    #: Of each tenant.
    users: int
    apis: int
    workers: int
    #: Over which jobs come and trouble lasts; the long outage and what belongs to it come on top.
    seconds: float
    #: Short outages of Postgres besides the long one.
    outages: int
    #: Mean time between two of a kind.
    kill_every: float
    cut_every: float
    hole_every: float
    freeze_every: float
    #: Not in a run whose lease leaves no room for it.
    forget_every: float | None = None
    engine_every: float
    #: How many different failpoints must be met: few where the machine may be busy.
    failpoints: int
    #: How long jobs may take to end once all trouble is over.
    settle: float
    lease: float
    heartbeat: float = 0.5

    def chance(self, name: str) -> random.Random:
        """Return a source of choices of its own, so that no other one's pace changes them."""
        return random.Random(f"{self.seed} {name}")

    def settings(self) -> dict[str, str]:
        """Return the settings that all processes share: the shipped rules in less time."""
        return {
            "GENJOBS_HEARTBEAT_SECONDS": str(self.heartbeat),
            "GENJOBS_LEASE_SECONDS": str(self.lease),
            "GENJOBS_SUPERVISE_SECONDS": "0.4",
            "GENJOBS_STOP_SECONDS": "4",
            "GENJOBS_CANCEL_GRACE_SECONDS": "2",
            "GENJOBS_NO_PROGRESS_SECONDS": "4",
            "GENJOBS_COMFYUI_DEAF_SECONDS": "6",
            "GENJOBS_MAX_ATTEMPTS": "20",
            "GENJOBS_INGEST_TRIES": "8",
            "GENJOBS_TENANT_LIMITS": _UNLIMITED,
            "GENJOBS_USER_LIMITS": _UNLIMITED,
            "GENJOBS_DATABASE_POOL_SIZE": "8",
            "GENJOBS_LOG_JSON": "true",
        }


def short(seed: int) -> Plan:
    """Return the run that is part of the test suite."""
    return Plan(
        seed=seed,
        jobs=260,
        tenants=5,
        users=4,
        apis=2,
        workers=3,
        seconds=36,
        outages=2,
        kill_every=8,
        cut_every=0.3,
        hole_every=11,
        freeze_every=20,
        engine_every=4,
        failpoints=1,
        settle=120,
        lease=3.0,
    )


def full(seed: int) -> Plan:
    """Return the run of about ten minutes."""
    return Plan(
        seed=seed,
        jobs=2000,
        tenants=20,
        users=10,
        apis=3,
        workers=4,
        seconds=420,
        outages=10,
        kill_every=8,
        cut_every=0.7,
        hole_every=25,
        freeze_every=30,
        forget_every=25,
        engine_every=6,
        failpoints=20,
        settle=600,
        lease=6.0,
    )
