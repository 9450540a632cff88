package compliance;

import java.math.BigInteger;
import java.time.Instant;
import java.util.List;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;

/**
 * The fields of compliance events that the rules read; null where an event type does not have the field.
 *
 * <p>{@code Event.JSON.convertValue(fields, Event.class)} makes one of the fields of a record.
 */
public record Event(
        String eventId,
        String eventType,
        Instant eventAt,
        int streamPartition,
        long sequence,
        String deliveredBy,
        String tweetId,
        String userId,
        String quoteTweetId,
        String initialTweetId,
        List<String> editTweetIds,
        List<String> withheldInCountries,
        BigInteger upToTweetId,
        String profileField,
        String newValue,
        String application) {

    /** Reads events, from milliseconds or from ISO text, and leaves out the fields that are not named here. */
    public static final ObjectMapper JSON = JsonMapper.builder()
            .addModule(new JavaTimeModule())
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .disable(DeserializationFeature.READ_DATE_TIMESTAMPS_AS_NANOSECONDS)
            .build();

    /** Returns whether an operator replayed it from the dead letters: its sequence says nothing of its order. */
    public boolean isDeadLetter() {
        return "dead-letter".equals(deliveredBy);
    }
}
