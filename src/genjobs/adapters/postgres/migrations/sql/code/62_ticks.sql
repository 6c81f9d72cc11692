-- Ticks of supervisors, and the pause of the dispatch. Whoever locks the row of supervision waits
-- for nothing after it.

-- Whether no lease counts as run out just now. What a look missed, the next one finds.
CREATE FUNCTION genjobs.in_grace(p_now timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT EXISTS (SELECT 1 FROM genjobs.supervision s WHERE s.grace_until > p_now);
$$;

-- Note a tick; return whether it came after a gap in which healthy workers may have lost their
-- leases: then every lease holds for at least one lease more. One row says so for all of them, so
-- that nobody locks many slots at once.
-- A supervisor that is started now and then has nothing but gaps; then they mean nothing, and after
-- a few in a row leases run out as they should.
-- Free slots that the window has no longer go here.
CREATE FUNCTION genjobs.begin_tick(
    p_now timestamptz, p_longest_gap interval, p_lease interval, p_most_gaps integer
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_shared genjobs.supervision;
    v_gap boolean;
BEGIN
    SELECT * INTO v_shared FROM genjobs.supervision FOR NO KEY UPDATE;
    v_gap := v_shared.ticked_at IS NULL OR p_now - v_shared.ticked_at > p_longest_gap;
    UPDATE genjobs.supervision s SET
        ticked_at = greatest(s.ticked_at, p_now),
        gaps = CASE WHEN v_gap THEN s.gaps + 1 ELSE 0 END,
        grace_until = CASE
            WHEN v_gap AND s.gaps < p_most_gaps THEN p_now + p_lease ELSE s.grace_until
        END;
    DELETE FROM genjobs.slots WHERE slot_no IN (
        SELECT o.slot_no FROM genjobs.slots o
        WHERE o.slot_no > v_shared.window_size AND o.job_id IS NULL FOR UPDATE SKIP LOCKED);
    RETURN v_gap AND v_shared.gaps < p_most_gaps;
END $$;

-- Add up what was done.
CREATE FUNCTION genjobs.end_tick(
    p_rescues bigint, p_ingest_rescues bigint, p_escalations bigint, p_drift bigint,
    p_swept_files bigint,
    -- Supervisors of the version before do not say.
    p_purged_inputs bigint DEFAULT 0, p_purged_jobs bigint DEFAULT 0, p_purged_rows bigint DEFAULT 0,
    p_erased_jobs bigint DEFAULT 0, p_lost_files bigint DEFAULT 0
) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.supervision SET
        rescues = rescues + p_rescues, ingest_rescues = ingest_rescues + p_ingest_rescues,
        escalations = escalations + p_escalations, drift = drift + p_drift,
        swept_files = swept_files + p_swept_files,
        purged_inputs = purged_inputs + p_purged_inputs, purged_jobs = purged_jobs + p_purged_jobs,
        purged_rows = purged_rows + p_purged_rows, erased_jobs = erased_jobs + p_erased_jobs,
        lost_files = lost_files + p_lost_files;
$$;

-- Count the next tenant's loads anew, and say how many counts were wrong; NULL when there is none.
-- One tenant to a transaction: it is locked while its jobs are counted.
CREATE FUNCTION genjobs.recount_next() RETURNS TABLE (tenant_id uuid, drift integer)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_after uuid;
    v_next uuid;
BEGIN
    SELECT s.recounted INTO v_after FROM genjobs.supervision s;
    SELECT l.tenant_id INTO v_next FROM genjobs.tenant_load l
    WHERE l.tenant_id > coalesce(v_after, '00000000-0000-0000-0000-000000000000')
    ORDER BY l.tenant_id LIMIT 1;
    IF NOT FOUND THEN  -- from the beginning
        SELECT l.tenant_id INTO v_next FROM genjobs.tenant_load l ORDER BY l.tenant_id LIMIT 1;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    PERFORM genjobs.lock_load(v_next);
    tenant_id := v_next;
    drift := genjobs.recount_load(v_next);
    UPDATE genjobs.supervision s SET recounted = v_next;
    RETURN NEXT;
END $$;

-- Once this has returned nobody is given a slot any more: dispatchers look at it under the lock that
-- is taken here, and no transaction that took it earlier is still open.
CREATE FUNCTION genjobs.pause_dispatch(p_now timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM genjobs.lock_many_loads();
    UPDATE genjobs.supervision SET paused_at = coalesce(paused_at, p_now);
END $$;

CREATE FUNCTION genjobs.resume_dispatch() RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.supervision SET paused_at = NULL;
$$;

-- The file after which the sweep goes on; nothing while no page of it is due. Whoever is told has
-- the page to itself until the next one is due.
CREATE FUNCTION genjobs.take_sweep(p_now timestamptz, p_every interval) RETURNS SETOF text
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.supervision SET sweep_due = p_now + p_every WHERE sweep_due <= p_now
    RETURNING swept;
$$;

CREATE FUNCTION genjobs.keep_sweep(p_after text, p_due timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.supervision SET swept = p_after, sweep_due = p_due;
$$;
