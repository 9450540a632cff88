// What X's compliance events ask of a store, in memory: the rules of docs/consuming.md, whatever order events come in.
//
// Nothing here knows Kafka. Events are decoded records with event_at as a number or as text of one form, so that a
// later one is greater. Ids stay text: they exceed what a number holds exactly, and are compared as BigInt.

/** The pairs that toggle: which switch an event sets, and whether it hides. */
const SWITCHES = {
  "tweet.drop": ["drop", true],
  "tweet.undrop": ["drop", false],
  "user.delete": ["delete", true],
  "user.undelete": ["delete", false],
  "user.protect": ["protect", true],
  "user.unprotect": ["protect", false],
  "user.suspend": ["suspend", true],
  "user.unsuspend": ["suspend", false],
};

/** Codes that are no countries: all of them, and a DMCA complaint, which is not limited to some. */
const EVERYWHERE = ["XX", "XY"];

/** What to do with content, the most restrictive last. */
const ACTIONS = ["show", "hide", "delete"];

/** All that was said of Tweets, users and likes so far. */
export class ComplianceState {
  #seen = new Set();
  #switches = new Map(); // by kind and entity: the newest event of each scope
  #deleted = new Set();
  #withheld = new Map();
  #versions = new Map(); // all versions of a Tweet, by the id of each
  #scrubbed = new Map();
  #profiles = new Map();
  #unliked = new Map();

  /** Takes in one event; one that was there before changes nothing. */
  apply(event) {
    if (this.#seen.has(event.event_id)) return;
    switch (event.event_type) {
      case "tweet.delete":
        this.#deleted.add(entityOf(event));
        break;
      case "tweet.withheld":
      case "user.withheld":
        this.#withhold(entityOf(event), event.withheld_in_countries);
        break;
      case "tweet.edit":
        this.#joinVersions([event.initial_tweet_id, event.tweet_id, ...event.edit_tweet_ids]);
        break;
      case "user.scrub-geo":
        keepGreatest(this.#scrubbed, event.user_id, BigInt(event.up_to_tweet_id), compare);
        break;
      case "user.profile-modification":
        this.#modifyProfile(event);
        break;
      case "like.delete":
        keepGreatest(this.#unliked, likeKey(event), event.event_at, compare);
        break;
      case "label.unviewable":
        this.#switch("unviewable", event, event.application !== "remove");
        break;
      case "label.notice":
        break;
      default: {
        // A type to come is not applied: the same event may come as a type that is known.
        if (!Object.hasOwn(SWITCHES, event.event_type)) return;
        const [kind, isOn] = SWITCHES[event.event_type];
        this.#switch(kind, event, isOn);
      }
    }
    this.#seen.add(event.event_id);
  }

  /**
   * Returns what to do with a Tweet, with its location, and with the Tweet that it quotes.
   *
   * `tweet` has tweet_id and author_id; the same of the Tweet that it repeats or quotes under `retweeted` and
   * `quoted`; and the ids of its `versions`, where they are known.
   */
  tweet(tweet) {
    if (tweet.versions) this.#joinVersions([tweet.tweet_id, ...tweet.versions]);
    const judged = [this.#judge(tweet)];
    if (tweet.retweeted) judged.push(this.#judge(tweet.retweeted));
    const id = BigInt(tweet.tweet_id);
    if (this.#allVersions(tweet.tweet_id).some((version) => BigInt(version) > id)) judged.push(judgement("hide"));
    const isScrubbed = id <= (this.#scrubbed.get(tweet.author_id) ?? -1n);
    const verdict = { ...strictest(judged), location: isScrubbed ? "delete" : "keep" };
    if (tweet.quoted) {
      verdict.quoted = strictest([this.#judge(tweet.quoted), this.#judgeEntities(this.#quotes(tweet))]);
    }
    return verdict;
  }

  /** Returns the profile fields of a user that are known to have changed. */
  profile(userId) {
    const fields = this.#profiles.get(userId) ?? new Map();
    return Object.fromEntries([...fields].map(([field, { value }]) => [field, value]));
  }

  /** Returns whether to keep or delete a like that your store fetched from X at `fetched_at`. */
  like(like) {
    const unlikedAt = this.#unliked.get(likeKey(like));
    return unlikedAt !== undefined && like.fetched_at <= unlikedAt ? "delete" : "keep";
  }

  #modifyProfile(event) {
    if (!this.#profiles.has(event.user_id)) this.#profiles.set(event.user_id, new Map());
    keepGreatest(this.#profiles.get(event.user_id), event.profile_field, stamped(event, event.new_value), compareStamped);
  }

  /** Keeps the newest event of each stream partition; `#isOn` compares them. */
  #switch(kind, event, isOn) {
    const key = `${kind} ${entityOf(event)}`;
    if (!this.#switches.has(key)) this.#switches.set(key, new Map());
    keepGreatest(this.#switches.get(key), scopeOf(event), stamped(event, isOn), compareStamped);
  }

  /** Returns whether the latest event hides; where several are equally late, whether any of them does. */
  #isOn(kind, entities) {
    const newest = new Map();
    for (const each of entities) {
      for (const [scope, event] of this.#switches.get(`${kind} ${each}`) ?? []) {
        keepGreatest(newest, scope, event, compareStamped);
      }
    }
    const events = [...newest.values()];
    return events.some(({ at, value }) => value && events.every((other) => other.at <= at));
  }

  /** Returns what to do with a Tweet and where it is withheld, by all its versions and by its author. */
  #judge(tweet) {
    const versions = this.#allVersions(tweet.tweet_id).map((version) => entity("tweet", version));
    const author = [entity("user", tweet.author_id)];
    const isHidden = ["delete", "protect", "suspend"].some((kind) => this.#isOn(kind, author));
    return strictest([
      this.#judgeEntities(versions),
      this.#judgeEntities(author),
      judgement(isHidden ? "hide" : "show"),
    ]);
  }

  /** Returns the versions of a Tweet and of what it retweets: an event names one of them as the Quote Tweet. */
  #quotes({ tweet_id, retweeted }) {
    const ids = retweeted ? [tweet_id, retweeted.tweet_id] : [tweet_id];
    return ids.flatMap((id) => this.#allVersions(id)).map((version) => entity("quote", version));
  }

  #judgeEntities(entities) {
    const countries = entities.flatMap((each) => [...(this.#withheld.get(each) ?? [])]);
    if (entities.some((each) => this.#deleted.has(each))) return judgement("delete", countries);
    const isHidden = this.#isOn("drop", entities) || this.#isOn("unviewable", entities);
    return judgement(isHidden ? "hide" : "show", countries);
  }

  #withhold(key, countries) {
    if (!this.#withheld.has(key)) this.#withheld.set(key, new Set());
    for (const country of countries) this.#withheld.get(key).add(country.toUpperCase());
  }

  #allVersions(tweetId) {
    return this.#versions.get(tweetId) ?? [tweetId];
  }

  #joinVersions(ids) {
    const together = [...new Set(ids.flatMap((id) => this.#allVersions(id)))];
    for (const id of together) this.#versions.set(id, together);
  }
}

const entity = (kind, id) => `${kind} ${id}`;

const likeKey = ({ user_id, tweet_id }) => `${user_id}:${tweet_id}`;

/** Returns what an event is about: a Tweet, what a Tweet quotes, or a user. */
function entityOf(event) {
  if (event.quote_tweet_id != null) return entity("quote", event.quote_tweet_id);
  return event.tweet_id === undefined ? entity("user", event.user_id) : entity("tweet", event.tweet_id);
}

/** Returns within what sequences are comparable: a stream partition, but not for a dead letter that was replayed. */
const scopeOf = (event) => (event.delivered_by === "dead-letter" ? 0 : event.stream_partition);

/** Returns a value with the place of its event in time. */
function stamped(event, value) {
  return { at: event.event_at, sequence: event.delivered_by === "dead-letter" ? 0 : event.sequence, value };
}

const compare = (a, b) => (a > b) - (a < b);

const compareStamped = (a, b) =>
  compare(a.at, b.at) || compare(a.sequence, b.sequence) || compare(a.value, b.value);

function keepGreatest(map, key, value, compareValues) {
  if (!map.has(key) || compareValues(value, map.get(key)) > 0) map.set(key, value);
}

/** Returns what to do with content, and the countries in which it is not shown. */
function judgement(action, countries = []) {
  const isEverywhere = countries.some((country) => EVERYWHERE.includes(country));
  return { action: isEverywhere && action === "show" ? "hide" : action, withheld_in: countries };
}

/** Combines judgements of content that is shown together. */
function strictest(judged) {
  return {
    action: ACTIONS[Math.max(...judged.map(({ action }) => ACTIONS.indexOf(action)))],
    withheld_in: [...new Set(judged.flatMap(({ withheld_in }) => withheld_in))].sort(),
  };
}
