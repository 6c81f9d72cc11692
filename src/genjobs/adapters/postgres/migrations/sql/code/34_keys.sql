-- Keys: found before it is known whose they are, so by the owner's rights and by nothing but an id.
CREATE FUNCTION genjobs.find_key(p_id text) RETURNS TABLE (
    tenant_id uuid, secret_sha256 bytea, live boolean, scopes text[], expires_at timestamptz,
    revoked_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.tenant_id, k.secret_sha256, k.live, k.scopes, k.expires_at, k.revoked_at
    FROM genjobs.api_keys k WHERE k.id = p_id;
$$;

-- The public key that a token names; of the tenant that it names, or none.
CREATE FUNCTION genjobs.find_issuer_key(p_tenant uuid, p_issuer text, p_kid text) RETURNS TABLE (
    algorithm text, public_key text, scopes text[], revoked_at timestamptz
)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM genjobs.use_tenant(p_tenant);
    RETURN QUERY SELECT k.algorithm, k.public_key, k.scopes, k.revoked_at
    FROM genjobs.issuer_keys k
    WHERE k.issuer = p_issuer AND k.kid = p_kid AND k.tenant_id = p_tenant;
END $$;

-- Note when keys were used; several at once, long after.
CREATE FUNCTION genjobs.touch_keys(p_tenants uuid[], p_ids text[], p_at timestamptz[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    FOR i IN 1..cardinality(p_ids) LOOP
        PERFORM genjobs.use_tenant(p_tenants[i]);
        UPDATE genjobs.api_keys k SET last_used_at = greatest(k.last_used_at, p_at[i])
        WHERE k.id = p_ids[i] AND k.tenant_id = p_tenants[i];
    END LOOP;
END $$;
