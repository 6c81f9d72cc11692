-- A job as it is read. The position counts at most 1,000 jobs of the same user; a reader that
-- does not select it does not pay for it.
CREATE VIEW genjobs.job_views WITH (security_invoker = true) AS
SELECT
    j.*, s.phase, s.progress, s.beat,
    CASE
        WHEN j.status <> 'queued' OR NOT j.eligible THEN NULL
        WHEN j.slot_no IS NOT NULL THEN 1
        ELSE 1 + (
            SELECT count(*) FROM (
                SELECT 1 FROM genjobs.jobs o
                WHERE o.tenant_id = j.tenant_id AND o.user_id = j.user_id
                  AND o.status = 'queued' AND o.eligible AND o.slot_no IS NULL
                  AND (-o.priority, o.id) < (-j.priority, j.id)
                -- The order is jobs_user_ready's: without it the planner may take another index
                -- and walk all jobs that the user ever had.
                ORDER BY -o.priority, o.id
                LIMIT 999
            ) ahead
        )
    END AS queue_position
FROM genjobs.jobs j
LEFT JOIN genjobs.slots s
    ON s.slot_no = j.slot_no AND s.tenant_id = j.tenant_id AND s.job_id = j.id;
