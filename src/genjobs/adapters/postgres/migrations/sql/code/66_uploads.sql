-- Uploads that nobody needs any more: they leave, their files are removed, and then their rows.

-- A job's data go: it refers to no upload any more, and one that no other job refers to is due at
-- once. For whoever removes jobs; the tenant's load is locked before.
CREATE FUNCTION genjobs.release_uploads(p_tenant uuid, p_job uuid, p_now timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    v_upload uuid;
BEGIN
    FOR v_upload IN
        DELETE FROM genjobs.upload_uses s WHERE s.tenant_id = p_tenant AND s.job_id = p_job
        RETURNING s.upload_id
    LOOP
        UPDATE genjobs.uploads u SET expires_at = p_now
        WHERE u.tenant_id = p_tenant AND u.id = v_upload AND u.state = 'used' AND NOT EXISTS (
            SELECT 1 FROM genjobs.upload_uses s
            WHERE s.tenant_id = p_tenant AND s.upload_id = v_upload);
    END LOOP;
END $$;

-- Let at most p_limit due uploads leave that no job refers to, and return them. One whose file was
-- not removed in time (the process died) is returned again after p_pause.
CREATE FUNCTION genjobs.take_uploads(p_now timestamptz, p_limit integer, p_pause interval)
RETURNS TABLE (tenant_id uuid, user_id text, id uuid, key text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    v_due record;
    v_upload genjobs.uploads;
BEGIN
    PERFORM 1 FROM genjobs.uploads u WHERE u.expires_at <= p_now ORDER BY u.expires_at LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM genjobs.lock_many_loads();
    FOR v_due IN
        SELECT u.tenant_id, u.id FROM genjobs.uploads u WHERE u.expires_at <= p_now
        ORDER BY u.expires_at LIMIT p_limit
    LOOP
        PERFORM genjobs.lock_load(v_due.tenant_id);
        SELECT * INTO v_upload FROM genjobs.uploads u
        WHERE u.tenant_id = v_due.tenant_id AND u.id = v_due.id AND u.expires_at <= p_now
        FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;  -- taken by another purge, or gone
        PERFORM 1 FROM genjobs.upload_uses s
        WHERE s.tenant_id = v_upload.tenant_id AND s.upload_id = v_upload.id LIMIT 1;
        IF FOUND THEN
            UPDATE genjobs.uploads u SET expires_at = genjobs.next_look(p_now)
            WHERE u.tenant_id = v_upload.tenant_id AND u.id = v_upload.id;
            CONTINUE;
        END IF;
        IF v_upload.state = 'unused' THEN
            PERFORM genjobs.move_uploads(v_upload.tenant_id, v_upload.user_id, -1);
        END IF;
        UPDATE genjobs.uploads u SET state = 'leaving', expires_at = p_now + p_pause
        WHERE u.tenant_id = v_upload.tenant_id AND u.id = v_upload.id;
        tenant_id := v_upload.tenant_id;
        user_id := v_upload.user_id;
        id := v_upload.id;
        key := v_upload.key;
        RETURN NEXT;
    END LOOP;
END $$;

-- Their files are removed: forget uploads that left.
CREATE FUNCTION genjobs.forget_uploads(p_tenants uuid[], p_ids uuid[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    DELETE FROM genjobs.uploads u
    USING unnest(p_tenants, p_ids) AS f (tenant_id, id)
    WHERE u.tenant_id = f.tenant_id AND u.id = f.id AND u.state = 'leaving';
$$;
