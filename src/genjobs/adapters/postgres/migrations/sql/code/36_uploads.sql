-- Uploads, the tenant's side. Locks in the order load of the tenant, upload, turn of an ingest, job:
-- whoever changes an upload's state, or which jobs refer to it, has locked its tenant's load before,
-- so a submit and the purge of an upload come one after the other.

-- Judge one more upload by one load; both loads are judged before either is written.
CREATE FUNCTION genjobs.refuse_upload(
    p_whose text, p_limits jsonb, p_now timestamptz, p_uploads integer, p_day date,
    p_bytes_today bigint, p_bytes bigint
) RETURNS genjobs.refusal
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_today date := (p_now AT TIME ZONE 'UTC')::date;
BEGIN
    IF p_bytes_today * (p_day >= v_today)::integer + p_bytes > (p_limits ->> 'bytes_per_day')::bigint
    THEN
        RETURN row('quota_exceeded', p_whose, 'bytes_per_day',
            extract(epoch FROM (v_today + 1)::timestamp - p_now AT TIME ZONE 'UTC'))::genjobs.refusal;
    END IF;
    IF p_uploads >= (p_limits ->> 'max_uploads')::integer THEN
        RETURN row('uploads_full', p_whose, 'max_uploads', NULL)::genjobs.refusal;
    END IF;
    RETURN NULL;
END $$;

-- Note an upload that is about to be made, within the limits of its tenant and user. Its bytes count
-- now: jobs that use it do not count them again.
CREATE FUNCTION genjobs.create_upload(
    p_tenant uuid, p_user text, p_id uuid, p_key text, p_filename text, p_content_type text,
    p_bytes bigint, p_now timestamptz, p_expires_at timestamptz, p_tenant_limits jsonb,
    p_user_limits jsonb
) RETURNS TABLE (outcome text, whose text, what text, retry_after double precision)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_tenant genjobs.tenant_load;
    v_user genjobs.user_load;
    v_tenant_limits jsonb;
    v_user_limits jsonb;
    v_refusal genjobs.refusal;
BEGIN
    PERFORM genjobs.use_tenant(p_tenant);
    SELECT * INTO v_tenant FROM genjobs.tenant_load
    WHERE tenant_id = p_tenant FOR NO KEY UPDATE;
    outcome := genjobs.turned_away(v_tenant, p_user);
    IF outcome IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT p_tenant_limits || t.limits INTO v_tenant_limits
    FROM genjobs.tenants t WHERE t.id = p_tenant;
    SELECT * INTO v_user FROM genjobs.user_load u
    WHERE u.tenant_id = p_tenant AND u.user_id = p_user;
    v_user_limits := p_user_limits || coalesce((
        SELECT p.limits FROM genjobs.plans p
        WHERE p.tenant_id = p_tenant AND p.name = v_user.plan), '{}');
    v_refusal := genjobs.refuse_upload(
        'tenant', v_tenant_limits, p_now, v_tenant.uploads, v_tenant.day, v_tenant.bytes_today,
        p_bytes);
    IF v_refusal.outcome IS NULL THEN
        v_refusal := genjobs.refuse_upload(
            'user', v_user_limits, p_now, coalesce(v_user.uploads, 0),
            coalesce(v_user.day, '-infinity'), coalesce(v_user.bytes_today, 0), p_bytes);
    END IF;
    IF v_refusal.outcome IS NOT NULL THEN
        SELECT (v_refusal).* INTO outcome, whose, what, retry_after;
        RETURN NEXT;
        RETURN;
    END IF;
    IF v_user.user_id IS NULL THEN
        INSERT INTO genjobs.user_load (tenant_id, user_id, weight, max_in_flight, served)
        VALUES (p_tenant, p_user, (v_user_limits ->> 'weight')::float8,
            (v_user_limits ->> 'max_in_flight')::integer, genjobs.first_turn());
    END IF;
    PERFORM genjobs.move_uploads(p_tenant, p_user, 1);
    PERFORM genjobs.count_bytes(
        p_tenant, p_user, p_now, jsonb_build_array(jsonb_build_object('bytes', p_bytes)));
    INSERT INTO genjobs.uploads (
        tenant_id, id, user_id, key, filename, content_type, bytes, created_at, expires_at
    ) VALUES (
        p_tenant, p_id, p_user, p_key, p_filename, p_content_type, p_bytes, p_now, p_expires_at
    );
    outcome := 'created';
    RETURN NEXT;
END $$;

-- A user's uploads of these ids that a job may use; a read.
CREATE FUNCTION genjobs.find_uploads(
    p_tenant uuid, p_user text, p_ids uuid[], p_now timestamptz
) RETURNS SETOF genjobs.uploads
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('genjobs.tenant', p_tenant::text, true);
    RETURN QUERY SELECT * FROM genjobs.uploads u
    WHERE u.tenant_id = p_tenant AND u.id = ANY (p_ids) AND u.user_id = p_user
      AND (u.state = 'used' OR u.state = 'unused' AND u.expires_at > p_now);
END $$;

-- Lock those of these uploads that a job may use, the tenant's load locked before; return how many.
-- From here on none of them is purged before the transaction ends.
CREATE FUNCTION genjobs.lock_uploads(
    p_tenant uuid, p_user text, p_ids uuid[], p_now timestamptz
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_id uuid;
    v_found bigint := 0;
BEGIN
    -- One by one: before Postgres 17 several at once in order would be a walk of all there are.
    FOR v_id IN SELECT i.id FROM unnest(p_ids) AS i (id) ORDER BY i.id LOOP
        PERFORM 1 FROM genjobs.uploads u
        WHERE u.tenant_id = p_tenant AND u.id = v_id AND u.user_id = p_user
          AND (u.state = 'used' OR u.state = 'unused' AND u.expires_at > p_now)
        FOR NO KEY UPDATE;
        v_found := v_found + FOUND::integer;
    END LOOP;
    RETURN v_found;
END $$;

-- When the purge looks at an upload again that jobs refer to. It is due at once when the last job's
-- data are removed in the usual way, so this is for what was not.
CREATE FUNCTION genjobs.next_look(p_now timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_now + interval '30 days';
$$;

-- Let a job refer to uploads that are locked.
CREATE FUNCTION genjobs.use_uploads(
    p_tenant uuid, p_user text, p_job uuid, p_ids uuid[], p_now timestamptz
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_first integer;
BEGIN
    UPDATE genjobs.uploads u SET state = 'used', expires_at = genjobs.next_look(p_now)
    WHERE u.tenant_id = p_tenant AND u.id = ANY (p_ids) AND u.state = 'unused';
    GET DIAGNOSTICS v_first = ROW_COUNT;
    IF v_first > 0 THEN
        PERFORM genjobs.move_uploads(p_tenant, p_user, -v_first);
    END IF;
    INSERT INTO genjobs.upload_uses (tenant_id, job_id, upload_id)
    SELECT p_tenant, p_job, i.id FROM unnest(p_ids) AS i (id);
END $$;
