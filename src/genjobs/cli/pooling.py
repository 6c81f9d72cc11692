"""What the pool of workers is told, and what it would be told."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from genjobs import bootstrap
from genjobs.application.adjust_pool import PoolView
from genjobs.domain.capacity import PoolBounds, PoolSettings
from genjobs.domain.errors import ConfigurationError
from genjobs.settings import Settings


async def look(
    settings: Settings, *, dry_run: bool, adapters: bootstrap.AdaptersFactory = bootstrap.Adapters
) -> dict[str, Any]:
    """
    Return what is seen and what follows from it; unless it is a dry run, do it if it is due.

    Raises:
        ConfigurationError: there is no pool, and it is no dry run.
        Unavailable: the database cannot be reached.
    """
    async with bootstrap.open_adapters(settings, adapters) as opened:
        taken = None
        if not dry_run:
            adjust = await bootstrap.build_adjuster(opened)
            if adjust is None:
                raise ConfigurationError(
                    f"there is no pool to adjust with dispatch_url {settings.dispatch_url}; "
                    "--dry-run tells what one would be told"
                )
            taken = await adjust() is not None
        view = await (await bootstrap.build_preview(opened))()
        pooled = opened.pool() is not None
        return _shown(view, settings.pool_bounds(), pooled=pooled) | {"turn_taken": taken}


def lines(shown: dict[str, Any]) -> dict[str, object]:
    """Return what was seen and decided for people: one level, a line for each field."""
    flat: dict[str, object] = {}
    for name, value in shown.items():
        if isinstance(value, dict):
            flat |= {f"{name} {part}".replace("_", " "): inner for part, inner in value.items()}
        else:
            flat[name.replace("_", " ")] = value
    return flat


def _shown(view: PoolView, bounds: PoolBounds, *, pooled: bool) -> dict[str, Any]:
    held = view.decision.memory.min_containers.lower_since
    note = None
    if pooled and view.observed.slots != bounds.slots():
        note = (
            f"the dispatch window has {view.observed.slots} slots, {bounds.max_containers} "
            f"containers have {bounds.slots()} places: genjobs db upgrade makes it so"
        )
    return {
        "seen": dataclasses.asdict(view.observed),
        "bounds": _told(bounds.floor()) | {"buffer_containers": bounds.buffer_containers},
        "now": None if view.current is None else _told(view.current),
        "would_set": _told(view.decision.settings),
        "wanted_containers": view.decision.wanted,
        "held_since": None if held is None else held.isoformat(),
        "reason": view.decision.reason,
        "note": note,
    }


def _told(settings: PoolSettings) -> dict[str, Any]:
    told = dataclasses.asdict(settings)
    window: timedelta = told.pop("scaledown_window")
    return told | {"scaledown_seconds": window.total_seconds()}
