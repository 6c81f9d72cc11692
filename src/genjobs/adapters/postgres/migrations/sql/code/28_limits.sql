-- Limits: whether one more job is within them. A limit that is absent does not limit.
-- Small functions of the hot path pin no search path of their own, so that they can be inlined: they
-- are called by functions that do.

-- What the request is refused for; NULL fields when it is not.
CREATE TYPE genjobs.refusal AS (
    outcome text,
    -- tenant or user: whose limit it is.
    whose text,
    what text,
    retry_after double precision
);

-- Seconds by which they may be: a whole burst.
CREATE FUNCTION genjobs.tolerance(p_limits jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT (p_limits ->> 'submit_burst')::double precision
        / (p_limits ->> 'submits_per_second')::double precision;
$$;

-- Seconds by which submits are ahead of their rate (GCRA: ITU-T I.371), this one not counted. No
-- submit that was accepted leaves them further ahead than a burst: a minute beyond that the clock
-- was set back, or another process's was fast, and nobody is to wait until it has caught up.
CREATE FUNCTION genjobs.ahead(p_arrival timestamptz, p_now timestamptz, p_limits jsonb)
RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN p_arrival <= p_now THEN 0
        WHEN extract(epoch FROM p_arrival - p_now) > genjobs.tolerance(p_limits) + 60 THEN 0
        ELSE extract(epoch FROM p_arrival - p_now)
    END;
$$;

CREATE FUNCTION genjobs.arrival_after(p_arrival timestamptz, p_now timestamptz, p_limits jsonb)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN p_limits ->> 'submits_per_second' IS NULL THEN p_arrival
        ELSE CASE WHEN genjobs.ahead(p_arrival, p_now, p_limits) > 0 THEN p_arrival ELSE p_now END
            + interval '1 second' / (p_limits ->> 'submits_per_second')::double precision
    END;
$$;

-- Judge one submit by one load; both loads are judged before either is written.
CREATE FUNCTION genjobs.refuse(
    p_whose text, p_limits jsonb, p_now timestamptz, p_arrival timestamptz, p_queued integer,
    p_day date, p_jobs_today integer, p_bytes_today bigint, p_bytes bigint
) RETURNS genjobs.refusal
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_today date := (p_now AT TIME ZONE 'UTC')::date;
    v_fresh boolean := p_day >= v_today;
    v_tomorrow double precision :=
        extract(epoch FROM (v_today + 1)::timestamp - p_now AT TIME ZONE 'UTC');
    v_excess double precision;
BEGIN
    IF v_fresh AND p_jobs_today >= (p_limits ->> 'jobs_per_day')::integer THEN
        RETURN row('quota_exceeded', p_whose, 'jobs_per_day', v_tomorrow)::genjobs.refusal;
    END IF;
    IF p_bytes_today * v_fresh::integer + p_bytes > (p_limits ->> 'bytes_per_day')::bigint THEN
        RETURN row('quota_exceeded', p_whose, 'bytes_per_day', v_tomorrow)::genjobs.refusal;
    END IF;
    IF p_queued >= (p_limits ->> 'max_queued')::integer THEN
        RETURN row('queue_full', p_whose, 'max_queued', NULL)::genjobs.refusal;
    END IF;
    v_excess := genjobs.ahead(p_arrival, p_now, p_limits)
        + 1 / (p_limits ->> 'submits_per_second')::double precision - genjobs.tolerance(p_limits);
    IF v_excess > 0.000001 THEN  -- times are kept in whole microseconds
        RETURN row('rate_limited', p_whose, 'submits_per_second', v_excess)::genjobs.refusal;
    END IF;
    RETURN NULL;
END $$;
