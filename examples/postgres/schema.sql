-- A store of Tweets that stays compliant, for PostgreSQL 13 or later.
--
-- Content and compliance state are apart: an event may come long before the content it is about, or long after.
-- Hiding is a state that the views look up, since one event may hide millions of Tweets. Deleting is done at once.
-- The rules are those of docs/consuming.md; their names here are those of docs/vectors.

BEGIN;

-- Content: what your collectors store. Yours has more columns, and other names.

CREATE TABLE public.tweet (
    tweet_id            text PRIMARY KEY CHECK (tweet_id ~ '^[0-9]{1,19}$'),
    author_id           text NOT NULL,
    body                text NOT NULL,
    location            text,
    version_ids         text[] NOT NULL DEFAULT '{}',  -- edit_history_tweet_ids
    retweeted_id        text,
    retweeted_author_id text,
    quoted_id           text,
    quoted_author_id    text,
    quoted_body         text,
    fetched_at          timestamptz NOT NULL,  -- when X answered, not when the row is stored
    CHECK (array_to_string(version_ids, ',', 'null') ~ '^([0-9]{1,19}(,[0-9]{1,19})*)?$'),
    CHECK ((retweeted_id IS NULL) = (retweeted_author_id IS NULL)),
    CHECK ((quoted_id IS NULL) = (quoted_author_id IS NULL))
);
CREATE INDEX ON public.tweet (author_id);
CREATE INDEX ON public.tweet (author_id) WHERE location IS NOT NULL;
CREATE INDEX ON public.tweet (retweeted_id) WHERE retweeted_id IS NOT NULL;
CREATE INDEX ON public.tweet (quoted_id) WHERE quoted_id IS NOT NULL;

CREATE TABLE public.x_user (
    user_id    text PRIMARY KEY,
    profile    jsonb NOT NULL DEFAULT '{}',  -- by X's names of the fields: profile.name, profile.location
    fetched_at timestamptz NOT NULL
);

CREATE TABLE public.tweet_like (
    user_id    text,
    tweet_id   text,
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, tweet_id)
);

-- Compliance state: what events have said. An entity is `tweet:ID`, `user:ID` or, for what a Quote Tweet quotes, `quote:ID`.

CREATE SCHEMA compliance;

CREATE TABLE compliance.receipt (  -- once; and the proof of when an event was applied
    event_id   text PRIMARY KEY,
    event_type text NOT NULL,
    event_at   timestamptz NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON compliance.receipt (applied_at);

CREATE TABLE compliance.unknown_event (  -- types that a later version of this file may know
    event_id   text PRIMARY KEY,
    event      jsonb NOT NULL,
    arrived_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE compliance.refused_event (  -- what this database could not apply: a person has to look at it
    event      text NOT NULL,
    reason     text NOT NULL,
    arrived_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE compliance.deleted (
    entity   text PRIMARY KEY,
    event_at timestamptz NOT NULL
);

CREATE TABLE compliance.switch (  -- pairs that toggle: the newest event of each stream partition
    kind     text,
    entity   text,
    scope    int,  -- within which sequences are comparable: the stream partition; 0 for dead letters and batch results
    event_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    is_on    boolean NOT NULL,
    PRIMARY KEY (entity, kind, scope)
);

CREATE TABLE compliance.withheld (
    entity  text,
    country text,
    PRIMARY KEY (entity, country)
);

CREATE TABLE compliance.version (
    tweet_id text PRIMARY KEY,
    chain    text NOT NULL  -- the same for all versions of a Tweet
);
CREATE INDEX ON compliance.version (chain);

CREATE TABLE compliance.scrubbed (
    user_id text PRIMARY KEY,
    up_to   numeric NOT NULL,  -- may exceed bigint
    is_done boolean NOT NULL DEFAULT false
);
CREATE INDEX ON compliance.scrubbed (user_id) WHERE NOT is_done;

CREATE TABLE compliance.profile (
    user_id       text,
    profile_field text,
    new_value     text NOT NULL,
    event_at      timestamptz NOT NULL,
    sequence      bigint NOT NULL,
    PRIMARY KEY (user_id, profile_field)
);

CREATE TABLE compliance.unliked (
    user_id  text,
    tweet_id text,
    event_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, tweet_id)
);

CREATE TABLE compliance.result (  -- the newest word of batch runs on an entity, true of what was fetched by then
    entity     text,
    action     text,  -- hide, refetch or scrub
    kind       text,  -- the state of the user that hides
    checked_at timestamptz NOT NULL,
    PRIMARY KEY (entity, action)
);

CREATE TABLE compliance.switch_event (event_type text PRIMARY KEY, kind text NOT NULL, is_on boolean NOT NULL);
INSERT INTO compliance.switch_event VALUES
    ('tweet.drop', 'drop', true), ('tweet.undrop', 'drop', false),
    ('user.delete', 'delete', true), ('user.undelete', 'delete', false),
    ('user.protect', 'protect', true), ('user.unprotect', 'protect', false),
    ('user.suspend', 'suspend', true), ('user.unsuspend', 'suspend', false);

-- Questions about the state.

-- All versions of a Tweet that are known, as entities (edit.one-tweet).
CREATE FUNCTION compliance.versions(of_tweet text) RETURNS text[] STABLE LANGUAGE sql AS $$
    SELECT array_agg('tweet:' || id) FROM (
        SELECT of_tweet AS id
        UNION
        SELECT other.tweet_id FROM compliance.version own JOIN compliance.version other USING (chain)
        WHERE own.tweet_id = of_tweet
    ) AS versions
$$;

CREATE FUNCTION compliance.is_deleted(entities text[]) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM compliance.deleted WHERE entity = ANY (entities))
$$;

-- Whether the latest event of a kind hides; where several are equally late, whether any of them does (order.*).
CREATE FUNCTION compliance.is_on(of_kind text, entities text[]) RETURNS boolean STABLE LANGUAGE sql AS $$
    WITH newest AS (
        SELECT DISTINCT ON (scope) event_at, is_on FROM compliance.switch
        WHERE kind = of_kind AND entity = ANY (entities)
        ORDER BY scope, event_at DESC, sequence DESC, is_on DESC
    )
    SELECT coalesce(bool_or(is_on), false) FROM newest WHERE event_at = (SELECT max(event_at) FROM newest)
$$;

CREATE FUNCTION compliance.countries(entities text[]) RETURNS text[] STABLE LANGUAGE sql AS $$
    SELECT coalesce(array_agg(DISTINCT country ORDER BY country), '{}')
    FROM compliance.withheld WHERE entity = ANY (entities)
$$;

-- Whether to hide what these entities are: deleted, dropped, unviewable or withheld everywhere.
CREATE FUNCTION compliance.hides(entities text[]) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT compliance.is_deleted(entities) OR compliance.is_on('drop', entities)
        OR compliance.is_on('unviewable', entities) OR compliance.countries(entities) && '{XX,XY}'
$$;

-- Whether a batch run says so of what was fetched at that time, and no later event about these entities, or about that
-- state of the author, has made it out of date.
CREATE FUNCTION compliance.has_result(entities text[], author_id text, actions text[], fetched_at timestamptz)
RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (
        SELECT FROM compliance.result
        WHERE entity = ANY (entities) AND action = ANY (actions) AND has_result.fetched_at <= checked_at
            AND NOT EXISTS (
                SELECT FROM compliance.switch
                WHERE event_at >= checked_at AND (
                    (switch.entity = ANY (entities) AND switch.entity LIKE 'tweet:%')
                    OR (switch.entity = 'user:' || has_result.author_id AND switch.kind = result.kind))
            )
    )
$$;

CREATE FUNCTION compliance.hides_user(of_user text) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT compliance.is_on('delete', ARRAY['user:' || of_user]) OR compliance.is_on('protect', ARRAY['user:' || of_user])
        OR compliance.is_on('suspend', ARRAY['user:' || of_user])
        OR compliance.countries(ARRAY['user:' || of_user]) && '{XX,XY}'
        OR compliance.has_result(ARRAY['user:' || of_user], of_user, '{hide}', '-infinity')
$$;

CREATE FUNCTION compliance.is_newest(of_tweet text) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT NOT EXISTS (
        SELECT FROM compliance.version own JOIN compliance.version other USING (chain)
        WHERE own.tweet_id = of_tweet AND other.tweet_id::numeric > of_tweet::numeric
    )
$$;

-- What a Tweet may quote, as entities: an event names one version of the Quote Tweet, and its Retweets quote the same.
CREATE FUNCTION compliance.quotes(of_tweet text, of_retweeted text) RETURNS text[] STABLE LANGUAGE sql AS $$
    SELECT array_agg('quote:' || substr(entity, 7))
    FROM unnest(compliance.versions(of_tweet) || compliance.versions(of_retweeted)) AS entity
$$;

-- What may be shown. In the countries of `withheld_in` and `quoted_withheld_in` it may not.

CREATE VIEW public.shown_tweet AS
SELECT tweet.tweet_id, tweet.author_id, tweet.body, tweet.retweeted_id, tweet.quoted_id, tweet.fetched_at,
    CASE WHEN NOT coalesce(tweet.tweet_id::numeric <= scrubbed.up_to, false) THEN tweet.location END AS location,
    CASE WHEN NOT quoted.is_hidden THEN tweet.quoted_body END AS quoted_body,
    compliance.countries(own.entities) AS withheld_in,
    compliance.countries(quoted.entities) AS quoted_withheld_in
FROM public.tweet
LEFT JOIN compliance.scrubbed ON scrubbed.user_id = tweet.author_id
CROSS JOIN LATERAL (
    SELECT compliance.versions(tweet.tweet_id) || ('user:' || tweet.author_id)
        || CASE WHEN tweet.retweeted_id IS NOT NULL THEN compliance.versions(tweet.retweeted_id) ELSE '{}' END
        || CASE WHEN tweet.retweeted_author_id IS NOT NULL THEN ARRAY['user:' || tweet.retweeted_author_id] ELSE '{}' END
        AS entities
) AS own
CROSS JOIN LATERAL (
    SELECT entities, tweet.quoted_id IS NULL
        OR compliance.hides(compliance.versions(tweet.quoted_id))
        OR compliance.hides(compliance.quotes(tweet.tweet_id, tweet.retweeted_id))
        OR compliance.has_result(
            compliance.versions(tweet.quoted_id), tweet.quoted_author_id, '{hide}', tweet.fetched_at)
        OR coalesce(compliance.hides_user(tweet.quoted_author_id), false) AS is_hidden
    FROM (
        SELECT compliance.versions(tweet.quoted_id) || compliance.quotes(tweet.tweet_id, tweet.retweeted_id)
            || ('user:' || tweet.quoted_author_id)
    ) AS all_of (entities)
) AS quoted
WHERE NOT compliance.hides(compliance.versions(tweet.tweet_id))
    AND NOT compliance.hides_user(tweet.author_id)
    AND NOT coalesce(compliance.hides(compliance.versions(tweet.retweeted_id)), false)
    AND NOT coalesce(compliance.hides_user(tweet.retweeted_author_id), false)
    AND compliance.is_newest(tweet.tweet_id)
    AND NOT compliance.has_result(compliance.versions(tweet.tweet_id), tweet.author_id, '{hide,refetch}', tweet.fetched_at)
    AND NOT compliance.has_result(
        compliance.versions(tweet.retweeted_id), tweet.retweeted_author_id, '{hide}', tweet.fetched_at);

CREATE VIEW public.shown_user AS
SELECT user_id, profile, fetched_at, compliance.countries(ARRAY['user:' || user_id]) AS withheld_in
FROM public.x_user WHERE NOT compliance.hides_user(user_id);

-- What to fetch from X: newest versions that are not stored, of Tweets that are, and Tweets that are stale.
CREATE VIEW public.tweet_to_fetch AS
SELECT tweet_id FROM public.tweet
WHERE compliance.has_result(compliance.versions(tweet_id), author_id, '{refetch}', fetched_at)
UNION
SELECT newest.tweet_id
FROM public.tweet
JOIN compliance.version own USING (tweet_id)
CROSS JOIN LATERAL (
    SELECT tweet_id FROM compliance.version WHERE chain = own.chain ORDER BY tweet_id::numeric DESC LIMIT 1
) AS newest
WHERE NOT EXISTS (SELECT FROM public.tweet AS stored WHERE stored.tweet_id = newest.tweet_id)
    AND NOT compliance.is_deleted(compliance.versions(tweet.tweet_id));

-- Deleting. Both sides come here: events about content that is stored, and content about which there were events.

-- Delete what the state says of these Tweets, and of what retweets or quotes them.
CREATE FUNCTION compliance.clean(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.tweet
    WHERE (tweet_id = ANY (ids) OR retweeted_id = ANY (ids))
        AND (compliance.is_deleted(compliance.versions(tweet_id)) OR compliance.is_deleted(compliance.versions(retweeted_id)));
    UPDATE public.tweet SET quoted_body = NULL
    WHERE (tweet_id = ANY (ids) OR retweeted_id = ANY (ids) OR quoted_id = ANY (ids)) AND quoted_body IS NOT NULL
        AND compliance.is_deleted(compliance.versions(quoted_id) || compliance.quotes(tweet_id, retweeted_id));
    UPDATE public.tweet SET location = NULL
    WHERE tweet_id = ANY (ids) AND location IS NOT NULL AND (
        tweet_id::numeric <= (SELECT up_to FROM compliance.scrubbed WHERE user_id = author_id)
        OR compliance.has_result(ARRAY['tweet:' || tweet_id], NULL, '{scrub}', fetched_at));
END
$$;

CREATE FUNCTION compliance.clean_versions(of_tweet text) RETURNS void LANGUAGE sql AS $$
    SELECT compliance.clean(ARRAY(SELECT substr(entity, 7) FROM unnest(compliance.versions(of_tweet)) AS entity))
$$;

-- Delete some locations that a user has removed; return whether there is more to do. A user may have millions of Tweets.
CREATE FUNCTION compliance.scrub_some(at_most int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    due  compliance.scrubbed;
    done bigint;
BEGIN
    SELECT * INTO due FROM compliance.scrubbed WHERE NOT is_done LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE public.tweet SET location = NULL WHERE tweet_id IN (
        SELECT tweet_id FROM public.tweet
        WHERE author_id = due.user_id AND location IS NOT NULL AND tweet_id::numeric <= due.up_to LIMIT at_most
    );
    GET DIAGNOSTICS done = ROW_COUNT;
    UPDATE compliance.scrubbed SET is_done = done < at_most WHERE user_id = due.user_id;
    RETURN true;
END
$$;

-- Delete what the state says of content that came in by other ways: a backup, a replica, triggers that were off.
CREATE FUNCTION compliance.sweep() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM compliance.clean(ARRAY(
        WITH named AS (
            SELECT substr(entity, 7) AS id FROM compliance.deleted
            UNION
            SELECT substr(entity, 7) FROM compliance.result WHERE action = 'scrub'
        ), gone AS (
            SELECT id FROM named
            UNION
            SELECT other.tweet_id FROM named
            JOIN compliance.version own ON own.tweet_id = id JOIN compliance.version other USING (chain)
        )
        SELECT id FROM gone WHERE EXISTS (SELECT FROM public.tweet WHERE tweet_id = id)
            OR EXISTS (SELECT FROM public.tweet WHERE retweeted_id = id)
            OR EXISTS (SELECT FROM public.tweet WHERE quoted_id = id)
    ));
    UPDATE compliance.scrubbed SET is_done = false WHERE EXISTS (
        SELECT FROM public.tweet WHERE author_id = user_id AND location IS NOT NULL AND tweet_id::numeric <= up_to
    );
    DELETE FROM public.tweet_like USING compliance.unliked
    WHERE tweet_like.user_id = unliked.user_id AND tweet_like.tweet_id = unliked.tweet_id AND fetched_at <= event_at;
    PERFORM compliance.clean_profile(user_id) FROM public.x_user JOIN compliance.profile USING (user_id);
END
$$;

-- Forget what is older than any event that may still be read, and any content that may still come in.
CREATE FUNCTION compliance.forget(older_than interval) RETURNS void LANGUAGE sql AS $$
    DELETE FROM compliance.receipt WHERE applied_at < now() - older_than;
    DELETE FROM compliance.profile WHERE event_at < now() - older_than;
    DELETE FROM compliance.unliked WHERE event_at < now() - older_than;
$$;

CREATE FUNCTION compliance.clean_profile(of_user text) RETURNS void LANGUAGE sql AS $$
    UPDATE public.x_user SET profile = profile || changed.fields
    FROM (
        SELECT jsonb_object_agg(profile_field, new_value) AS fields
        FROM compliance.profile JOIN public.x_user USING (user_id)
        WHERE user_id = of_user AND event_at >= fetched_at
            AND profile ? profile_field AND profile ->> profile_field IS DISTINCT FROM new_value
    ) AS changed
    WHERE user_id = of_user AND changed.fields IS NOT NULL
$$;

-- Content that comes in waits while events are applied, and the other way round, so that neither misses the other.

CREATE FUNCTION compliance.lock_for_events() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('compliance'))
$$;

CREATE FUNCTION compliance.before_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'store content at isolation level read committed: others may not see the latest deletions';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtext('compliance'));
    RETURN NULL;
END
$$;
CREATE TRIGGER before_content BEFORE INSERT OR UPDATE ON public.tweet EXECUTE FUNCTION compliance.before_content();
CREATE TRIGGER before_content BEFORE INSERT OR UPDATE ON public.x_user EXECUTE FUNCTION compliance.before_content();
CREATE TRIGGER before_content BEFORE INSERT OR UPDATE ON public.tweet_like EXECUTE FUNCTION compliance.before_content();

-- Put all these ids in one chain, and with them those that they are in already.
CREATE FUNCTION compliance.join_versions(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    chains CONSTANT text[] := ARRAY(SELECT DISTINCT chain FROM compliance.version WHERE tweet_id = ANY (ids) ORDER BY chain);
    one    CONSTANT text := coalesce(chains[1], ids[1]);
BEGIN
    UPDATE compliance.version SET chain = one WHERE chain = ANY (chains) AND chain <> one;
    INSERT INTO compliance.version SELECT DISTINCT id, one FROM unnest(ids) AS id ORDER BY id ON CONFLICT DO NOTHING;
END
$$;

CREATE FUNCTION compliance.on_tweet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(NEW.version_ids) > 0 AND NEW.version_ids <> ARRAY[NEW.tweet_id] THEN
        PERFORM compliance.join_versions(NEW.tweet_id || NEW.version_ids);
    END IF;
    PERFORM compliance.clean_versions(NEW.tweet_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER compliance AFTER INSERT OR UPDATE ON public.tweet FOR EACH ROW EXECUTE FUNCTION compliance.on_tweet();

CREATE FUNCTION compliance.on_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM compliance.clean_profile(NEW.user_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER compliance AFTER INSERT OR UPDATE ON public.x_user FOR EACH ROW EXECUTE FUNCTION compliance.on_user();

CREATE FUNCTION compliance.on_like() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.tweet_like USING compliance.unliked
    WHERE tweet_like.user_id = NEW.user_id AND tweet_like.tweet_id = NEW.tweet_id
        AND unliked.user_id = NEW.user_id AND unliked.tweet_id = NEW.tweet_id AND fetched_at <= event_at;
    RETURN NULL;
END
$$;
CREATE TRIGGER compliance AFTER INSERT OR UPDATE ON public.tweet_like FOR EACH ROW EXECUTE FUNCTION compliance.on_like();

-- Events.

-- Take in one event, the decoded record as JSON. One that was applied before changes nothing.
CREATE FUNCTION compliance.apply(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    type   CONSTANT text := event ->> 'event_type';
    at     CONSTANT timestamptz := event ->> 'event_at';
    entity CONSTANT text := CASE
        WHEN event ->> 'quote_tweet_id' IS NOT NULL THEN 'quote:' || (event ->> 'quote_tweet_id')
        WHEN event ->> 'tweet_id' IS NOT NULL THEN 'tweet:' || (event ->> 'tweet_id')
        ELSE 'user:' || (event ->> 'user_id') END;
    pair   compliance.switch_event;
BEGIN
    INSERT INTO compliance.receipt (event_id, event_type, event_at) VALUES (event ->> 'event_id', type, at)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO pair FROM compliance.switch_event WHERE event_type = type;
    IF FOUND THEN
        PERFORM compliance.turn(pair.kind, entity, event, pair.is_on);
    ELSIF type = 'tweet.delete' THEN
        INSERT INTO compliance.deleted VALUES (entity, at) ON CONFLICT DO NOTHING;
        PERFORM compliance.clean_versions(event ->> 'tweet_id');
        PERFORM compliance.clean_versions(event ->> 'quote_tweet_id');
    ELSIF type IN ('tweet.withheld', 'user.withheld') THEN
        INSERT INTO compliance.withheld
            SELECT DISTINCT entity, upper(country COLLATE "C") FROM jsonb_array_elements_text(event -> 'withheld_in_countries') AS country
            ON CONFLICT DO NOTHING;
    ELSIF type = 'tweet.edit' THEN
        PERFORM compliance.join_versions(ARRAY[event ->> 'initial_tweet_id', event ->> 'tweet_id']
            || ARRAY(SELECT jsonb_array_elements_text(event -> 'edit_tweet_ids')));
        PERFORM compliance.clean_versions(event ->> 'tweet_id');
    ELSIF type = 'user.scrub-geo' THEN
        INSERT INTO compliance.scrubbed AS known VALUES (event ->> 'user_id', (event ->> 'up_to_tweet_id')::numeric)
            ON CONFLICT (user_id) DO UPDATE SET up_to = greatest(known.up_to, EXCLUDED.up_to), is_done = false;
    ELSIF type = 'user.profile-modification' THEN
        INSERT INTO compliance.profile AS known
            VALUES (event ->> 'user_id', event ->> 'profile_field', event ->> 'new_value', at, compliance.sequence(event))
            ON CONFLICT (user_id, profile_field) DO UPDATE
            SET new_value = EXCLUDED.new_value, event_at = EXCLUDED.event_at, sequence = EXCLUDED.sequence
            WHERE (known.event_at, known.sequence, known.new_value COLLATE "C")
                < (EXCLUDED.event_at, EXCLUDED.sequence, EXCLUDED.new_value COLLATE "C");
        PERFORM compliance.clean_profile(event ->> 'user_id');
    ELSIF type = 'like.delete' THEN
        INSERT INTO compliance.unliked AS known VALUES (event ->> 'user_id', event ->> 'tweet_id', at)
            ON CONFLICT (user_id, tweet_id) DO UPDATE SET event_at = greatest(known.event_at, EXCLUDED.event_at);
        DELETE FROM public.tweet_like
        WHERE user_id = event ->> 'user_id' AND tweet_id = event ->> 'tweet_id' AND fetched_at <= at;
    ELSIF type = 'label.unviewable' THEN
        PERFORM compliance.turn('unviewable', entity, event, event ->> 'application' IS DISTINCT FROM 'remove');
    ELSIF type <> 'label.notice' THEN
        DELETE FROM compliance.receipt WHERE event_id = event ->> 'event_id';
        INSERT INTO compliance.unknown_event (event_id, event) VALUES (event ->> 'event_id', event) ON CONFLICT DO NOTHING;
    END IF;
END
$$;

-- Within what sequences are comparable, and the sequence; not for a dead letter that was replayed (order.dead-letter).
CREATE FUNCTION compliance.scope(event jsonb) RETURNS int IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE event ->> 'delivered_by' WHEN 'dead-letter' THEN 0 ELSE (event ->> 'stream_partition')::int END
$$;

CREATE FUNCTION compliance.sequence(event jsonb) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE event ->> 'delivered_by' WHEN 'dead-letter' THEN 0 ELSE (event ->> 'sequence')::bigint END
$$;

CREATE FUNCTION compliance.turn(kind text, entity text, event jsonb, is_on boolean) RETURNS void LANGUAGE sql AS $$
    INSERT INTO compliance.switch AS known
        VALUES (kind, entity, compliance.scope(event), (event ->> 'event_at')::timestamptz, compliance.sequence(event), is_on)
        ON CONFLICT (entity, kind, scope) DO UPDATE
        SET event_at = EXCLUDED.event_at, sequence = EXCLUDED.sequence, is_on = EXCLUDED.is_on
        WHERE (known.event_at, known.sequence, known.is_on) < (EXCLUDED.event_at, EXCLUDED.sequence, EXCLUDED.is_on)
$$;

-- Take in one result of a batch run, the decoded record as JSON: how X saw an id at `checked_at`.
CREATE FUNCTION compliance.apply_result(result jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    asked  CONSTANT text := result ->> 'action';
    reason CONSTANT text := result ->> 'reason';
    id     CONSTANT text := coalesce(result ->> 'tweet_id', result ->> 'user_id');
    about  CONSTANT text := CASE WHEN result ? 'user_id' THEN 'user:' ELSE 'tweet:' END || id;
    at     CONSTANT timestamptz := result ->> 'checked_at';
BEGIN
    INSERT INTO compliance.receipt (event_id, event_type, event_at)
        VALUES (result ->> 'event_id', result ->> 'event_type', at) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF result ? 'tweet_id' AND asked = 'delete' AND reason = 'deleted' THEN
        INSERT INTO compliance.deleted VALUES (about, at) ON CONFLICT DO NOTHING;
    ELSE  -- its author is protected, suspended or gone, or X answers in a word to come
        INSERT INTO compliance.result AS known VALUES (
            about,
            CASE asked WHEN 'rehydrate' THEN 'refetch' WHEN 'scrub_geo' THEN 'scrub' ELSE 'hide' END,
            CASE reason WHEN 'suspended' THEN 'suspend' WHEN 'protected' THEN 'protect' ELSE 'delete' END,
            at
        ) ON CONFLICT (entity, action) DO UPDATE SET kind = EXCLUDED.kind, checked_at = EXCLUDED.checked_at
            WHERE known.checked_at < EXCLUDED.checked_at;
    END IF;
    IF result ? 'tweet_id' THEN
        PERFORM compliance.clean_versions(id);
    END IF;
END
$$;

COMMIT;
