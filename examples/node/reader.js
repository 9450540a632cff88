// Prints every compliance event as a line of JSON: `node reader.js`.
//
// Takes from the environment KAFKA (brokers), REGISTRY (URL), PREFIX (default x.compliance), GROUP (default
// example-node) and IDLE_EXIT_S, after how many seconds without an event to stop (default: never).

import { SchemaRegistry } from "@kafkajs/confluent-schema-registry";
import { decompress } from "fzstd";
import kafkajs from "kafkajs";

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
const { KAFKA, REGISTRY, PREFIX = "x.compliance", GROUP = "example-node", IDLE_EXIT_S = "Infinity" } = process.env;
const REMEMBERED = 100_000;

// KafkaJS itself knows gzip alone. From Node 22.15 on, zstdDecompressSync of node:zlib would do as well.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({ decompress: async (bytes) => Buffer.from(decompress(bytes)) });

/** The latest events, to leave out what comes again. */
class Seen {
  #ids = new Set();

  /** Returns whether an event comes for the first time. */
  isNew(id) {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    if (this.#ids.size > REMEMBERED) this.#ids.delete(this.#ids.values().next().value);
    return true;
  }
}

/** Does what is to be done about an event; here, prints it. */
function handle(topic, key, event) {
  console.log(JSON.stringify({ topic, key, ...event }));
}

async function main() {
  if (!KAFKA || !REGISTRY) throw new Error("KAFKA (brokers) and REGISTRY (URL) must be set");
  const registry = new SchemaRegistry({ host: REGISTRY });
  const kafka = new Kafka({ brokers: KAFKA.split(","), logLevel: logLevel.WARN });
  // readUncommitted is false unless set. Even so, where transactions overlap, KafkaJS 2.2.4 shows records of some that
  // were aborted. The connector publishes their events once more, with the same event_id: leave out what comes again.
  const consumer = kafka.consumer({ groupId: GROUP, retry: { restartOnFailure: async () => false } });
  const seen = new Seen();
  let lastMs = performance.now();

  // Events of all streams, and not the results of batch runs, whose fields are others.
  const prefix = PREFIX.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  await consumer.connect();
  await consumer.subscribe({ topics: [new RegExp(`^${prefix}\\.(tweet|user|like|label)\\.`)], fromBeginning: true });
  consumer.on(consumer.events.CRASH, () => process.exit(1)); // KafkaJS has logged why
  await consumer.run({
    // KafkaJS commits the offsets of what this has returned from: a crash repeats events and loses none.
    eachMessage: async ({ topic, message }) => {
      const event = await registry.decode(message.value);
      if (seen.isNew(event.event_id)) handle(topic, message.key.toString(), event);
      lastMs = performance.now();
    },
  });

  const stop = () => {
    clearInterval(watch);
    return consumer.disconnect();
  };
  const watch = setInterval(() => {
    if (performance.now() - lastMs > 1000 * IDLE_EXIT_S) stop();
  }, 500);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);
}

try {
  await main();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
