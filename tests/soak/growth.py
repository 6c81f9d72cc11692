"""What a process and its database hold, sampled, and how much more with each job."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

#: What grows by less than this part of itself in 10,000 jobs does not grow.
FLAT = 0.01
_JOBS = 10_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look, after so many jobs."""

    jobs: int
    #: Bytes of the process that are in memory, without what its allocator keeps for later.
    memory: int
    descriptors: int
    #: To Postgres, of all who use this database.
    connections: int
    #: Rows that nobody sees any more, and bytes of all tables and indexes.
    dead_tuples: int
    database: int


async def look(pid: int, connection: asyncpg.Connection, jobs: int) -> Sample:
    """Return what is held now."""
    process = Path("/proc") / str(pid)
    [row] = await connection.fetch(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS"
        " connections, (SELECT sum(n_dead_tup)::bigint FROM pg_stat_user_tables) AS dead,"
        " pg_database_size(current_database()) AS size"
    )
    return Sample(
        jobs=jobs,
        memory=int((process / "statm").read_text().split()[1]) * _PAGE,
        descriptors=len(list((process / "fd").iterdir())),
        connections=row["connections"],
        dead_tuples=row["dead"],
        database=row["size"],
    )


def slope(samples: Sequence[Sample], name: str) -> float:
    """
    Return how much a figure grows in 10,000 jobs, as a part of its median.

    From the median of the first half to that of the second: a vacuum, or a connection more in one
    sample must not decide.
    """
    half = len(samples) // 2
    earlier, later = samples[:half], samples[half:]
    grown = _middle(later, name) - _middle(earlier, name)
    jobs = _middle(later, "jobs") - _middle(earlier, "jobs")
    return grown / jobs * _JOBS / _middle(samples, name)


def _middle(samples: Sequence[Sample], name: str) -> float:
    return statistics.median(getattr(sample, name) for sample in samples)
