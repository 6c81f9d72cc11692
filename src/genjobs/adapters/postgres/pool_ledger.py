"""What is known of the pool's work, on Postgres. Each method is one statement."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final

from genjobs.adapters.postgres.pool import Pool
from genjobs.domain.capacity import Held, Observed, PoolMemory, PoolTurn

#: Of the newest attempts so many are counted; of older ones so many are measured.
_COUNTED: Final = 2000
_MEASURED: Final = 500
#: More jobs of the queue than this are not counted.
_QUEUED: Final = 10_000
_LATELY: Final = 120.0  # seconds
_BEFORE: Final = 600.0  # seconds

# Each order is an index's, so that the planner never reads all attempts or jobs for the few that
# are newest. What attempts took is told by those of which nearly all have ended.
OBSERVE: Final = f"""
WITH newest AS MATERIALIZED (
    SELECT extract(epoch FROM $1::timestamptz - a.dispatched_at)::double precision AS age
    FROM genjobs.attempts a
    WHERE a.dispatched_at > $1::timestamptz - interval '{_BEFORE} s'
    ORDER BY a.dispatched_at DESC LIMIT {_COUNTED}
), settled AS MATERIALIZED (
    SELECT a.ended_at, a.gpu_seconds,
        extract(epoch FROM a.started_at - a.dispatched_at)::double precision AS waited,
        (SELECT (j.timings ->> 'prepare_seconds')::double precision FROM genjobs.jobs j
         WHERE j.tenant_id = a.tenant_id AND j.id = a.job_id AND j.attempt = a.attempt
        ) AS prepare_seconds
    FROM genjobs.attempts a
    WHERE a.dispatched_at <= $1::timestamptz - interval '5 min'
    ORDER BY a.dispatched_at DESC LIMIT {_MEASURED}
)
SELECT
    w.slots, w.rendering,
    w.loading + CASE WHEN w.free = 0 AND v.paused_at IS NULL THEN (
        SELECT count(*) FROM (
            SELECT 1 FROM genjobs.jobs j WHERE j.ready AND j.not_before <= $1
            ORDER BY j.not_before LIMIT {_QUEUED}) q
    ) ELSE 0 END AS waiting,
    coalesce((
        SELECT extract(epoch FROM $1::timestamptz - j.not_before)::double precision
        FROM genjobs.jobs j WHERE j.ready AND j.not_before <= $1
        ORDER BY j.not_before LIMIT 1), 0) AS oldest_seconds,
    (SELECT count(*) FROM newest) AS counted,
    (SELECT count(*) FROM newest n WHERE n.age < {_LATELY}) AS lately,
    (SELECT max(n.age) FROM newest n) AS span,
    (SELECT avg(s.gpu_seconds) FROM settled s WHERE s.ended_at IS NOT NULL) AS render_seconds,
    (SELECT avg(s.prepare_seconds) FROM settled s) AS prepare_seconds,
    (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY s.waited)
     FROM settled s WHERE s.waited > 5) AS cold_start_seconds
FROM genjobs.supervision v CROSS JOIN LATERAL (
    SELECT count(*) AS slots,
        count(*) FILTER (WHERE s.job_id IS NULL) AS free,
        count(*) FILTER (WHERE s.phase = 'rendering') AS rendering,
        count(*) FILTER (WHERE s.job_id IS NOT NULL
            AND (s.phase IS NULL OR s.phase IN ('preparing', 'waiting'))) AS loading
    FROM genjobs.slots s
    WHERE s.job_id IS NOT NULL OR v.window_size IS NULL OR s.slot_no <= v.window_size
) w
"""
_MEMORY: Final = "SELECT pool FROM genjobs.supervision"
_TAKE: Final = """
UPDATE genjobs.supervision SET pool_due = $1::timestamptz + $2::interval
WHERE pool_due <= $1 OR pool_due > $1::timestamptz + $2::interval
RETURNING pool, pool_due
"""
_KEEP: Final = """
UPDATE genjobs.supervision SET pool = $2::jsonb WHERE pool_due = $1 RETURNING 1 AS kept
"""


class PostgresPoolLedger:
    """The ``PoolLedger`` port; connects as the worker role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def observe(self, *, now: datetime) -> Observed:
        """See the port."""
        row = await self._pool.row(OBSERVE, now)
        if row is None:  # a database without its one row of supervision was never upgraded
            return Observed()
        # When there are more than are counted, they tell of less time than was asked for.
        span = row["span"] if row["counted"] == _COUNTED else None
        return Observed(
            waiting=row["waiting"],
            oldest_seconds=row["oldest_seconds"],
            rendering=row["rendering"],
            arrivals_lately=_rate(row["lately"], _LATELY, span),
            arrivals_before=_rate(row["counted"], _BEFORE, span),
            render_seconds=row["render_seconds"],
            prepare_seconds=row["prepare_seconds"],
            cold_start_seconds=row["cold_start_seconds"],
            slots=row["slots"],
        )

    async def memory(self) -> PoolMemory:
        """See the port."""
        row = await self._pool.row(_MEMORY)
        return PoolMemory() if row is None else _memory_of(row["pool"])

    async def take(self, *, now: datetime, every: timedelta) -> PoolTurn | None:
        """See the port."""
        row = await self._pool.row(_TAKE, now, every)
        if row is None:
            return None
        return PoolTurn(memory=_memory_of(row["pool"]), until=row["pool_due"])

    async def keep(self, turn: PoolTurn, memory: PoolMemory) -> bool:
        """See the port."""
        kept = {name: _text_of(getattr(memory, name)) for name in PoolMemory.__dataclass_fields__}
        return await self._pool.row(_KEEP, turn.until, json.dumps(kept)) is not None


def _rate(count: int, seconds: float, span: float | None) -> float:
    return count / max(min(seconds, span or seconds), 1e-3)


def _text_of(held: Held) -> list[object]:
    since = held.lower_since
    return [held.value, since.isoformat() if since else None, held.highest]


def _memory_of(text: str) -> PoolMemory:
    kept: dict[str, Any] = json.loads(text)
    return PoolMemory(
        **{name: _held_of(kept.get(name)) for name in PoolMemory.__dataclass_fields__}
    )


def _held_of(kept: Any) -> Held:
    try:
        value, since, highest = kept
        lower_since = datetime.fromisoformat(since) if since else None
        return Held(value=int(value), lower_since=lower_since, highest=int(highest))
    except (TypeError, ValueError):
        # Another version remembers something else: then nothing is, and the pool is looked at anew.
        return Held()
