-- Jobs whose media are still to be fetched. A row goes when its job becomes eligible or final, and
-- the URLs go with it.
CREATE TABLE genjobs.ingests (
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    user_id text NOT NULL,
    -- What is to be fetched: [{index, name, url, kinds}].
    sources jsonb NOT NULL,
    -- The number of the latest claim, never reused; what a claim stores lies under its number.
    claim integer NOT NULL DEFAULT 0,
    -- Claims that count against the limit.
    tries integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    execution_id uuid,
    lease_expires_at timestamptz,
    -- Who gave the job back last: a repeat after a lost answer is told so.
    settled_by uuid,
    PRIMARY KEY (tenant_id, job_id),
    FOREIGN KEY (tenant_id, job_id) REFERENCES genjobs.jobs (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ingests_waiting ON genjobs.ingests (tenant_id, user_id, not_before, job_id)
    WHERE execution_id IS NULL;
CREATE INDEX ingests_claimed ON genjobs.ingests (tenant_id, user_id)
    WHERE execution_id IS NOT NULL;
CREATE INDEX ingests_lease ON genjobs.ingests (lease_expires_at) WHERE execution_id IS NOT NULL;
CREATE INDEX ingests_deadline ON genjobs.ingests (deadline);

-- One row for each user with a row in ingests; the least recently served goes first.
CREATE TABLE genjobs.ingest_turns (
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    user_id text NOT NULL,
    served bigint NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX ingest_turns_next ON genjobs.ingest_turns (served);
CREATE SEQUENCE genjobs.ingest_turn;

-- Which claim made the job eligible or ended it; a repeat after a lost answer is told so.
ALTER TABLE genjobs.jobs ADD COLUMN ingested_by uuid;
