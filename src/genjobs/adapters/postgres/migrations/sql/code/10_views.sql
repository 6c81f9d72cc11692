-- A job as a listing shows it.
CREATE VIEW genjobs.job_rows WITH (security_invoker = true) AS
SELECT j.*, s.phase, s.progress, s.beat
FROM genjobs.jobs j
LEFT JOIN genjobs.slots s
    ON s.slot_no = j.slot_no AND s.tenant_id = j.tenant_id AND s.job_id = j.id;

-- A job as it is read by itself, with its place in line: at most 1,000 jobs of its user are counted.
CREATE VIEW genjobs.job_views WITH (security_invoker = true) AS
SELECT
    j.*,
    CASE
        WHEN j.status <> 'queued' OR NOT j.eligible THEN NULL
        WHEN j.slot_no IS NOT NULL THEN 1
        ELSE 1 + (
            SELECT count(*) FROM (
                SELECT 1 FROM genjobs.jobs o
                WHERE o.tenant_id = j.tenant_id AND o.user_id = j.user_id
                  AND o.ready AND (o.rank, o.id) < (j.rank, j.id)
                -- The order is jobs_user_ready's: without it the planner may take another index
                -- and walk all jobs that the user ever had.
                ORDER BY o.rank, o.id
                LIMIT 999
            ) ahead
        )
    END AS queue_position
FROM genjobs.job_rows j;
