"""Whose turn it is, in memory: by counting, as nobody would with many jobs."""

from __future__ import annotations

from datetime import datetime

from genjobs.domain.ids import TenantId
from genjobs.domain.tenancy import Owner
from genjobs.testing.memory_rows import MemoryJobs, Row


def next_row(jobs: MemoryJobs, now: datetime) -> Row | None:
    """Return the row whose turn it is, None when nobody may have a slot."""
    tenants = jobs.tenants
    by_owner: dict[Owner, list[Row]] = {}
    for row in jobs.waiting():
        if row.not_before <= now:
            row.paused = False
        if not row.paused:
            by_owner.setdefault(row.job.owner, []).append(row)

    def under(limit: int | None, of: TenantId | Owner) -> bool:
        return limit is None or jobs.in_flight(of) < limit

    owners = [
        owner
        for owner in by_owner
        if under(tenants.user_limits(owner).max_in_flight, owner)
        and under(tenants.tenant_limits(owner.tenant_id).max_in_flight, owner.tenant_id)
    ]
    if not owners:
        return None

    def turn(owner: Owner) -> tuple[tuple[float, int], tuple[float, int]]:
        in_flight = jobs.in_flight
        return (
            tenants.share(owner.tenant_id, in_flight(owner.tenant_id)),
            tenants.share(owner, in_flight(owner)),
        )

    mine = by_owner[min(owners, key=turn)]
    return min(mine, key=lambda row: (-row.job.priority, row.job.id))
