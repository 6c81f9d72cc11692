-- Erasures, the tenant's side: begin one, read its receipt.

-- Whether all that is a user's is being erased just now.
CREATE FUNCTION genjobs.being_erased(p_tenant uuid, p_user text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM genjobs.erasures e
        WHERE e.tenant_id = p_tenant AND e.user_id = p_user AND e.whole_user);
$$;

-- Why nobody may make anything for this user at all, whatever the limits say; NULL when they may.
-- p_load: the tenant's, locked before, NULL fields when there is none.
CREATE FUNCTION genjobs.turned_away(p_load genjobs.tenant_load, p_user text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p_load.tenant_id IS NULL THEN 'no_tenant'
        WHEN genjobs.being_erased(p_load.tenant_id, p_user) THEN 'being_erased'
    END;
$$;

-- Begin to erase a user or, when one is named, a job of theirs; return the erasure, the one that runs
-- already if there is one, and nothing when there is no such tenant or job.
-- Whoever makes a job or an upload looks at erasures with the tenant's load locked, so none is made
-- once this has returned.
CREATE FUNCTION genjobs.begin_erasure(
    p_tenant uuid, p_user text, p_job uuid, p_id uuid, p_now timestamptz
) RETURNS SETOF genjobs.erasures
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_user text := p_user;
BEGIN
    PERFORM genjobs.use_tenant(p_tenant);
    PERFORM 1 FROM genjobs.tenant_load WHERE tenant_id = p_tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_job IS NOT NULL THEN
        SELECT j.user_id INTO v_user FROM genjobs.jobs j
        WHERE j.tenant_id = p_tenant AND j.id = p_job AND (p_user IS NULL OR j.user_id = p_user);
        IF NOT FOUND THEN
            RETURN;
        END IF;
        INSERT INTO genjobs.erasures (
            tenant_id, id, whole_user, user_id, job_id, requested_at, due_at
        ) VALUES (p_tenant, p_id, false, v_user, p_job, p_now, p_now)
        ON CONFLICT (tenant_id, job_id) DO NOTHING;
        RETURN QUERY SELECT * FROM genjobs.erasures e
        WHERE e.tenant_id = p_tenant AND e.job_id = p_job;
        RETURN;
    END IF;
    INSERT INTO genjobs.erasures (tenant_id, id, whole_user, user_id, requested_at, due_at)
    VALUES (p_tenant, p_id, true, v_user, p_now, p_now)
    ON CONFLICT (tenant_id, user_id) WHERE whole_user DO NOTHING;
    RETURN QUERY SELECT * FROM genjobs.erasures e
    WHERE e.tenant_id = p_tenant AND e.user_id = v_user AND e.whole_user;
END $$;

CREATE FUNCTION genjobs.get_erasure(p_tenant uuid, p_id uuid) RETURNS SETOF genjobs.erasures
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    RETURN QUERY SELECT * FROM genjobs.erasures e WHERE e.tenant_id = p_tenant AND e.id = p_id;
END $$;
