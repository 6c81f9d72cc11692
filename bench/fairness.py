"""Who waits behind ten thousand jobs of others: the place at which everyone's first job goes."""

from __future__ import annotations

import uuid

import asyncpg

from bench.filling import fill
from genjobs.adapters.postgres import PostgresJobLedger
from genjobs.adapters.system import SystemClock
from genjobs.domain.attempts import Completed, Execution
from genjobs.domain.ids import ExecutionId
from genjobs.domain.job import Timings
from genjobs.domain.tenancy import Owner

#: Everyone's first job must be among the first so many.
BOUND = 150
OTHERS = 99
HUGE = 10_000
_CLOCK = SystemClock()


async def crowd(admin: asyncpg.Connection, *, one_tenant: bool) -> None:
    """Queue 10,000 jobs of one, and one each of ninety-nine others: tenants, or users of one."""
    if one_tenant:
        await fill(admin, tenants=1, users=1, jobs=HUGE)
        await fill(admin, tenants=1, users=OTHERS + 1, jobs=1, batch=1)
        return
    await fill(admin, tenants=1, users=1, jobs=HUGE, name="huge")
    await fill(admin, tenants=OTHERS, users=1, jobs=1, name="small")


async def worst_place(ledger: PostgresJobLedger, *, holding: int, first: int = 500) -> int:
    """
    Return the place, from 1, of the last of everyone's first jobs; ``holding`` run at a time.

    With few the shares are nearly equal all the time and the turns decide; with many, the shares.
    """
    seen: dict[Owner, int] = {}
    running: list[Execution] = []
    for place in range(1, first + 1):
        given = await ledger.dispatch(now=_CLOCK.now(), limit=1)
        if not given:
            break
        seen.setdefault(given[0].owner, place)
        started = await ledger.start(given[0], ExecutionId(uuid.uuid4()), now=_CLOCK.now())
        running.append(started.execution)
        if len(running) >= holding:
            outcome = Completed(outputs=(), timings=Timings(gpu_seconds=1.0))
            await ledger.finish(running.pop(0), outcome, now=_CLOCK.now())
    return max(seen.values()) if len(seen) == OTHERS + 1 else first
