"""What a process and its database hold, sampled, and how much more with each job."""

from __future__ import annotations

import math
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """How much a figure grows in 10,000 jobs, as a part of its mean, and how sure that is."""

    value: float
    #: Two standard errors: vacuums, collections of garbage and connections make figures swing.
    doubt: float

    @property
    def flat(self) -> bool:
        """Whether what grows cannot be told from what swings."""
        return self.value - self.doubt <= FLAT


def slope(samples: Sequence[Sample], name: str) -> Slope:
    """Return the slope of the straight line through the samples (least squares)."""
    jobs = [float(sample.jobs) for sample in samples]
    values = [float(getattr(sample, name)) for sample in samples]
    mean, middle = statistics.fmean(values), statistics.fmean(jobs)
    line = statistics.linear_regression(jobs, values)
    spread = sum((job - middle) ** 2 for job in jobs)
    rest = sum(
        (value - line.slope * job - line.intercept) ** 2
        for job, value in zip(jobs, values, strict=True)
    )
    error = math.sqrt(rest / (len(samples) - 2) / spread)
    return Slope(value=line.slope * _JOBS / mean, doubt=2 * error * _JOBS / mean)
