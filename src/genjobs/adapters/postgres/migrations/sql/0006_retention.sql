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

-- Erasures of a user with all that is theirs, or of one job; afterwards their receipts.
CREATE TABLE genjobs.erasures (
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    id uuid NOT NULL,
    whole_user boolean NOT NULL,
    -- Whose, and of an erasure of one job which. Only until it is done: a receipt is about nobody.
    user_id text,
    job_id uuid,
    requested_at timestamptz NOT NULL,
    finished_at timestamptz,
    -- When some supervisor goes on with it.
    due_at timestamptz NOT NULL,
    -- When a job of it was last seen going on.
    busy_at timestamptz,
    jobs bigint NOT NULL DEFAULT 0,
    files bigint NOT NULL DEFAULT 0,
    uploads bigint NOT NULL DEFAULT 0,
    keys bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    CHECK ((finished_at IS NULL) = (user_id IS NOT NULL)),
    CHECK (job_id IS NULL OR NOT whole_user AND finished_at IS NULL)
);
CREATE UNIQUE INDEX erasures_user ON genjobs.erasures (tenant_id, user_id) WHERE whole_user;
CREATE UNIQUE INDEX erasures_job ON genjobs.erasures (tenant_id, job_id);
CREATE INDEX erasures_due ON genjobs.erasures (due_at) WHERE finished_at IS NULL;
CREATE INDEX erasures_old ON genjobs.erasures (finished_at) WHERE finished_at IS NOT NULL;
-- A cutoff names a user; it goes once every token that it forbids has expired.
CREATE INDEX token_cutoffs_age ON genjobs.token_cutoffs (not_before);

-- Files that a job names and the store has not; seen missing first at found_at.
CREATE TABLE genjobs.missing_files (
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    key text NOT NULL,
    found_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, job_id, key),
    FOREIGN KEY (tenant_id, job_id) REFERENCES genjobs.jobs (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX missing_files_age ON genjobs.missing_files (found_at);
ALTER TABLE genjobs.supervision
    -- The job after which the look for missing files goes on, and when its next page is due.
    ADD COLUMN walked_tenant uuid,
    ADD COLUMN walked_job uuid,
    ADD COLUMN walk_due timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN erased_jobs bigint NOT NULL DEFAULT 0,
    ADD COLUMN lost_files bigint NOT NULL DEFAULT 0;
