-- What is kept how long: jobs that are due for removal, users who are to be erased, files that rows
-- name and the store has not.

ALTER TABLE genjobs.jobs
    -- Inputs and workflow are gone; purged_at is when everything but a tombstone is.
    ADD COLUMN inputs_purged_at timestamptz,
    -- Until then some supervisor removes the job's files.
    ADD COLUMN purge_taken_until timestamptz;
CREATE INDEX jobs_inputs_due ON genjobs.jobs (finished_at)
    WHERE finished_at IS NOT NULL AND inputs_purged_at IS NULL;
-- In UTC, without a zone: an index may hold nothing that depends on the session's.
CREATE INDEX jobs_purge_due ON genjobs.jobs (((finished_at AT TIME ZONE 'UTC') + retention))
    WHERE finished_at IS NOT NULL AND purged_at IS NULL;
CREATE INDEX jobs_tombstones ON genjobs.jobs (purged_at) WHERE purged_at IS NOT NULL;

ALTER TABLE genjobs.supervision
    ADD COLUMN purged_inputs bigint NOT NULL DEFAULT 0,
    ADD COLUMN purged_jobs bigint NOT NULL DEFAULT 0,
    ADD COLUMN purged_rows bigint NOT NULL DEFAULT 0;
