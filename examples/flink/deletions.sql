-- The deletions of Tweets, and how many there are.
--
-- The columns are fields of the record, as many as are wanted, in any order; a field that the schema allows to be null must
-- be allowed to be null here. Times are UTC in columns of TIMESTAMP(3): Flink derives no Avro schema for TIMESTAMP_LTZ.
-- The name of a table that has dots needs quotes, and so do names that are
-- words of SQL: of the fields of events, `stream`.
CREATE TABLE `x.compliance.tweet.delete` (
    event_id STRING NOT NULL,
    event_at TIMESTAMP(3) NOT NULL,
    tweet_id STRING NOT NULL,
    quote_tweet_id STRING,
    taken_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
    'connector' = 'kafka',
    'topic' = '${PREFIX}.tweet.delete',
    'properties.bootstrap.servers' = '${KAFKA}',
    'properties.isolation.level' = 'read_committed',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'value.format' = 'avro-confluent',
    'value.avro-confluent.url' = '${REGISTRY}'
);

SELECT COUNT(*) AS events, COUNT(DISTINCT event_id) AS ids, COUNT(quote_tweet_id) AS of_quotes
FROM `x.compliance.tweet.delete`;

-- All events, by a pattern that must match the whole name of a topic: the fields that they share.
CREATE TABLE events (
    event_id STRING NOT NULL,
    event_type STRING NOT NULL
) WITH (
    'connector' = 'kafka',
    'topic-pattern' = '${PREFIX}\.(tweet|user|like|label)\..*',
    'properties.bootstrap.servers' = '${KAFKA}',
    'properties.isolation.level' = 'read_committed',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'value.format' = 'avro-confluent',
    'value.avro-confluent.url' = '${REGISTRY}'
);

SELECT event_type, COUNT(*) AS events, COUNT(DISTINCT event_id) AS ids FROM events GROUP BY event_type;
