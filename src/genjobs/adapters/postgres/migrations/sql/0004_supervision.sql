-- What supervisors share, in one row: when they looked last, where they go on, what they have done.
-- It holds nothing of any tenant, and the API's role does not reach it.
CREATE TABLE genjobs.supervision (
    one boolean PRIMARY KEY DEFAULT true,
    ticked_at timestamptz,
    -- Ticks in a row that each came after a gap; see begin_tick.
    gaps integer NOT NULL DEFAULT 0,
    -- Until then no lease counts as run out.
    grace_until timestamptz,
    -- While set, nothing is dispatched.
    paused_at timestamptz,
    -- Slots above it are not given out, and go as they become free. NULL: there are none above.
    window_size integer,
    -- The tenant whose loads were counted last.
    recounted uuid,
    -- The file after which the sweep goes on, and when its next page is due.
    swept text NOT NULL DEFAULT '',
    sweep_due timestamptz NOT NULL DEFAULT '-infinity',
    rescues bigint NOT NULL DEFAULT 0,
    ingest_rescues bigint NOT NULL DEFAULT 0,
    escalations bigint NOT NULL DEFAULT 0,
    drift bigint NOT NULL DEFAULT 0,
    swept_files bigint NOT NULL DEFAULT 0,
    CHECK (one)
) WITH (fillfactor = 50);
INSERT INTO genjobs.supervision DEFAULT VALUES;

ALTER TABLE genjobs.slots
    -- Which worker runs the attempt, in the words of whoever can end it.
    ADD COLUMN call_id text,
    -- How often its end was ordered, for a cancel that it does not answer, and when it may be again.
    ADD COLUMN terminations integer NOT NULL DEFAULT 0,
    ADD COLUMN terminate_after timestamptz;

-- Losses of a worker that the job was not charged for; they are bounded too.
ALTER TABLE genjobs.jobs ADD COLUMN spared integer NOT NULL DEFAULT 0;
