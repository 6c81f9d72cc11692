-- Erasures, the system's side: what supervisors do of one, step by step. Each step looks at what
-- there is, so it may be repeated, by whoever comes next. Locks in the order of all others: load,
-- uploads, job; the erasure last.

-- Take erasures that are due, until p_taken.
CREATE FUNCTION genjobs.take_erasures(p_now timestamptz, p_taken timestamptz, p_limit integer)
RETURNS SETOF genjobs.erasures
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.erasures SET due_at = p_taken
    WHERE ctid = ANY (ARRAY(
        SELECT e.ctid FROM genjobs.erasures e
        WHERE e.finished_at IS NULL AND e.due_at <= p_now
        ORDER BY e.due_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING *;
$$;

-- Let an erasure go on at p_due; note when a job of it was seen going on.
CREATE FUNCTION genjobs.put_off_erasure(
    p_tenant uuid, p_id uuid, p_due timestamptz, p_busy timestamptz
) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.erasures SET
        due_at = p_due, busy_at = greatest(busy_at, p_busy)
    WHERE tenant_id = p_tenant AND id = p_id AND finished_at IS NULL;
$$;

-- A user's jobs that have not ended, each kind by the index that holds only it.
CREATE FUNCTION genjobs.open_jobs(p_tenant uuid, p_user text, p_limit integer)
RETURNS TABLE (job_id uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT o.id FROM (
        (SELECT j.id FROM genjobs.jobs j
         WHERE j.tenant_id = p_tenant AND j.user_id = p_user AND j.ready
         ORDER BY j.rank, j.id LIMIT p_limit)
        UNION ALL
        (SELECT j.id FROM genjobs.jobs j
         WHERE j.status = 'queued' AND j.eligible AND j.slot_no IS NULL AND NOT j.ready
           AND j.tenant_id = p_tenant AND j.user_id = p_user
         ORDER BY j.not_before LIMIT p_limit)
        UNION ALL
        (SELECT g.job_id FROM genjobs.ingests g
         WHERE g.tenant_id = p_tenant AND g.user_id = p_user AND g.execution_id IS NULL
         ORDER BY g.not_before LIMIT p_limit)
        UNION ALL
        (SELECT g.job_id FROM genjobs.ingests g
         WHERE g.tenant_id = p_tenant AND g.user_id = p_user AND g.execution_id IS NOT NULL
         LIMIT p_limit)
        UNION ALL
        (SELECT j.id FROM genjobs.slots s
         JOIN genjobs.jobs j ON j.tenant_id = s.tenant_id AND j.id = s.job_id
         WHERE s.tenant_id = p_tenant AND j.user_id = p_user
         LIMIT p_limit)
    ) o LIMIT p_limit;
$$;

-- Cancel a job that is being erased. By the owner's rights: workers' role may cancel no other.
CREATE FUNCTION genjobs.cancel_erased(p_tenant uuid, p_id uuid, p_job uuid, p_now timestamptz)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM 1 FROM genjobs.erasures e
    JOIN genjobs.jobs j ON j.tenant_id = e.tenant_id AND j.user_id = e.user_id
    WHERE e.tenant_id = p_tenant AND e.id = p_id AND j.id = p_job
      AND (e.whole_user OR e.job_id = p_job);
    IF FOUND THEN
        PERFORM 1 FROM genjobs.request_cancel(p_tenant, NULL, p_job, p_now);
    END IF;
END $$;

-- A user's jobs, ended or not.
CREATE FUNCTION genjobs.jobs_of(p_tenant uuid, p_user text, p_limit integer)
RETURNS TABLE (job_id uuid)
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT j.id FROM genjobs.jobs j
    WHERE j.tenant_id = p_tenant AND j.user_id = p_user ORDER BY j.id DESC LIMIT p_limit;
$$;

-- Remove jobs whose files are gone; return how many. p_files: how many were removed of each; what
-- the row names counts at least, also when a supervisor died before it could tell.
-- By the owner's rights: workers' role may delete no job that is not being erased.
CREATE FUNCTION genjobs.remove_erased(
    p_tenant uuid, p_id uuid, p_jobs uuid[], p_files integer[], p_now timestamptz
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_erasure genjobs.erasures;
    v_job genjobs.jobs;
    v_jobs bigint := 0;
    v_files bigint := 0;
    v_keys bigint := 0;
BEGIN
    SELECT * INTO v_erasure FROM genjobs.erasures e
    WHERE e.tenant_id = p_tenant AND e.id = p_id AND e.finished_at IS NULL;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM genjobs.lock_load(p_tenant);
    -- Of a whole user all uploads go, later, and are counted. A job that has ended stays so.
    PERFORM 1 FROM genjobs.jobs j
    WHERE j.tenant_id = p_tenant AND j.id = v_erasure.job_id AND j.finished_at IS NOT NULL;
    IF FOUND AND NOT v_erasure.whole_user THEN
        PERFORM genjobs.release_uploads(p_tenant, v_erasure.job_id, p_now);
    END IF;
    FOR i IN 1..cardinality(p_jobs) LOOP
        DELETE FROM genjobs.jobs j
        WHERE j.tenant_id = p_tenant AND j.id = p_jobs[i] AND j.user_id = v_erasure.user_id
          AND j.finished_at IS NOT NULL AND (v_erasure.whole_user OR j.id = v_erasure.job_id)
        RETURNING * INTO v_job;
        CONTINUE WHEN NOT FOUND;
        v_jobs := v_jobs + 1;
        v_files := v_files + greatest(
            p_files[i], jsonb_array_length(v_job.inputs) + jsonb_array_length(v_job.outputs));
    END LOOP;
    IF NOT v_erasure.whole_user THEN  -- of a whole user all keys go, later
        WITH gone AS (
            DELETE FROM genjobs.idempotency k
            WHERE k.tenant_id = p_tenant AND k.user_id = v_erasure.user_id
              AND k.job_id = v_erasure.job_id
            RETURNING 1
        ) SELECT count(*) INTO v_keys FROM gone;
    END IF;
    UPDATE genjobs.erasures e SET
        jobs = e.jobs + v_jobs, files = e.files + v_files, keys = e.keys + v_keys
    WHERE e.tenant_id = p_tenant AND e.id = p_id;
    RETURN v_jobs;
END $$;

-- Remove a user's idempotency keys; return how many.
CREATE FUNCTION genjobs.remove_keys(p_tenant uuid, p_id uuid, p_user text, p_limit integer)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_keys bigint;
BEGIN
    WITH gone AS (
        DELETE FROM genjobs.idempotency WHERE ctid = ANY (ARRAY(
            SELECT k.ctid FROM genjobs.idempotency k
            WHERE k.tenant_id = p_tenant AND k.user_id = p_user
            ORDER BY k.key LIMIT p_limit FOR UPDATE))
        RETURNING 1
    ) SELECT count(*) INTO v_keys FROM gone;
    UPDATE genjobs.erasures e SET keys = e.keys + v_keys
    WHERE e.tenant_id = p_tenant AND e.id = p_id;
    RETURN v_keys;
END $$;

-- Let a user's uploads leave, which no job refers to any more, and return where their files are.
CREATE FUNCTION genjobs.leave_uploads(
    p_tenant uuid, p_user text, p_limit integer, p_again timestamptz
) RETURNS TABLE (id uuid, key text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_upload genjobs.uploads;
BEGIN
    PERFORM genjobs.lock_load(p_tenant);
    FOR v_upload IN
        SELECT * FROM genjobs.uploads u WHERE u.tenant_id = p_tenant AND u.user_id = p_user
        ORDER BY u.id LIMIT p_limit FOR UPDATE
    LOOP
        IF v_upload.state = 'unused' THEN
            PERFORM genjobs.move_uploads(p_tenant, p_user, -1);
        END IF;
        UPDATE genjobs.uploads u SET state = 'leaving', expires_at = p_again
        WHERE u.tenant_id = p_tenant AND u.id = v_upload.id;
        id := v_upload.id;
        key := v_upload.key;
        RETURN NEXT;
    END LOOP;
END $$;

-- Remove uploads that left and whose files are gone; return how many.
CREATE FUNCTION genjobs.remove_uploads(p_tenant uuid, p_id uuid, p_user text, p_uploads uuid[])
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_uploads bigint;
BEGIN
    WITH gone AS (
        DELETE FROM genjobs.uploads u
        WHERE u.tenant_id = p_tenant AND u.id = ANY (p_uploads) AND u.user_id = p_user
          AND u.state = 'leaving'
        RETURNING 1
    ) SELECT count(*) INTO v_uploads FROM gone;
    UPDATE genjobs.erasures e SET uploads = e.uploads + v_uploads
    WHERE e.tenant_id = p_tenant AND e.id = p_id;
    RETURN v_uploads;
END $$;

-- Count files that were found when everything should have been gone.
CREATE FUNCTION genjobs.count_strays(p_tenant uuid, p_id uuid, p_files bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.erasures SET files = files + p_files
    WHERE tenant_id = p_tenant AND id = p_id AND finished_at IS NULL;
$$;

-- End an erasure if there is nothing left; return whether it has ended. From here on the user may
-- submit again, as one who was never here.
CREATE FUNCTION genjobs.finish_erasure(p_tenant uuid, p_id uuid, p_now timestamptz)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_erasure genjobs.erasures;
BEGIN
    PERFORM genjobs.lock_load(p_tenant);
    SELECT * INTO v_erasure FROM genjobs.erasures e
    WHERE e.tenant_id = p_tenant AND e.id = p_id FOR NO KEY UPDATE;
    IF v_erasure.finished_at IS NOT NULL THEN
        RETURN true;
    END IF;
    IF v_erasure.whole_user THEN
        PERFORM 1 FROM genjobs.jobs j
        WHERE j.tenant_id = p_tenant AND j.user_id = v_erasure.user_id
        ORDER BY j.id DESC LIMIT 1;
        IF FOUND THEN
            RETURN false;
        END IF;
        PERFORM 1 FROM genjobs.idempotency k
        WHERE k.tenant_id = p_tenant AND k.user_id = v_erasure.user_id LIMIT 1;
        IF FOUND THEN
            RETURN false;
        END IF;
        PERFORM 1 FROM genjobs.uploads u
        WHERE u.tenant_id = p_tenant AND u.user_id = v_erasure.user_id ORDER BY u.id LIMIT 1;
        IF FOUND THEN
            RETURN false;
        END IF;
        PERFORM 1 FROM genjobs.user_load u
        WHERE u.tenant_id = p_tenant AND u.user_id = v_erasure.user_id
          AND (u.queued, u.in_flight, u.uploads) <> (0, 0, 0);
        IF FOUND THEN  -- wrong counts of what is not there
            PERFORM genjobs.recount_load(p_tenant);
        END IF;
        DELETE FROM genjobs.user_load u
        WHERE u.tenant_id = p_tenant AND u.user_id = v_erasure.user_id;
        -- Until now the erasure itself has forbidden tokens; see user_standing.
        INSERT INTO genjobs.token_cutoffs AS c (tenant_id, user_id, not_before)
        VALUES (p_tenant, v_erasure.user_id, p_now)
        ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET not_before = greatest(c.not_before, excluded.not_before);
    ELSE
        PERFORM 1 FROM genjobs.jobs j WHERE j.tenant_id = p_tenant AND j.id = v_erasure.job_id;
        IF FOUND THEN
            RETURN false;
        END IF;
    END IF;
    UPDATE genjobs.erasures e SET finished_at = p_now, user_id = NULL, job_id = NULL
    WHERE e.tenant_id = p_tenant AND e.id = p_id;
    RETURN true;
END $$;

-- Remove receipts of long ago, and cutoffs of tokens that have all expired.
CREATE FUNCTION genjobs.tidy_erasures(p_receipts timestamptz, p_cutoffs timestamptz, p_limit integer)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM genjobs.erasures WHERE ctid = ANY (ARRAY(
        SELECT e.ctid FROM genjobs.erasures e
        WHERE e.finished_at IS NOT NULL AND e.finished_at <= p_receipts
        ORDER BY e.finished_at LIMIT p_limit FOR UPDATE SKIP LOCKED));
    DELETE FROM genjobs.token_cutoffs WHERE ctid = ANY (ARRAY(
        SELECT c.ctid FROM genjobs.token_cutoffs c WHERE c.not_before <= p_cutoffs
        ORDER BY c.not_before LIMIT p_limit));
END $$;
