-- Files that jobs name held against those that the store has.

CREATE FUNCTION genjobs.take_walk(p_now timestamptz, p_every interval)
RETURNS TABLE (tenant_id uuid, job_id uuid)
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.supervision SET walk_due = p_now + p_every WHERE walk_due <= p_now
    RETURNING walked_tenant, walked_job;
$$;

CREATE FUNCTION genjobs.keep_walk(p_tenant uuid, p_job uuid, p_due timestamptz) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    UPDATE genjobs.supervision
    SET walked_tenant = p_tenant, walked_job = p_job, walk_due = p_due;
$$;

-- The next jobs in the order of their key, whatever they name: a page costs the same everywhere.
CREATE FUNCTION genjobs.named_files(p_tenant uuid, p_job uuid, p_limit integer)
RETURNS TABLE (tenant_id uuid, user_id text, job_id uuid, keys text[])
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT j.tenant_id, j.user_id, j.id, ARRAY(
        SELECT f.value ->> 'key' FROM jsonb_array_elements(j.inputs || j.outputs) f)
    FROM genjobs.jobs j
    WHERE (j.tenant_id, j.id) > (p_tenant, p_job)
    ORDER BY j.tenant_id, j.id LIMIT p_limit;
$$;

-- Note what is missing of the jobs that were looked at; forget what is there again. Return how many
-- files were not noted before.
CREATE FUNCTION genjobs.note_missing(
    p_tenants uuid[], p_jobs uuid[], p_missing_tenants uuid[], p_missing_jobs uuid[],
    p_keys text[], p_now timestamptz
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_new bigint;
BEGIN
    DELETE FROM genjobs.missing_files m USING unnest(p_tenants, p_jobs) AS s (tenant_id, job_id)
    WHERE m.tenant_id = s.tenant_id AND m.job_id = s.job_id AND m.key <> ALL (p_keys);
    WITH noted AS (
        INSERT INTO genjobs.missing_files (tenant_id, job_id, key, found_at)
        SELECT f.tenant_id, f.job_id, f.key, p_now
        FROM unnest(p_missing_tenants, p_missing_jobs, p_keys) AS f (tenant_id, job_id, key)
        JOIN genjobs.jobs j ON j.tenant_id = f.tenant_id AND j.id = f.job_id
        WHERE (j.purge_taken_until IS NULL OR j.purge_taken_until <= p_now)
          AND (j.inputs @> jsonb_build_array(jsonb_build_object('key', f.key))
            OR j.outputs @> jsonb_build_array(jsonb_build_object('key', f.key)))
        ON CONFLICT DO NOTHING
        RETURNING 1
    ) SELECT count(*) INTO v_new FROM noted;
    RETURN v_new;
END $$;

-- Let jobs that have ended name lost files no more; return how many files that were.
CREATE FUNCTION genjobs.give_up_missing(
    p_tenants uuid[], p_jobs uuid[], p_keys text[], p_now timestamptz
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_lost bigint := 0;
    v_ended boolean;
BEGIN
    FOR i IN 1..cardinality(p_keys) LOOP
        UPDATE genjobs.jobs j SET
            inputs = coalesce((
                SELECT jsonb_agg(f.value ORDER BY f.place)
                FROM jsonb_array_elements(j.inputs) WITH ORDINALITY AS f (value, place)
                WHERE f.value ->> 'key' <> p_keys[i]), '[]'),
            outputs = coalesce((
                SELECT jsonb_agg(f.value ORDER BY f.place)
                FROM jsonb_array_elements(j.outputs) WITH ORDINALITY AS f (value, place)
                WHERE f.value ->> 'key' <> p_keys[i]), '[]'),
            version = version + 1
        WHERE j.tenant_id = p_tenants[i] AND j.id = p_jobs[i] AND j.finished_at IS NOT NULL
          AND (j.inputs @> jsonb_build_array(jsonb_build_object('key', p_keys[i]))
            OR j.outputs @> jsonb_build_array(jsonb_build_object('key', p_keys[i])));
        v_lost := v_lost + FOUND::integer;
        SELECT j.finished_at IS NOT NULL INTO v_ended FROM genjobs.jobs j
        WHERE j.tenant_id = p_tenants[i] AND j.id = p_jobs[i];
        IF v_ended THEN
            DELETE FROM genjobs.missing_files
            WHERE tenant_id = p_tenants[i] AND job_id = p_jobs[i] AND key = p_keys[i];
        ELSE
            UPDATE genjobs.missing_files SET found_at = p_now
            WHERE tenant_id = p_tenants[i] AND job_id = p_jobs[i] AND key = p_keys[i];
        END IF;
    END LOOP;
    RETURN v_lost;
END $$;

CREATE FUNCTION genjobs.found_again(p_tenants uuid[], p_jobs uuid[], p_keys text[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    DELETE FROM genjobs.missing_files m
    USING unnest(p_tenants, p_jobs, p_keys) AS f (tenant_id, job_id, key)
    WHERE m.tenant_id = f.tenant_id AND m.job_id = f.job_id AND m.key = f.key;
$$;
