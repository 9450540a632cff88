package compliance;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.IntStream;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import compliance.ComplianceState.Action;
import compliance.ComplianceState.Like;
import compliance.ComplianceState.Ruling;
import compliance.ComplianceState.Tweet;
import compliance.ComplianceState.Verdict;

/** Runs the vectors of docs/vectors on {@link ComplianceState}; takes their folder as an argument. */
public final class Vectors {
    private int cases;
    private int orders;
    private final List<String> failures = new ArrayList<>();

    public static void main(String[] arguments) throws IOException {
        var vectors = new Vectors();
        try (var paths = Files.list(Path.of(arguments.length > 0 ? arguments[0] : "../../docs/vectors"))) {
            for (var path : paths.filter(path -> path.toString().endsWith(".json")).sorted().toList()) {
                vectors.play(path.toFile());
            }
        }
        vectors.failures.forEach(System.out::println);
        System.out.printf("%d cases, %d orders, %d failures%n", vectors.cases, vectors.orders, vectors.failures.size());
        System.exit(vectors.failures.isEmpty() && vectors.orders > 0 ? 0 : 1);
    }

    private void play(File file) throws IOException {
        for (var vector : Event.JSON.readTree(file)) {
            cases++;
            for (var order : ordersOf(vector)) {
                orders++;
                var name = "%s/%s %s: ".formatted(file.getName(), vector.get("name").asText(), order);
                failuresOf(vector, order).forEach(failure -> failures.add(name + failure));
            }
        }
    }

    /** Returns what comes out other than a case expects, with its events in that order. */
    private static List<String> failuresOf(JsonNode vector, List<Integer> order) {
        var state = new ComplianceState();
        for (var position : order) {
            state.apply(Event.JSON.convertValue(vector.get("events").get(position), Event.class));
        }
        var failures = new ArrayList<String>();
        for (var tweet : vector.path("tweets")) {
            var expected = expectedOf(tweet);
            var got = state.tweet(Event.JSON.convertValue(tweet, Tweet.class));
            var isDeleted = expected.itself().action() == Action.DELETE; // then nothing else matters
            if (isDeleted ? got.itself().action() != Action.DELETE : !got.equals(expected)) {
                failures.add("%s, not %s".formatted(got, expected));
            }
        }
        for (var user : vector.path("profiles")) {
            var expected = Event.JSON.convertValue(user.get("expect"), new TypeReference<Map<String, String>>() {});
            var got = state.profile(user.get("user_id").asText());
            if (!got.equals(expected)) {
                failures.add("profile %s, not %s".formatted(got, expected));
            }
        }
        for (var like : vector.path("likes")) {
            var got = state.deletes(Event.JSON.convertValue(like, Like.class)) ? "delete" : "keep";
            if (!got.equals(like.get("expect").asText())) {
                failures.add("%s: %s".formatted(like, got));
            }
        }
        return failures;
    }

    /** Returns what is expected of a Tweet, with the defaults of what its vector leaves out. */
    private static Verdict expectedOf(JsonNode tweet) {
        var expect = tweet.get("expect");
        return new Verdict(
                rulingOf(expect),
                expect.path("location").asText().equals("delete"),
                tweet.has("quoted") ? rulingOf(expect.path("quoted")) : null);
    }

    private static Ruling rulingOf(JsonNode expect) {
        var countries = new TreeSet<String>();
        expect.path("withheld_in").forEach(country -> countries.add(country.asText()));
        return new Ruling(Action.valueOf(expect.path("action").asText("show").toUpperCase(Locale.ROOT)), countries);
    }

    private static List<List<Integer>> ordersOf(JsonNode vector) {
        if (vector.get("orders").isArray()) {
            return Event.JSON.convertValue(vector.get("orders"), new TypeReference<>() {});
        }
        return permutations(IntStream.range(0, vector.get("events").size()).boxed().toList());
    }

    private static List<List<Integer>> permutations(List<Integer> positions) {
        if (positions.isEmpty()) {
            return List.of(List.of());
        }
        var all = new ArrayList<List<Integer>>();
        for (var first : positions) {
            for (var rest : permutations(positions.stream().filter(position -> !position.equals(first)).toList())) {
                var order = new ArrayList<>(List.of(first));
                order.addAll(rest);
                all.add(order);
            }
        }
        return all;
    }
}
