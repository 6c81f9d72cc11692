-- How busy the pool of workers is: attempts by when they were given out, and what supervisors
-- remember of the pool.

-- The time never changes, so starting or ending an attempt may still leave all indexes alone (HOT).
CREATE INDEX attempts_dispatched ON genjobs.attempts (dispatched_at);

ALTER TABLE genjobs.supervision
    -- When the pool is looked at again, and what was remembered of it; see pool_ledger.py.
    ADD COLUMN pool_due timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN pool jsonb NOT NULL DEFAULT '{}';
