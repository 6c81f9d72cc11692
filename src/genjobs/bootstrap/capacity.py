"""From adapters to what scales the pool of workers, where there is one."""

from __future__ import annotations

from genjobs.application.adjust_pool import AdjustPool, PreviewPool
from genjobs.bootstrap.adapters import Adapters


async def build_adjuster(adapters: Adapters) -> AdjustPool | None:
    """Return what adjusts the pool; None where workers come by themselves."""
    control = adapters.pool()
    if control is None:
        return None
    return AdjustPool(
        ledger=await adapters.pool_ledger(),
        control=control,
        clock=adapters.clock(),
        bounds=adapters.settings.pool_bounds(),
    )


async def build_preview(adapters: Adapters) -> PreviewPool:
    """Return what tells how the pool would be adjusted, also where there is none."""
    return PreviewPool(
        ledger=await adapters.pool_ledger(),
        control=adapters.pool(),
        clock=adapters.clock(),
        bounds=adapters.settings.pool_bounds(),
    )
