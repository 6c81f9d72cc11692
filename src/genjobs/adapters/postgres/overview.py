"""The statement behind the figures that operators watch; it reads only."""

from __future__ import annotations

from typing import Final

#: More waiting jobs than this are not counted: the figure must not cost more with more jobs.
_COUNTED: Final = 10_000
#: Among so many that expire next the oldest is looked for.
_AGED: Final = 1000

# Each order is an index's, so that the planner never reads all jobs for the few that wait.
OVERVIEW: Final = f"""
SELECT
    w.*,
    (SELECT count(*) FROM (
        SELECT 1 FROM genjobs.jobs j WHERE j.status = 'queued'
        ORDER BY j.queue_deadline LIMIT {_COUNTED}) q) AS queued,
    (SELECT extract(epoch FROM $1::timestamptz - j.not_before)::double precision
     FROM genjobs.jobs j WHERE j.ready ORDER BY j.not_before LIMIT 1) AS oldest_eligible_seconds,
    (SELECT extract(epoch FROM $1::timestamptz - min(q.created_at))::double precision FROM (
        SELECT j.created_at FROM genjobs.jobs j WHERE j.status = 'queued'
        ORDER BY j.queue_deadline LIMIT {_AGED}) q) AS oldest_queued_seconds,
    (SELECT extract(epoch FROM $1::timestamptz - min((
            SELECT j.cancel_requested_at FROM genjobs.jobs j
            WHERE j.tenant_id = s.tenant_id AND j.id = s.job_id)))::double precision
     FROM genjobs.slots s WHERE s.cancel_requested) AS oldest_cancel_seconds,
    v.paused_at IS NOT NULL AS paused,
    extract(epoch FROM $1::timestamptz - v.ticked_at)::double precision AS last_tick_seconds,
    (SELECT extract(epoch FROM ($1::timestamptz AT TIME ZONE 'UTC')
            - ((j.finished_at AT TIME ZONE 'UTC') + j.retention))::double precision
     FROM genjobs.jobs j WHERE j.finished_at IS NOT NULL AND j.purged_at IS NULL
        AND (j.finished_at AT TIME ZONE 'UTC') + j.retention <= $1::timestamptz AT TIME ZONE 'UTC'
     ORDER BY (j.finished_at AT TIME ZONE 'UTC') + j.retention LIMIT 1) AS purge_overdue_seconds,
    v.rescues, v.ingest_rescues, v.escalations, v.drift, v.swept_files, v.purged_inputs,
    v.purged_jobs, v.purged_rows, v.erased_jobs, v.lost_files, e.*,
    (SELECT count(*) FROM (SELECT 1 FROM genjobs.missing_files LIMIT {_AGED}) m) AS missing_files
FROM genjobs.supervision v CROSS JOIN LATERAL (
    SELECT count(*) AS open_erasures,
        extract(epoch FROM $1::timestamptz - min(o.requested_at))::double precision
            AS oldest_erasure_seconds
    FROM (SELECT a.requested_at FROM genjobs.erasures a WHERE a.finished_at IS NULL
          ORDER BY a.due_at LIMIT {_AGED}) o
) e CROSS JOIN LATERAL (
    SELECT count(*) AS slots_total,
        count(*) FILTER (WHERE s.job_id IS NULL) AS slots_free,
        count(*) FILTER (WHERE s.execution_id IS NOT NULL) AS running,
        count(*) FILTER (WHERE s.cancel_requested) AS open_cancels
    FROM genjobs.slots s
    -- What the window has no longer counts for as long as it is in use.
    WHERE s.job_id IS NOT NULL OR v.window_size IS NULL OR s.slot_no <= v.window_size
) w
"""
