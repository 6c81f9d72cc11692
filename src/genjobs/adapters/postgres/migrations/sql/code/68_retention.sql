-- What jobs are no longer kept for. Only final jobs, which nothing else changes, so a job's row is
-- all that is locked; what another has locked is passed over.

-- Take jobs that ended before p_ended for the removal of their inputs, until p_taken.
CREATE FUNCTION genjobs.take_inputs(
    p_now timestamptz, p_ended timestamptz, p_taken timestamptz, p_limit integer
) RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, inputs jsonb)
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.jobs SET purge_taken_until = p_taken
    WHERE ctid = ANY (ARRAY(
        SELECT j.ctid FROM genjobs.jobs j
        WHERE j.finished_at IS NOT NULL AND j.inputs_purged_at IS NULL AND j.finished_at <= p_ended
          AND (j.purge_taken_until IS NULL OR j.purge_taken_until <= p_now)
        ORDER BY j.finished_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING tenant_id, user_id, id, inputs;
$$;

-- Take jobs whose retention has ended, until p_taken.
CREATE FUNCTION genjobs.take_ended(p_now timestamptz, p_taken timestamptz, p_limit integer)
RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, inputs jsonb)
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.jobs SET purge_taken_until = p_taken
    WHERE ctid = ANY (ARRAY(
        SELECT j.ctid FROM genjobs.jobs j
        WHERE j.finished_at IS NOT NULL AND j.purged_at IS NULL
          AND (j.finished_at AT TIME ZONE 'UTC') + j.retention <= p_now AT TIME ZONE 'UTC'
          AND (j.purge_taken_until IS NULL OR j.purge_taken_until <= p_now)
        ORDER BY (j.finished_at AT TIME ZONE 'UTC') + j.retention
        LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING tenant_id, user_id, id, inputs;
$$;

-- Let jobs refer to no upload any more: those stay as long as any of their jobs has its data.
-- Before any job is locked, since loads and uploads come first.
CREATE FUNCTION genjobs.release_all_uploads(p_tenants uuid[], p_jobs uuid[], p_now timestamptz)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_locked boolean := false;
BEGIN
    FOR i IN 1..cardinality(p_jobs) LOOP
        -- A look for each: a join would be planned as a walk through the uses of all jobs.
        PERFORM 1 FROM genjobs.upload_uses s
        WHERE s.tenant_id = p_tenants[i] AND s.job_id = p_jobs[i] LIMIT 1;
        CONTINUE WHEN NOT FOUND;
        IF NOT v_locked THEN
            PERFORM genjobs.lock_many_loads();
            v_locked := true;
        END IF;
        PERFORM genjobs.lock_load(p_tenants[i]);
        PERFORM genjobs.release_uploads(p_tenants[i], p_jobs[i], p_now);
    END LOOP;
END $$;

-- Say of jobs whose inputs are gone that they are; return of how many.
CREATE FUNCTION genjobs.inputs_gone(p_tenants uuid[], p_jobs uuid[], p_now timestamptz)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_done bigint := 0;
BEGIN
    FOR i IN 1..cardinality(p_jobs) LOOP
        UPDATE genjobs.jobs SET
            inputs = '[]', inputs_purged_at = p_now, purge_taken_until = NULL
        WHERE tenant_id = p_tenants[i] AND id = p_jobs[i]
          AND finished_at IS NOT NULL AND inputs_purged_at IS NULL;
        v_done := v_done + FOUND::integer;
        DELETE FROM genjobs.workflows WHERE tenant_id = p_tenants[i] AND job_id = p_jobs[i];
    END LOOP;
    RETURN v_done;
END $$;

-- Leave tombstones of jobs whose files are gone; return of how many. Of an error the code stays.
CREATE FUNCTION genjobs.ended_gone(
    p_tenants uuid[], p_jobs uuid[], p_now timestamptz, p_message text
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_done bigint := 0;
BEGIN
    PERFORM genjobs.release_all_uploads(p_tenants, p_jobs, p_now);
    FOR i IN 1..cardinality(p_jobs) LOOP
        UPDATE genjobs.jobs SET
            inputs = '[]', outputs = '[]', metadata = '{}',
            error = CASE WHEN error IS NOT NULL THEN jsonb_build_object(
                'code', error -> 'code', 'message', p_message, 'node_id', NULL,
                'node_class', NULL, 'retryable', error -> 'retryable') END,
            inputs_purged_at = coalesce(inputs_purged_at, p_now), purged_at = p_now,
            purge_taken_until = NULL, version = version + 1
        WHERE tenant_id = p_tenants[i] AND id = p_jobs[i]
          AND finished_at IS NOT NULL AND purged_at IS NULL;
        v_done := v_done + FOUND::integer;
        DELETE FROM genjobs.workflows WHERE tenant_id = p_tenants[i] AND job_id = p_jobs[i];
    END LOOP;
    RETURN v_done;
END $$;

-- Remove jobs that were purged before p_before, with their attempts. By the owner's rights: the role
-- that workers share may delete no job but those of which there is only a tombstone.
CREATE FUNCTION genjobs.drop_tombstones(p_before timestamptz, p_limit integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH gone AS (
        DELETE FROM genjobs.jobs WHERE ctid = ANY (ARRAY(
            SELECT j.ctid FROM genjobs.jobs j
            WHERE j.purged_at IS NOT NULL AND j.purged_at <= p_before
            ORDER BY j.purged_at LIMIT p_limit FOR UPDATE SKIP LOCKED))
        RETURNING 1
    ) SELECT count(*) FROM gone;
$$;
