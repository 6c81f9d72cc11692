"""What the suite of ``PoolLedger`` runs on; its tests are in the suite."""

from __future__ import annotations

from dataclasses import dataclass

from genjobs.domain.ports import PoolLedger, Supervision
from genjobs.testing.contracts.jobs_backend import JobsBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolBackend(JobsBackend):
    """Jobs, and what is known of the pool's work, over the same, empty data with 8 slots."""

    pool: PoolLedger
    supervision: Supervision
