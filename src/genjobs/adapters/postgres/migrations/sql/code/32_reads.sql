-- The tenant's reads. They write nothing; naming the tenant to row security is of the transaction.

CREATE FUNCTION genjobs.get_job(p_tenant uuid, p_job uuid, p_user text)
RETURNS SETOF genjobs.job_views
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    RETURN QUERY SELECT * FROM genjobs.job_views v
    WHERE v.tenant_id = p_tenant AND v.id = p_job AND (p_user IS NULL OR v.user_id = p_user);
END $$;

-- The job that was submitted under a key, and the fingerprint of its request. Of a user who is being
-- erased nothing was: the submit that follows is told so.
CREATE FUNCTION genjobs.find_submitted(
    p_tenant uuid, p_user text, p_key text, p_since timestamptz
) RETURNS TABLE (job_id uuid, fingerprint bytea)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    RETURN QUERY SELECT i.job_id, i.fingerprint FROM genjobs.idempotency i
    WHERE i.tenant_id = p_tenant AND i.user_id = p_user AND i.key = p_key
      AND i.created_at > p_since AND NOT genjobs.being_erased(p_tenant, p_user);
END $$;

-- A page, newest first: ids from p_from until p_before. Ids begin with their millisecond, so times
-- bound the walk of the index too. Two statements, since one user's jobs have an index of their own.
CREATE FUNCTION genjobs.list_jobs(
    p_tenant uuid, p_user text, p_from uuid, p_before uuid, p_after timestamptz,
    p_until timestamptz, p_statuses text[], p_limit integer
) RETURNS SETOF genjobs.job_rows
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    IF p_user IS NULL THEN
        RETURN QUERY SELECT * FROM genjobs.job_rows j
        WHERE j.tenant_id = p_tenant
          AND j.id >= p_from AND j.id < p_before
          AND j.created_at >= p_after AND j.created_at < p_until
          AND (p_statuses IS NULL OR j.status = ANY (p_statuses))
        ORDER BY j.id DESC LIMIT p_limit;
    ELSE
        RETURN QUERY SELECT * FROM genjobs.job_rows j
        WHERE j.tenant_id = p_tenant AND j.user_id = p_user
          AND j.id >= p_from AND j.id < p_before
          AND j.created_at >= p_after AND j.created_at < p_until
          AND (p_statuses IS NULL OR j.status = ANY (p_statuses))
        ORDER BY j.id DESC LIMIT p_limit;
    END IF;
END $$;

-- Limits and what is used of them: of the tenant, and of one user when one is named.
CREATE FUNCTION genjobs.usage(
    p_tenant uuid, p_user text, p_now timestamptz, p_tenant_limits jsonb, p_user_limits jsonb
) RETURNS TABLE (
    whose text, plan text, limits jsonb, queued integer, in_flight integer, jobs_today integer,
    bytes_today bigint, uploads integer
)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_today date := (p_now AT TIME ZONE 'UTC')::date;
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    RETURN QUERY SELECT 'tenant', NULL::text, p_tenant_limits || t.limits, l.queued, l.in_flight,
        CASE WHEN l.day < v_today THEN 0 ELSE l.jobs_today END,
        CASE WHEN l.day < v_today THEN 0 ELSE l.bytes_today END, l.uploads
    FROM genjobs.tenants t JOIN genjobs.tenant_load l ON l.tenant_id = t.id
    WHERE t.id = p_tenant;
    IF p_user IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT 'user', l.plan, p_user_limits || coalesce(p.limits, '{}'),
        coalesce(l.queued, 0), coalesce(l.in_flight, 0),
        CASE WHEN l.day >= v_today THEN l.jobs_today ELSE 0 END,
        CASE WHEN l.day >= v_today THEN l.bytes_today ELSE 0 END, coalesce(l.uploads, 0)
    FROM (VALUES (p_tenant, p_user)) AS asked (tenant_id, user_id)
    LEFT JOIN genjobs.user_load l USING (tenant_id, user_id)
    LEFT JOIN genjobs.plans p ON p.tenant_id = l.tenant_id AND p.name = l.plan;
END $$;

-- What a token of a user is held to: made since when, and whether it may submit.
CREATE FUNCTION genjobs.user_standing(p_tenant uuid, p_user text, p_user_limits jsonb)
RETURNS TABLE (tokens_since timestamptz, browser_writes boolean)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    RETURN QUERY SELECT
        (SELECT max(since.at) FROM (
            SELECT c.not_before AS at FROM genjobs.token_cutoffs c
            WHERE c.tenant_id = p_tenant AND c.user_id = p_user
            UNION ALL
            SELECT e.requested_at FROM genjobs.erasures e
            WHERE e.tenant_id = p_tenant AND e.user_id = p_user AND e.whole_user) since),
        coalesce(((p_user_limits || coalesce((
            SELECT p.limits FROM genjobs.user_load l
            JOIN genjobs.plans p ON p.tenant_id = l.tenant_id AND p.name = l.plan
            WHERE l.tenant_id = p_tenant AND l.user_id = p_user), '{}'))
            ->> 'browser_writes')::boolean, false);
END $$;

CREATE FUNCTION genjobs.tenant_narrowing(p_tenant uuid) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    RETURN (SELECT t.narrowing FROM genjobs.tenants t WHERE t.id = p_tenant);
END $$;
