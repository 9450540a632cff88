package rig;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints every committed record of some topics as one JSON line: topic, partition, offset, key and the decoded value.
 *
 * <p>Arguments: bootstrap servers, registry URL (Confluent API), then the topics. Values must be in Confluent's wire
 * format and are decoded by Apache Avro with the writer's schema alone; logical types stay the numbers they are.
 */
public final class DecodeTopics {
    private static final int HEADER_BYTES = 5;
    private static final Duration TIMEOUT = Duration.ofSeconds(30);

    private final ObjectMapper json = new ObjectMapper();
    private final HttpClient http = HttpClient.newHttpClient();
    private final Map<Integer, Schema> schemas = new HashMap<>();
    private final String registry;

    private DecodeTopics(String registry) {
        this.registry = registry;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 3) {
            throw new IllegalArgumentException("usage: DecodeTopics BOOTSTRAP_SERVERS REGISTRY_URL TOPIC...");
        }
        List<String> topics = Arrays.asList(arguments).subList(2, arguments.length);
        PrintStream output = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        try (KafkaConsumer<byte[], byte[]> consumer = openConsumer(arguments[0])) {
            new DecodeTopics(arguments[1]).print(consumer, topics, output);
        }
        output.flush();
    }

    private static KafkaConsumer<byte[], byte[]> openConsumer(String bootstrapServers) {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", bootstrapServers,
                "isolation.level", "read_committed",
                "enable.auto.commit", false,
                "auto.offset.reset", "none");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private void print(KafkaConsumer<byte[], byte[]> consumer, List<String> topics, PrintStream output)
            throws IOException, InterruptedException {
        List<TopicPartition> partitions = topics.stream()
                .flatMap(topic -> consumer.partitionsFor(topic, TIMEOUT).stream())
                .map(info -> new TopicPartition(info.topic(), info.partition()))
                .toList();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, TIMEOUT);
        while (partitions.stream().anyMatch(partition -> consumer.position(partition, TIMEOUT) < ends.get(partition))) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                output.println(json.writeValueAsString(describe(record)));
            }
        }
    }

    private ObjectNode describe(ConsumerRecord<byte[], byte[]> record) throws IOException, InterruptedException {
        ObjectNode line = json.createObjectNode();
        line.put("topic", record.topic());
        line.put("partition", record.partition());
        line.put("offset", record.offset());
        line.put("key", record.key() == null ? null : new String(record.key(), StandardCharsets.UTF_8));
        line.set("value", record.value() == null ? null : decode(record.value()));
        return line;
    }

    private JsonNode decode(byte[] value) throws IOException, InterruptedException {
        if (value.length < HEADER_BYTES || value[0] != 0) {
            throw new IOException("value is not in Confluent's wire format");
        }
        Schema schema = schema(ByteBuffer.wrap(value).getInt(1));
        BinaryDecoder body =
                DecoderFactory.get().binaryDecoder(value, HEADER_BYTES, value.length - HEADER_BYTES, null);
        Object datum = new GenericDatumReader<>(schema).read(null, body);
        if (!body.isEnd()) {
            throw new IOException("bytes are left over after the record");
        }
        return json.readTree(GenericData.get().toString(datum));
    }

    private Schema schema(int id) throws IOException, InterruptedException {
        Schema known = schemas.get(id);
        if (known != null) {
            return known;
        }
        HttpRequest request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id))
                .timeout(TIMEOUT)
                .build();
        HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IOException("schema " + id + ": HTTP " + response.statusCode() + ": " + response.body());
        }
        Schema fetched = new Schema.Parser().parse(json.readTree(response.body()).get("schema").asText());
        schemas.put(id, fetched);
        return fetched;
    }
}
