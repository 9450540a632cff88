package compliance;

import static java.util.Comparator.comparing;
import static java.util.function.BinaryOperator.maxBy;

import java.math.BigInteger;
import java.time.Instant;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What X's compliance events ask of a store, in memory: the rules of docs/consuming.md, whatever order events come in.
 *
 * <p>Nothing here knows Kafka.
 */
public final class ComplianceState {
    /** What to do with content, the most restrictive last. */
    public enum Action {
        SHOW,
        HIDE,
        DELETE;

        Action or(Action other) {
            return compareTo(other) >= 0 ? this : other;
        }
    }

    /** A Tweet that the store holds; what it repeats or quotes, and the ids of its versions, may be null. */
    public record Tweet(String tweetId, String authorId, Tweet retweeted, Tweet quoted, List<String> versions) {}

    /** A like that the store fetched from X at a time. */
    public record Like(String userId, String tweetId, Instant fetchedAt) {}

    /** What to do with content, and the countries in which it is not shown. */
    public record Ruling(Action action, SortedSet<String> withheldIn) {
        private static final Set<String> EVERYWHERE = Set.of("XX", "XY");

        /** XX is all countries, and XY a DMCA complaint, which is not limited to some. */
        public Ruling {
            if (withheldIn.stream().anyMatch(EVERYWHERE::contains)) {
                action = action.or(Action.HIDE);
            }
        }

        Ruling and(Ruling other) {
            var countries = new TreeSet<>(withheldIn);
            countries.addAll(other.withheldIn);
            return new Ruling(action.or(other.action), countries);
        }

        Ruling and(Action other) {
            return new Ruling(action.or(other), withheldIn);
        }
    }

    /** What to do with a Tweet, with its location, and with the content that it quotes: null if it quotes nothing. */
    public record Verdict(Ruling itself, boolean deletesLocation, Ruling quoted) {}

    private enum Kind { TWEET, QUOTE, USER }

    /** What an event is about: a Tweet, what a Tweet quotes, or a user. */
    private record Entity(Kind kind, String id) {
        static Entity of(Event event) {
            if (event.quoteTweetId() != null) {
                return new Entity(Kind.QUOTE, event.quoteTweetId());
            }
            return event.tweetId() != null ? tweet(event.tweetId()) : user(event.userId());
        }

        static Entity tweet(String id) {
            return new Entity(Kind.TWEET, id);
        }

        static Entity user(String id) {
            return new Entity(Kind.USER, id);
        }
    }

    /** The states that toggle. */
    private enum Switch { DROPPED, UNVIEWABLE, USER_DELETED, PROTECTED, SUSPENDED }

    private record SwitchOf(Switch name, Entity entity) {}

    private record LikeKey(String userId, String tweetId) {}

    /** A value as of an event; the greatest is the latest, and of equally late ones the most restrictive. */
    private record Dated<T extends Comparable<T>>(Instant at, long sequence, T value) implements Comparable<Dated<T>> {
        static <T extends Comparable<T>> Dated<T> of(Event event, T value) {
            return new Dated<>(event.eventAt(), event.isDeadLetter() ? 0 : event.sequence(), value);
        }

        @Override
        public int compareTo(Dated<T> other) {
            return Comparator.<Dated<T>, Instant>comparing(Dated::at)
                    .thenComparing(Dated::sequence)
                    .thenComparing(Dated::value)
                    .compare(this, other);
        }
    }

    private final Set<String> seen = new HashSet<>();
    private final Map<SwitchOf, Map<Integer, Dated<Boolean>>> switches = new HashMap<>();
    private final Set<Entity> deleted = new HashSet<>();
    private final Map<Entity, Set<String>> withheld = new HashMap<>();
    private final Map<String, Set<String>> versions = new HashMap<>();
    private final Map<String, BigInteger> scrubbed = new HashMap<>();
    private final Map<String, Map<String, Dated<String>>> profiles = new HashMap<>();
    private final Map<LikeKey, Instant> unliked = new HashMap<>();

    /** Takes in one event; one that was there before changes nothing. */
    public void apply(Event event) {
        if (seen.contains(event.eventId())) {
            return;
        }
        switch (event.eventType()) {
            case "tweet.delete" -> deleted.add(Entity.of(event));
            case "tweet.drop" -> set(Switch.DROPPED, event, true);
            case "tweet.undrop" -> set(Switch.DROPPED, event, false);
            case "tweet.edit" -> joinVersions(Stream.concat(
                    Stream.of(event.initialTweetId(), event.tweetId()), event.editTweetIds().stream()).toList());
            case "tweet.withheld", "user.withheld" -> withhold(Entity.of(event), event.withheldInCountries());
            case "user.delete" -> set(Switch.USER_DELETED, event, true);
            case "user.undelete" -> set(Switch.USER_DELETED, event, false);
            case "user.protect" -> set(Switch.PROTECTED, event, true);
            case "user.unprotect" -> set(Switch.PROTECTED, event, false);
            case "user.suspend" -> set(Switch.SUSPENDED, event, true);
            case "user.unsuspend" -> set(Switch.SUSPENDED, event, false);
            case "user.scrub-geo" -> scrubbed.merge(event.userId(), event.upToTweetId(), BigInteger::max);
            case "user.profile-modification" -> profiles
                    .computeIfAbsent(event.userId(), user -> new TreeMap<>())
                    .merge(event.profileField(), Dated.of(event, event.newValue()), maxBy(Comparator.naturalOrder()));
            case "like.delete" -> unliked.merge(
                    new LikeKey(event.userId(), event.tweetId()), event.eventAt(), maxBy(Comparator.naturalOrder()));
            case "label.unviewable" -> set(Switch.UNVIEWABLE, event, !"remove".equals(event.application()));
            case "label.notice" -> { }
            default -> {
                return; // a type to come; the same event may come as a type that is known
            }
        }
        seen.add(event.eventId());
    }

    /** Returns what to do with a Tweet, with its location, and with the content that it quotes. */
    public Verdict tweet(Tweet tweet) {
        if (tweet.versions() != null) {
            joinVersions(Stream.concat(Stream.of(tweet.tweetId()), tweet.versions().stream()).toList());
        }
        var itself = judge(tweet);
        if (tweet.retweeted() != null) {
            itself = itself.and(judge(tweet.retweeted()));
        }
        if (!tweet.tweetId().equals(newestVersion(tweet.tweetId()))) {
            itself = itself.and(Action.HIDE);
        }
        var scrubbedTo = scrubbed.get(tweet.authorId());
        var deletesLocation = scrubbedTo != null && new BigInteger(tweet.tweetId()).compareTo(scrubbedTo) <= 0;
        var quoted = tweet.quoted() == null
                ? null
                : judge(tweet.quoted()).and(judge(quotes(tweet)));
        return new Verdict(itself, deletesLocation, quoted);
    }

    /** Returns the profile fields of a user that are known to have changed. */
    public Map<String, String> profile(String userId) {
        return profiles.getOrDefault(userId, Map.of()).entrySet().stream()
                .collect(Collectors.toMap(Map.Entry::getKey, field -> field.getValue().value()));
    }

    /** Returns whether a like was taken back after the store fetched it. */
    public boolean deletes(Like like) {
        var unlikedAt = unliked.get(new LikeKey(like.userId(), like.tweetId()));
        return unlikedAt != null && !like.fetchedAt().isAfter(unlikedAt);
    }

    private void withhold(Entity entity, List<String> countries) {
        var all = withheld.computeIfAbsent(entity, fresh -> new HashSet<>());
        countries.forEach(country -> all.add(country.toUpperCase(Locale.ROOT)));
    }

    /** Keeps the newest event of each stream partition, within which sequences are comparable. */
    private void set(Switch name, Event event, boolean isOn) {
        var scope = event.isDeadLetter() ? 0 : event.streamPartition();
        switches.computeIfAbsent(new SwitchOf(name, Entity.of(event)), fresh -> new HashMap<>())
                .merge(scope, Dated.of(event, isOn), maxBy(Comparator.naturalOrder()));
    }

    /** Returns whether the latest event hides; where several are equally late, whether any of them does. */
    private boolean isOn(Switch name, Set<Entity> entities) {
        var newest = new HashMap<Integer, Dated<Boolean>>();
        for (var entity : entities) {
            switches.getOrDefault(new SwitchOf(name, entity), Map.of())
                    .forEach((scope, dated) -> newest.merge(scope, dated, maxBy(Comparator.naturalOrder())));
        }
        var latest = newest.values().stream().map(Dated::at).max(Comparator.naturalOrder());
        return newest.values().stream().anyMatch(dated -> dated.value() && dated.at().equals(latest.orElseThrow()));
    }

    /** Returns what is to be done with a Tweet by all its versions and by its author. */
    private Ruling judge(Tweet tweet) {
        var ofTweet = judge(versions(tweet.tweetId()).stream().map(Entity::tweet).collect(Collectors.toSet()));
        var author = Set.of(Entity.user(tweet.authorId()));
        var isHidden = Stream.of(Switch.USER_DELETED, Switch.PROTECTED, Switch.SUSPENDED)
                .anyMatch(name -> isOn(name, author));
        return ofTweet.and(judge(author)).and(isHidden ? Action.HIDE : Action.SHOW);
    }

    /** Returns the versions of a Tweet and of what it retweets: an event names one of them as the Quote Tweet. */
    private Set<Entity> quotes(Tweet tweet) {
        return Stream.of(tweet, tweet.retweeted())
                .filter(Objects::nonNull)
                .flatMap(each -> versions(each.tweetId()).stream())
                .map(id -> new Entity(Kind.QUOTE, id))
                .collect(Collectors.toSet());
    }

    private Ruling judge(Set<Entity> entities) {
        var countries = entities.stream()
                .flatMap(entity -> withheld.getOrDefault(entity, Set.of()).stream())
                .collect(Collectors.toCollection(TreeSet::new));
        if (entities.stream().anyMatch(deleted::contains)) {
            return new Ruling(Action.DELETE, countries);
        }
        var isHidden = isOn(Switch.DROPPED, entities) || isOn(Switch.UNVIEWABLE, entities);
        return new Ruling(isHidden ? Action.HIDE : Action.SHOW, countries);
    }

    private Set<String> versions(String tweetId) {
        return versions.getOrDefault(tweetId, Set.of(tweetId));
    }

    /** Ids may exceed 64 bits with a sign, so they are compared as numbers of any size. */
    private String newestVersion(String tweetId) {
        return versions(tweetId).stream().max(comparing(BigInteger::new)).orElseThrow();
    }

    private void joinVersions(Collection<String> ids) {
        var together = ids.stream().flatMap(id -> versions(id).stream()).collect(Collectors.toSet());
        together.forEach(id -> versions.put(id, together));
    }
}
