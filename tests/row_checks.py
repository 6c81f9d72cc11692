"""What must be true of the rows whatever was done to them, as SQL."""

from __future__ import annotations

#: Each must return no row.
BROKEN = {
    "a slot and its job disagree": """
        SELECT 1 FROM genjobs.slots s FULL JOIN (
            SELECT * FROM genjobs.jobs WHERE slot_no IS NOT NULL) j USING (slot_no)
        WHERE (s.job_id, s.tenant_id, s.attempt) IS DISTINCT FROM (j.id, j.tenant_id, j.attempt)
    """,
    "an execution holds a slot of a job that does not run": """
        SELECT 1 FROM genjobs.slots s JOIN genjobs.jobs j USING (slot_no)
        WHERE (s.execution_id IS NOT NULL) <> (j.status = 'running')
           OR (s.lease_expires_at IS NOT NULL) <> (j.status = 'running')
           OR (s.start_deadline IS NOT NULL) <> (j.status = 'queued')
    """,
    "a free slot remembers": """
        SELECT 1 FROM genjobs.slots WHERE job_id IS NULL AND num_nonnulls(
            tenant_id, attempt, execution_id, start_deadline, lease_expires_at, phase, progress,
            call_id, terminate_after) + terminations > 0
    """,
    "an end without a time, or a time without an end": """
        SELECT 1 FROM genjobs.jobs WHERE (finished_at IS NOT NULL) <>
            (status IN ('completed', 'failed', 'cancelled'))
    """,
    "an attempt is open without a slot, or closed with one": """
        SELECT 1 FROM genjobs.attempts a
        JOIN genjobs.jobs j ON (j.tenant_id, j.id) = (a.tenant_id, a.job_id)
        WHERE (a.ended_at IS NULL) <> (j.slot_no IS NOT NULL AND j.attempt = a.attempt)
    """,
    "attempts are not numbered one after another": """
        SELECT 1 FROM genjobs.jobs j WHERE j.attempt <> (
            SELECT count(*) FROM genjobs.attempts a
            WHERE (a.tenant_id, a.job_id) = (j.tenant_id, j.id))
    """,
    "charges do not add up": """
        SELECT 1 FROM genjobs.jobs j WHERE j.status = 'queued' AND j.charged <> (
            SELECT count(*) FROM genjobs.attempts a
            WHERE (a.tenant_id, a.job_id) = (j.tenant_id, j.id) AND a.charged)
    """,
    "a job waits for media without an ingest, or has one without waiting": """
        SELECT 1 FROM genjobs.jobs j FULL JOIN genjobs.ingests g
            ON (g.tenant_id, g.job_id) = (j.tenant_id, j.id)
        WHERE (g.job_id IS NOT NULL) <> (j.status = 'queued' AND NOT j.eligible)
    """,
    "a user's counts are not what there is": """
        SELECT 1 FROM genjobs.user_load l FULL JOIN (
            SELECT tenant_id, user_id, count(*) FILTER (WHERE slot_no IS NULL) AS queued,
                count(*) FILTER (WHERE slot_no IS NOT NULL) AS in_flight,
                count(*) FILTER (WHERE ready) AS ready
            FROM genjobs.jobs WHERE status IN ('queued', 'running') GROUP BY 1, 2
        ) j USING (tenant_id, user_id)
        WHERE (coalesce(l.queued, 0), coalesce(l.in_flight, 0), coalesce(l.ready, 0))
            <> (coalesce(j.queued, 0), coalesce(j.in_flight, 0), coalesce(j.ready, 0))
    """,
    "a tenant's counts are not the sum of its users'": """
        SELECT 1 FROM genjobs.tenant_load t JOIN (
            SELECT tenant_id, sum(queued) AS queued, sum(in_flight) AS in_flight,
                count(*) FILTER (WHERE pickable) AS ready_users
            FROM genjobs.user_load GROUP BY 1
        ) u USING (tenant_id)
        WHERE (t.queued, t.in_flight, t.ready_users) <> (u.queued, u.in_flight, u.ready_users)
    """,
    "unused uploads are not as many as are counted": """
        SELECT 1 FROM genjobs.user_load l FULL JOIN (
            SELECT tenant_id, user_id, count(*) AS uploads FROM genjobs.uploads
            WHERE state = 'unused' GROUP BY 1, 2
        ) u USING (tenant_id, user_id)
        WHERE coalesce(l.uploads, 0) <> coalesce(u.uploads, 0)
        UNION ALL
        SELECT 1 FROM genjobs.tenant_load t WHERE t.uploads <> (
            SELECT coalesce(sum(l.uploads), 0) FROM genjobs.user_load l
            WHERE l.tenant_id = t.tenant_id)
    """,
    "an upload that jobs refer to is not used": """
        SELECT 1 FROM genjobs.upload_uses s JOIN genjobs.uploads u
            ON (u.tenant_id, u.id) = (s.tenant_id, s.upload_id)
        WHERE u.state <> 'used'
    """,
    "a cancelled job has no receipt": """
        SELECT 1 FROM genjobs.jobs WHERE status = 'cancelled'
            AND (cancel_requested_at IS NULL OR cancel_method IS NULL)
    """,
}

#: The names of those that do not hold, in one statement.
ALL_BROKEN = " UNION ALL ".join(
    f"SELECT '{name.replace(chr(39), chr(39) * 2)}' AS name WHERE EXISTS ({query})"
    for name, query in BROKEN.items()
)
