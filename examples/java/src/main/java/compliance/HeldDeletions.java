package compliance;

import static compliance.Reader.required;

import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;

import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Joins the Tweets that a store holds with those that were deleted, by Kafka Streams.
 *
 * <p>HELD is a topic of the store's: the id of a Tweet as key, and any text as value, where it is kept for example;
 * null once it is gone. What is held and deleted comes out on the topic TODO, whichever of the two was known first.
 *
 * <p>HELD must have exactly as many partitions as the topics of the connector, and place keys as they do, by murmur2: a
 * record elsewhere never meets its deletion, and nothing says so. Streams compares the numbers only in a topology with
 * a repartition topic, so they are compared here. Where HELD is laid out otherwise, read it by
 * {@code builder.stream(held, ...).repartition(...).toTable(...)}: that makes a copy with the right number and places.
 */
public final class HeldDeletions {
    public static void main(String[] arguments) throws ExecutionException, InterruptedException {
        var deleted = Reader.PREFIX + ".tweet.delete";
        var settings = new Properties();
        settings.putAll(Map.of(
                "bootstrap.servers", required("KAFKA"),
                "application.id", System.getenv().getOrDefault("GROUP", "example-streams"),
                "processing.guarantee", "exactly_once_v2",
                "statestore.cache.max.bytes", 0)); // each deletion comes out at once
        // Implied by exactly_once_v2. With at_least_once it is not, and Streams reads what was rolled back.
        settings.put("consumer.isolation.level", "read_committed");

        var held = required("HELD");
        requireSamePartitions(settings, deleted, held);
        var topology = topology(deleted, required("REGISTRY"), held, required("TODO"));
        var streams = new KafkaStreams(topology, settings);
        streams.setUncaughtExceptionHandler(error -> StreamThreadExceptionResponse.SHUTDOWN_CLIENT);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
        while (!streams.state().hasCompletedShutdown()) {
            Thread.sleep(500);
        }
        System.exit(1);
    }

    private static void requireSamePartitions(Properties settings, String... topics)
            throws ExecutionException, InterruptedException {
        try (var admin = Admin.create(settings)) {
            var partitions = new TreeMap<String, Integer>();
            admin.describeTopics(List.of(topics)).allTopicNames().get()
                    .forEach((topic, description) -> partitions.put(topic, description.partitions().size()));
            if (Set.copyOf(partitions.values()).size() > 1) {
                throw new IllegalArgumentException("topics with different numbers of partitions: " + partitions);
            }
        }
    }

    private static Topology topology(String deleted, String registry, String held, String todo) {
        var text = Serdes.String();
        var builder = new StreamsBuilder();
        // A deletion with quote_tweet_id is that of the quoted content, under the same key. It is left out before there
        // is a table, in which it would replace the deletion of the Tweet.
        var deletions = builder.stream(deleted, Consumed.with(text, events(registry)))
                .filter((tweetId, event) -> event.get("quote_tweet_id") == null)
                .mapValues(event -> event.get("event_id").toString())
                .toTable(Materialized.with(text, text));
        builder.table(held, Consumed.with(text, text))
                .join(deletions, (place, eventId) -> place)
                .toStream()
                .filter((tweetId, place) -> place != null)
                .to(todo, Produced.with(text, text));
        return builder.build();
    }

    private static Serde<GenericRecord> events(String registry) {
        return Serdes.serdeFrom(
                (topic, event) -> {
                    throw new UnsupportedOperationException("events are only read");
                },
                new RegistryDeserializer(registry));
    }
}
