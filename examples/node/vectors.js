// Runs the vectors of docs/vectors on ComplianceState: `node vectors.js [FOLDER]`.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";

import { ComplianceState } from "./state.js";

const FOLDER = fileURLToPath(new URL("../../docs/vectors", import.meta.url));

/** Yields what comes out other than a case expects, with its events in that order. */
function* failuresOf(vector, order) {
  const state = new ComplianceState();
  for (const position of order) state.apply(vector.events[position]);
  for (const tweet of vector.tweets ?? []) {
    const expected = expectedOf(tweet);
    const got = state.tweet(tweet);
    const bothDelete = got.action === "delete" && expected.action === "delete"; // then nothing else matters
    if (!bothDelete && !isDeepStrictEqual(got, expected)) {
      yield `Tweet ${tweet.tweet_id}: ${JSON.stringify(got)}, not ${JSON.stringify(expected)}`;
    }
  }
  for (const user of vector.profiles ?? []) {
    const profile = state.profile(user.user_id);
    if (!isDeepStrictEqual(profile, user.expect)) yield `user ${user.user_id}: ${JSON.stringify(profile)}`;
  }
  for (const like of vector.likes ?? []) {
    const action = state.like(like);
    if (action !== like.expect) yield `like of ${like.tweet_id} by ${like.user_id}: ${action}`;
  }
}

/** Returns what is expected of a Tweet, with the defaults of what its vector leaves out. */
function expectedOf({ expect, quoted }) {
  const shown = { action: "show", withheld_in: [] };
  const expected = { ...shown, location: "keep", ...expect };
  return quoted ? { ...expected, quoted: { ...shown, ...expect.quoted } } : expected;
}

/** Returns the orders of its events in which a case is to be played. */
function ordersOf({ events, orders }) {
  return orders === "any" ? permutationsOf([...events.keys()]) : orders;
}

function permutationsOf(items) {
  if (items.length === 0) return [[]];
  return items.flatMap((first) =>
    permutationsOf(items.filter((item) => item !== first)).map((rest) => [first, ...rest]),
  );
}

function main(folder) {
  let [cases, plays, failures] = [0, 0, 0];
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".json")).sort()) {
    for (const vector of JSON.parse(readFileSync(join(folder, file), "utf8"))) {
      cases += 1;
      for (const order of ordersOf(vector)) {
        plays += 1;
        for (const text of failuresOf(vector, order)) {
          failures += 1;
          console.log(`${basename(file, ".json")}/${vector.name} [${order}]: ${text}`);
        }
      }
    }
  }
  console.log(`${cases} cases, ${plays} orders, ${failures} failures`);
  process.exitCode = failures > 0 || plays === 0 ? 1 : 0;
}

main(process.argv[2] ?? FOLDER);
