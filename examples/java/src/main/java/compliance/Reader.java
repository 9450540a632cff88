package compliance;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Pattern;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Prints every compliance event as a line of JSON; times are milliseconds since 1970. */
public final class Reader {
    private static final Map<String, String> ENV = System.getenv();
    static final String PREFIX = ENV.getOrDefault("PREFIX", "x.compliance");
    private static final Duration IDLE_EXIT =
            Duration.ofSeconds(Long.parseLong(ENV.getOrDefault("IDLE_EXIT_S", "1000000000")));

    private final ObjectMapper json = new ObjectMapper();
    private final PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    public static void main(String[] arguments) throws JsonProcessingException {
        new Reader().run();
    }

    /** Reads until nothing has come for IDLE_EXIT_S. */
    private void run() throws JsonProcessingException {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", required("KAFKA"),
                "group.id", ENV.getOrDefault("GROUP", "example-java"),
                "isolation.level", "read_committed", // by default Java also reads what was rolled back
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false);
        var values = new RegistryDeserializer(required("REGISTRY"));
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), values)) {
            // Events of all streams, and not the results of batch runs, whose fields are others.
            // The pattern must match the whole name of a topic.
            consumer.subscribe(Pattern.compile("^" + Pattern.quote(PREFIX) + "\\.(tweet|user|like|label)\\..*"));
            var last = Instant.now();
            while (last.plus(IDLE_EXIT).isAfter(Instant.now())) {
                var records = consumer.poll(Duration.ofSeconds(1));
                if (!records.isEmpty()) {
                    for (var record : records) {
                        process(record);
                    }
                    out.flush();
                    consumer.commitSync(); // after the work: a crash repeats events and loses none
                    last = Instant.now();
                }
            }
        }
    }

    /** Returns a variable of the environment that has no default. */
    static String required(String name) {
        return Objects.requireNonNull(ENV.get(name), name + " is not set");
    }

    /** Does what is to be done about an event; here, prints it. */
    private void process(ConsumerRecord<String, GenericRecord> record) throws JsonProcessingException {
        var line = new LinkedHashMap<String, Object>();
        line.put("topic", record.topic());
        line.put("key", record.key());
        line.putAll(fields(record.value()));
        out.println(json.writeValueAsString(line));
    }

    /** Returns the fields of a record in their order, with text as {@link String}: Avro's own text is {@code Utf8}. */
    static Map<String, Object> fields(GenericRecord record) {
        var fields = new LinkedHashMap<String, Object>();
        for (var field : record.getSchema().getFields()) {
            fields.put(field.name(), plain(record.get(field.pos())));
        }
        return fields;
    }

    private static Object plain(Object value) {
        if (value instanceof List<?> list) {
            return list.stream().map(Reader::plain).toList();
        }
        return value instanceof CharSequence text ? text.toString() : value;
    }
}
