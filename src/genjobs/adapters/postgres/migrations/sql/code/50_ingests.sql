-- Ingest: fetching a job's media before it is eligible. Locks in the order load, turn, ingest, job.
-- A turn's row stands for as long as its user has a row in ingests.

CREATE FUNCTION genjobs.lock_turn(p_tenant uuid, p_job uuid) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT FROM genjobs.ingest_turns t
    WHERE (t.tenant_id, t.user_id) = (
        SELECT g.tenant_id, g.user_id FROM genjobs.ingests g
        WHERE g.tenant_id = p_tenant AND g.job_id = p_job
    )
    FOR UPDATE;
$$;

-- Take a job out of the ingest, its turn locked before.
CREATE FUNCTION genjobs.drop_ingest(p_tenant uuid, p_user text, p_job uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM genjobs.ingests WHERE tenant_id = p_tenant AND job_id = p_job;
    -- Two looks, since each part of a user's ingests has an index; one would walk the tenant's.
    DELETE FROM genjobs.ingest_turns t
    WHERE t.tenant_id = p_tenant AND t.user_id = p_user AND NOT EXISTS (
        SELECT 1 FROM genjobs.ingests g
        WHERE g.tenant_id = p_tenant AND g.user_id = p_user AND g.execution_id IS NULL
    ) AND NOT EXISTS (
        SELECT 1 FROM genjobs.ingests g
        WHERE g.tenant_id = p_tenant AND g.user_id = p_user AND g.execution_id IS NOT NULL
    );
END $$;

-- Claim as many jobs as executions are offered: the users take turns, none has more than its
-- share at once. Claimers take turns too, so that the shares are exact.
CREATE FUNCTION genjobs.claim_ingests(
    p_now timestamptz, p_executions uuid[], p_lease interval, p_per_tenant integer,
    p_per_user integer
) RETURNS TABLE (
    tenant_id uuid, user_id text, job_id uuid, claim integer, execution_id uuid, sources jsonb,
    deadline timestamptz
)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_execution uuid;
    v_next record;
BEGIN
    -- Whoever has nothing to do waits for nobody.
    PERFORM 1 FROM genjobs.ingest_turns LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(x'696e67657374'::bigint);  -- "ingest"
    FOREACH v_execution IN ARRAY p_executions LOOP
        SELECT t.tenant_id, t.user_id, due.job_id INTO v_next
        FROM genjobs.ingest_turns t
        CROSS JOIN LATERAL (
            SELECT g.job_id FROM genjobs.ingests g
            WHERE g.tenant_id = t.tenant_id AND g.user_id = t.user_id
              AND g.execution_id IS NULL AND g.not_before <= p_now AND g.deadline > p_now
            ORDER BY g.not_before, g.job_id LIMIT 1
        ) due
        WHERE p_per_user > (
            SELECT count(*) FROM genjobs.ingests g
            WHERE g.tenant_id = t.tenant_id AND g.user_id = t.user_id
              AND g.execution_id IS NOT NULL)
          AND p_per_tenant > (
            SELECT count(*) FROM genjobs.ingests g
            WHERE g.tenant_id = t.tenant_id AND g.execution_id IS NOT NULL)
        ORDER BY t.served LIMIT 1
        FOR UPDATE OF t SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        UPDATE genjobs.ingest_turns t SET served = nextval('genjobs.ingest_turn')
        WHERE t.tenant_id = v_next.tenant_id AND t.user_id = v_next.user_id;
        RETURN QUERY UPDATE genjobs.ingests g SET
            claim = g.claim + 1, execution_id = v_execution, lease_expires_at = p_now + p_lease
        WHERE g.tenant_id = v_next.tenant_id AND g.job_id = v_next.job_id
          AND g.execution_id IS NULL
        RETURNING g.tenant_id, g.user_id, g.job_id, g.claim, g.execution_id, g.sources, g.deadline;
    END LOOP;
END $$;

-- Whether an execution that holds no claim has settled this job in this way: it repeats itself.
CREATE FUNCTION genjobs.has_ingested(
    p_tenant uuid, p_job uuid, p_execution uuid, p_finished boolean
) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT EXISTS (
        SELECT 1 FROM genjobs.jobs j
        WHERE j.tenant_id = p_tenant AND j.id = p_job AND j.ingested_by = p_execution
          AND j.eligible = p_finished
    ) OR NOT p_finished AND EXISTS (
        SELECT 1 FROM genjobs.ingests g
        WHERE g.tenant_id = p_tenant AND g.job_id = p_job AND g.settled_by = p_execution
    );
$$;

-- Return the claim that an execution holds, loads and turn locked: nobody else ends it meanwhile.
-- NULL fields when it holds none.
CREATE FUNCTION genjobs.lock_claim(p_tenant uuid, p_job uuid, p_execution uuid)
RETURNS genjobs.ingests
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_ingest genjobs.ingests;
BEGIN
    PERFORM genjobs.lock_load(p_tenant);
    PERFORM genjobs.lock_turn(p_tenant, p_job);
    SELECT * INTO v_ingest FROM genjobs.ingests
    WHERE tenant_id = p_tenant AND job_id = p_job AND execution_id = p_execution;
    RETURN v_ingest;
END $$;

-- All media are stored: the job is eligible, and its queue deadline runs from now.
CREATE FUNCTION genjobs.finish_ingest(
    p_tenant uuid, p_job uuid, p_execution uuid, p_now timestamptz, p_inputs jsonb
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_ingest genjobs.ingests := genjobs.lock_claim(p_tenant, p_job, p_execution);
BEGIN
    IF v_ingest.job_id IS NULL THEN
        RETURN genjobs.has_ingested(p_tenant, p_job, p_execution, true);
    END IF;
    PERFORM genjobs.drop_ingest(p_tenant, v_ingest.user_id, p_job);
    UPDATE genjobs.jobs SET
        eligible = true, eligible_at = p_now, ready = true, not_before = p_now,
        version = version + 1, queue_deadline = p_now + queue_timeout,
        inputs = inputs || p_inputs, ingested_by = p_execution
    WHERE tenant_id = p_tenant AND id = p_job AND status = 'queued' AND NOT eligible;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM genjobs.move_load(p_tenant, v_ingest.user_id, 0, 1, 0);
    -- An upload's bytes were counted when it was made.
    PERFORM genjobs.count_bytes(p_tenant, v_ingest.user_id, p_now, (
        SELECT jsonb_agg(i.value) FROM jsonb_array_elements(p_inputs) i
        WHERE NOT EXISTS (
            SELECT 1 FROM jsonb_array_elements(v_ingest.sources) s
            WHERE s.value ->> 'name' = i.value ->> 'name' AND s.value ? 'upload')));
    RETURN true;
END $$;

-- End a job for its media, loads and turn locked before.
CREATE FUNCTION genjobs.fail_ingest(
    p_ingest genjobs.ingests, p_now timestamptz, p_error jsonb
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM genjobs.drop_ingest(p_ingest.tenant_id, p_ingest.user_id, p_ingest.job_id);
    UPDATE genjobs.jobs SET
        status = 'failed', error = p_error, finished_at = p_now, version = version + 1,
        ingested_by = p_ingest.execution_id
    WHERE tenant_id = p_ingest.tenant_id AND id = p_ingest.job_id
      AND status = 'queued' AND NOT eligible;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM genjobs.move_load(p_ingest.tenant_id, p_ingest.user_id, -1, 0, 0);
    RETURN true;
END $$;

-- p_kind: refused (the job fails), retry (charged; the last one fails the job), released (not
-- charged, at once).
CREATE FUNCTION genjobs.settle_ingest(
    p_tenant uuid, p_job uuid, p_execution uuid, p_now timestamptz, p_kind text, p_error jsonb,
    p_max_tries integer, p_backoff interval
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_ingest genjobs.ingests := genjobs.lock_claim(p_tenant, p_job, p_execution);
BEGIN
    IF v_ingest.job_id IS NULL THEN
        RETURN genjobs.has_ingested(p_tenant, p_job, p_execution, false);
    END IF;
    IF p_kind = 'refused' OR p_kind = 'retry' AND v_ingest.tries + 1 >= p_max_tries THEN
        RETURN genjobs.fail_ingest(v_ingest, p_now, p_error);
    END IF;
    UPDATE genjobs.ingests SET
        execution_id = NULL, lease_expires_at = NULL, settled_by = p_execution,
        tries = tries + (p_kind = 'retry')::integer,
        not_before = CASE p_kind
            WHEN 'retry' THEN p_now + p_backoff * power(2, least(tries, 20))
            ELSE p_now
        END
    WHERE tenant_id = p_tenant AND job_id = p_job;
    RETURN true;
END $$;

-- Take claims from those whose lease has run out, as tries that failed; end jobs whose ingest
-- deadline has passed, claimed or not.
CREATE FUNCTION genjobs.rescue_ingests(
    p_now timestamptz, p_limit integer, p_error jsonb, p_max_tries integer, p_backoff interval
) RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, attempt integer, status text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_due record;
    v_ingest genjobs.ingests;
    -- While no lease counts as run out, only deadlines do.
    v_lapsed timestamptz := CASE WHEN genjobs.in_grace(p_now) THEN '-infinity' ELSE p_now END;
BEGIN
    PERFORM 1 FROM genjobs.ingests g
    WHERE g.execution_id IS NOT NULL AND g.lease_expires_at <= v_lapsed LIMIT 1;
    IF NOT FOUND THEN
        PERFORM 1 FROM genjobs.ingests g WHERE g.deadline <= p_now LIMIT 1;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    PERFORM genjobs.lock_many_loads();
    FOR v_due IN
        (SELECT g.tenant_id, g.user_id, g.job_id FROM genjobs.ingests g
         WHERE g.execution_id IS NOT NULL AND g.lease_expires_at <= v_lapsed LIMIT p_limit)
        UNION
        (SELECT g.tenant_id, g.user_id, g.job_id FROM genjobs.ingests g
         WHERE g.deadline <= p_now LIMIT p_limit)
        LIMIT p_limit
    LOOP
        PERFORM genjobs.lock_load(v_due.tenant_id);
        PERFORM 1 FROM genjobs.ingest_turns t
        WHERE t.tenant_id = v_due.tenant_id AND t.user_id = v_due.user_id
        FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;  -- the next tick looks again
        SELECT * INTO v_ingest FROM genjobs.ingests g
        WHERE g.tenant_id = v_due.tenant_id AND g.job_id = v_due.job_id
          AND (g.deadline <= p_now OR g.lease_expires_at <= v_lapsed)
        FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;  -- renewed or settled since, or at this moment
        IF v_ingest.deadline <= p_now OR v_ingest.tries + 1 >= p_max_tries THEN
            v_ingest.execution_id := NULL;  -- it was not the claim's holder that ended it
            PERFORM genjobs.fail_ingest(v_ingest, p_now, p_error);
            status := 'failed';
        ELSE
            UPDATE genjobs.ingests g SET
                execution_id = NULL, lease_expires_at = NULL, tries = g.tries + 1,
                not_before = p_now + p_backoff * power(2, least(g.tries, 20))
            WHERE g.tenant_id = v_ingest.tenant_id AND g.job_id = v_ingest.job_id;
            status := 'queued';
        END IF;
        tenant_id := v_ingest.tenant_id;
        user_id := v_ingest.user_id;
        job_id := v_ingest.job_id;
        attempt := 0;
        RETURN NEXT;
    END LOOP;
END $$;
