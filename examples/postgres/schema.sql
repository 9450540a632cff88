-- A store of Tweets that stays compliant, for PostgreSQL 13 or later.
--
-- Content and compliance state are apart: an event may come long before the content it is about, or long after.
-- Hiding is a state that the views look up, since one event may hide millions of Tweets. Deleting is done at once.
-- The rules are those of docs/consuming.md; their names here are those of docs/vectors.

BEGIN;

-- Content: what your collectors store. Yours has more columns, and other names.

CREATE TABLE tweet (
    tweet_id            text PRIMARY KEY,
    author_id           text NOT NULL,
    body                text NOT NULL,
    location            text,
    version_ids         text[] NOT NULL DEFAULT '{}',  -- edit_history_tweet_ids
    retweeted_id        text,
    retweeted_author_id text,
    quoted_id           text,
    quoted_author_id    text,
    quoted_body         text,
    fetched_at          timestamptz NOT NULL  -- when X answered, not when the row is stored
);
CREATE INDEX ON tweet (author_id) WHERE location IS NOT NULL;
CREATE INDEX ON tweet (retweeted_id) WHERE retweeted_id IS NOT NULL;
CREATE INDEX ON tweet (quoted_id) WHERE quoted_id IS NOT NULL;

CREATE TABLE x_user (
    user_id    text PRIMARY KEY,
    profile    jsonb NOT NULL DEFAULT '{}',  -- by X's names of the fields: profile.name, profile.location
    fetched_at timestamptz NOT NULL
);

CREATE TABLE tweet_like (
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

CREATE TABLE compliance.unknown_event (  -- types that a later version of this file may know
    event_id   text PRIMARY KEY,
    event      jsonb NOT NULL,
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
    tweet_id   text PRIMARY KEY,
    initial_id text NOT NULL
);
CREATE INDEX ON compliance.version (initial_id);

CREATE TABLE compliance.scrubbed (
    user_id text PRIMARY KEY,
    up_to   numeric NOT NULL  -- may exceed bigint
);

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

CREATE TABLE compliance.result (  -- what batch runs say of Tweets that were fetched by then
    tweet_id    text,
    action      text,  -- hide, refetch or scrub
    checked_at  timestamptz NOT NULL,
    PRIMARY KEY (tweet_id, action)
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
        SELECT other.tweet_id FROM compliance.version own JOIN compliance.version other USING (initial_id)
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

CREATE FUNCTION compliance.hides_user(of_user text) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT compliance.is_on('delete', ARRAY['user:' || of_user]) OR compliance.is_on('protect', ARRAY['user:' || of_user])
        OR compliance.is_on('suspend', ARRAY['user:' || of_user])
        OR compliance.countries(ARRAY['user:' || of_user]) && '{XX,XY}'
$$;

CREATE FUNCTION compliance.is_newest(of_tweet text) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT NOT EXISTS (
        SELECT FROM compliance.version own JOIN compliance.version other USING (initial_id)
        WHERE own.tweet_id = of_tweet AND other.tweet_id::numeric > of_tweet::numeric
    )
$$;

-- What a Tweet may quote, as entities: an event names one version of the Quote Tweet, and its Retweets quote the same.
CREATE FUNCTION compliance.quotes(of_tweet text, of_retweeted text) RETURNS text[] STABLE LANGUAGE sql AS $$
    SELECT array_agg('quote:' || substr(entity, 7))
    FROM unnest(compliance.versions(of_tweet) || compliance.versions(of_retweeted)) AS entity
$$;

CREATE FUNCTION compliance.has_result(of_tweet text, actions text[], fetched timestamptz) RETURNS boolean
STABLE LANGUAGE sql AS $$
    SELECT EXISTS (
        SELECT FROM compliance.result WHERE tweet_id = of_tweet AND action = ANY (actions) AND fetched <= checked_at
    )
$$;

-- What may be shown. In the countries of `withheld_in` and `quoted_withheld_in` it may not.

CREATE VIEW shown_tweet AS
SELECT tweet.tweet_id, tweet.author_id, tweet.body, tweet.retweeted_id, tweet.quoted_id, tweet.fetched_at,
    CASE WHEN NOT coalesce(tweet.tweet_id::numeric <= scrubbed.up_to, false) THEN tweet.location END AS location,
    CASE WHEN NOT quoted.is_hidden THEN tweet.quoted_body END AS quoted_body,
    compliance.countries(own.entities) AS withheld_in,
    compliance.countries(quoted.entities) AS quoted_withheld_in
FROM tweet
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
    AND NOT compliance.has_result(tweet.tweet_id, '{hide,refetch}', tweet.fetched_at);

CREATE VIEW shown_user AS
SELECT user_id, profile, fetched_at, compliance.countries(ARRAY['user:' || user_id]) AS withheld_in
FROM x_user WHERE NOT compliance.hides_user(user_id);

-- What to fetch from X: newest versions that are not stored, of Tweets that are, and Tweets that are stale.
CREATE VIEW tweet_to_fetch AS
SELECT tweet_id FROM tweet WHERE compliance.has_result(tweet_id, '{refetch}', fetched_at)
UNION
SELECT newest.tweet_id
FROM tweet
JOIN compliance.version own USING (tweet_id)
CROSS JOIN LATERAL (
    SELECT tweet_id FROM compliance.version WHERE initial_id = own.initial_id ORDER BY tweet_id::numeric DESC LIMIT 1
) AS newest
WHERE NOT EXISTS (SELECT FROM tweet AS stored WHERE stored.tweet_id = newest.tweet_id)
    AND NOT compliance.is_deleted(compliance.versions(tweet.tweet_id));

-- Deleting. Both sides come here: events about content that is stored, and content about which there were events.

-- Delete what the state says of these Tweets, and of what retweets or quotes them.
CREATE FUNCTION compliance.clean(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tweet
    WHERE (tweet_id = ANY (ids) OR retweeted_id = ANY (ids))
        AND (compliance.is_deleted(compliance.versions(tweet_id)) OR compliance.is_deleted(compliance.versions(retweeted_id)));
    UPDATE tweet SET quoted_body = NULL
    WHERE (tweet_id = ANY (ids) OR retweeted_id = ANY (ids) OR quoted_id = ANY (ids)) AND quoted_body IS NOT NULL
        AND compliance.is_deleted(compliance.versions(quoted_id) || compliance.quotes(tweet_id, retweeted_id));
    UPDATE tweet SET location = NULL
    WHERE tweet_id = ANY (ids) AND location IS NOT NULL AND (
        tweet_id::numeric <= (SELECT up_to FROM compliance.scrubbed WHERE user_id = author_id)
        OR compliance.has_result(tweet_id, '{scrub}', fetched_at));
END
$$;

CREATE FUNCTION compliance.clean_versions(of_tweet text) RETURNS void LANGUAGE sql AS $$
    SELECT compliance.clean(ARRAY(SELECT substr(entity, 7) FROM unnest(compliance.versions(of_tweet)) AS entity))
$$;

-- Delete the locations of at most `at_most` Tweets of a user; return how many that were. A user may have millions.
CREATE FUNCTION compliance.scrub(of_user text, at_most int) RETURNS bigint LANGUAGE sql AS $$
    WITH done AS (
        UPDATE tweet SET location = NULL WHERE tweet_id IN (
            SELECT tweet_id FROM tweet JOIN compliance.scrubbed ON user_id = author_id
            WHERE author_id = of_user AND location IS NOT NULL AND tweet_id::numeric <= up_to LIMIT at_most
        ) RETURNING 1
    )
    SELECT count(*) FROM done
$$;

CREATE FUNCTION compliance.clean_profile(of_user text) RETURNS void LANGUAGE sql AS $$
    UPDATE x_user SET profile = profile || changed.fields
    FROM (
        SELECT jsonb_object_agg(profile_field, new_value) AS fields
        FROM compliance.profile JOIN x_user USING (user_id)
        WHERE user_id = of_user AND event_at >= fetched_at
            AND profile ? profile_field AND profile ->> profile_field <> new_value
    ) AS changed
    WHERE user_id = of_user AND changed.fields IS NOT NULL
$$;

-- Content that comes in waits while events are applied, and the other way round, so that neither misses the other.

CREATE FUNCTION compliance.lock_for_content() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock_shared(hashtext('compliance'))
$$;

CREATE FUNCTION compliance.lock_for_events() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('compliance'))
$$;

CREATE FUNCTION compliance.on_tweet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM compliance.lock_for_content();
    INSERT INTO compliance.version
        SELECT unnest(NEW.version_ids), NEW.version_ids[1] WHERE cardinality(NEW.version_ids) > 1
        ON CONFLICT DO NOTHING;
    PERFORM compliance.clean_versions(NEW.tweet_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER compliance AFTER INSERT OR UPDATE ON tweet FOR EACH ROW EXECUTE FUNCTION compliance.on_tweet();

CREATE FUNCTION compliance.on_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM compliance.lock_for_content();
    PERFORM compliance.clean_profile(NEW.user_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER compliance AFTER INSERT OR UPDATE ON x_user FOR EACH ROW EXECUTE FUNCTION compliance.on_user();

CREATE FUNCTION compliance.on_like() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM compliance.lock_for_content();
    DELETE FROM tweet_like USING compliance.unliked
    WHERE tweet_like.user_id = NEW.user_id AND tweet_like.tweet_id = NEW.tweet_id
        AND unliked.user_id = NEW.user_id AND unliked.tweet_id = NEW.tweet_id AND fetched_at <= event_at;
    RETURN NULL;
END
$$;
CREATE TRIGGER compliance AFTER INSERT OR UPDATE ON tweet_like FOR EACH ROW EXECUTE FUNCTION compliance.on_like();

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
            SELECT DISTINCT entity, upper(country) FROM jsonb_array_elements_text(event -> 'withheld_in_countries') AS country
            ON CONFLICT DO NOTHING;
    ELSIF type = 'tweet.edit' THEN
        INSERT INTO compliance.version
            SELECT id, event ->> 'initial_tweet_id' FROM jsonb_array_elements_text(event -> 'edit_tweet_ids') AS id
            ON CONFLICT DO NOTHING;
        PERFORM compliance.clean_versions(event ->> 'tweet_id');
    ELSIF type = 'user.scrub-geo' THEN
        INSERT INTO compliance.scrubbed AS known VALUES (event ->> 'user_id', (event ->> 'up_to_tweet_id')::numeric)
            ON CONFLICT (user_id) DO UPDATE SET up_to = greatest(known.up_to, EXCLUDED.up_to);
    ELSIF type = 'user.profile-modification' THEN
        INSERT INTO compliance.profile AS known
            VALUES (event ->> 'user_id', event ->> 'profile_field', event ->> 'new_value', at, compliance.sequence(event))
            ON CONFLICT (user_id, profile_field) DO UPDATE
            SET new_value = EXCLUDED.new_value, event_at = EXCLUDED.event_at, sequence = EXCLUDED.sequence
            WHERE (known.event_at, known.sequence) < (EXCLUDED.event_at, EXCLUDED.sequence);
        PERFORM compliance.clean_profile(event ->> 'user_id');
    ELSIF type = 'like.delete' THEN
        INSERT INTO compliance.unliked AS known VALUES (event ->> 'user_id', event ->> 'tweet_id', at)
            ON CONFLICT (user_id, tweet_id) DO UPDATE SET event_at = greatest(known.event_at, EXCLUDED.event_at);
        DELETE FROM tweet_like
        WHERE user_id = event ->> 'user_id' AND tweet_id = event ->> 'tweet_id' AND fetched_at <= at;
    ELSIF type = 'label.unviewable' THEN
        PERFORM compliance.turn('unviewable', entity, event, event ->> 'application' <> 'remove');
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
    at     CONSTANT timestamptz := result ->> 'checked_at';
    event  CONSTANT jsonb := jsonb_build_object('event_at', at, 'delivered_by', 'dead-letter');  -- its sequence is a run's
BEGIN
    INSERT INTO compliance.receipt (event_id, event_type, event_at)
        VALUES (result ->> 'event_id', result ->> 'event_type', at) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF result ? 'user_id' THEN
        PERFORM compliance.turn(
            CASE reason WHEN 'suspended' THEN 'suspend' WHEN 'protected' THEN 'protect' ELSE 'delete' END,
            'user:' || id, event, true);
    ELSIF asked = 'delete' AND reason = 'deleted' THEN
        INSERT INTO compliance.deleted VALUES ('tweet:' || id, at) ON CONFLICT DO NOTHING;
        PERFORM compliance.clean_versions(id);
    ELSE  -- its author is protected, suspended or gone, or X answers in a word to come
        INSERT INTO compliance.result AS known
            VALUES (id, CASE asked WHEN 'rehydrate' THEN 'refetch' WHEN 'scrub_geo' THEN 'scrub' ELSE 'hide' END, at)
            ON CONFLICT (tweet_id, action) DO UPDATE SET checked_at = greatest(known.checked_at, EXCLUDED.checked_at);
        PERFORM compliance.clean(ARRAY[id]);
    END IF;
END
$$;

COMMIT;
