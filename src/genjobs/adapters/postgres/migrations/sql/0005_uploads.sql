-- Uploads: files that a user puts into the artifact store by a signed URL, and the jobs that use
-- them. A job gets a copy of its own when it is ingested, so that what was checked is what is used.

CREATE TABLE genjobs.uploads (
    tenant_id uuid NOT NULL REFERENCES genjobs.tenants (id),
    id uuid NOT NULL,
    user_id text NOT NULL,
    -- Where the file is, or will be, in the artifact store.
    key text NOT NULL,
    -- As declared; type and length are in the URL's signature, and only the length is believed.
    filename text NOT NULL,
    content_type text NOT NULL,
    bytes bigint NOT NULL CHECK (bytes > 0),
    -- unused: no job was submitted with it yet. used: one was. leaving: its file is being removed,
    -- so no submit takes it any more; the row goes after the file.
    state text NOT NULL DEFAULT 'unused' CHECK (state IN ('unused', 'used', 'leaving')),
    created_at timestamptz NOT NULL,
    -- When the purge looks at it: it goes unless a job refers to it.
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX uploads_due ON genjobs.uploads (expires_at);
CREATE INDEX uploads_user ON genjobs.uploads (tenant_id, user_id, id);
CREATE INDEX uploads_unused ON genjobs.uploads (tenant_id, user_id) WHERE state = 'unused';

-- Which jobs refer to which uploads. Whoever removes a job's data ends this by release_uploads; a
-- row that goes with its job is noticed too, when the purge looks at the upload again.
CREATE TABLE genjobs.upload_uses (
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    upload_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, job_id, upload_id),
    FOREIGN KEY (tenant_id, job_id) REFERENCES genjobs.jobs (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, upload_id) REFERENCES genjobs.uploads (tenant_id, id)
);
CREATE INDEX upload_uses_upload ON genjobs.upload_uses (tenant_id, upload_id);

-- How many unused uploads there are: counted like jobs, in the rows that hold all counts.
ALTER TABLE genjobs.tenant_load ADD COLUMN uploads integer NOT NULL DEFAULT 0;
ALTER TABLE genjobs.user_load ADD COLUMN uploads integer NOT NULL DEFAULT 0;
DROP INDEX genjobs.user_load_idle;
CREATE INDEX user_load_idle ON genjobs.user_load (day)
    WHERE queued = 0 AND in_flight = 0 AND uploads = 0 AND plan IS NULL;
