package compliance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;

/**
 * Decodes Avro in the Confluent wire format: a zero byte, the schema id as 4 bytes, the body.
 *
 * <p>Confluent's KafkaAvroDeserializer does the same; this one needs Apache Avro alone. A registry never changes what
 * an id means, so each schema is fetched once. Times stay what Avro stores: milliseconds since 1970.
 */
public final class RegistryDeserializer implements Deserializer<GenericRecord> {
    private static final int HEADER_BYTES = 5;
    private static final Duration TIMEOUT = Duration.ofSeconds(10);

    private final ObjectMapper json = new ObjectMapper();
    private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
    private final Map<Integer, Schema> schemas = new ConcurrentHashMap<>();
    private final String registry;

    public RegistryDeserializer(String registry) {
        this.registry = registry.replaceFirst("/$", "");
    }

    @Override
    public GenericRecord deserialize(String topic, byte[] value) {
        if (value == null || value.length < HEADER_BYTES || value[0] != 0) {
            throw new SerializationException("a value on " + topic + " is not in the Confluent wire format");
        }
        var schema = schemas.computeIfAbsent(ByteBuffer.wrap(value).getInt(1), this::fetch);
        var body = DecoderFactory.get().binaryDecoder(value, HEADER_BYTES, value.length - HEADER_BYTES, null);
        try {
            return new GenericDatumReader<GenericRecord>(schema).read(null, body);
        } catch (IOException | RuntimeException error) {
            throw new SerializationException("a value on " + topic + " does not fit its schema", error);
        }
    }

    private Schema fetch(int id) {
        var request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id)).timeout(TIMEOUT).build();
        try {
            var response = http.send(request, BodyHandlers.ofString());
            if (response.statusCode() != 200) {
                throw new IOException("the registry has no schema " + id + ": " + response.body());
            }
            return new Schema.Parser().parse(json.readTree(response.body()).get("schema").asText());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while waiting for the registry", error);
        }
    }
}
