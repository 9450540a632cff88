// Prints as JSON what the official AsyncAPI parser says of the document on stdin, and its Avro parser of the payloads.

import { text } from "node:stream/consumers";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";
import { Parser } from "@asyncapi/parser";

const WARNING = 1;
const source = await text(process.stdin);
const avro = AvroSchemaParser();
const parser = new Parser();
parser.registerSchemaParser(avro);

const { document, diagnostics } = await parser.parse(source);
const problems = diagnostics
  .filter(({ severity }) => severity <= WARNING)
  .map(({ code, path, message }) => `${code} at ${path.join("/")}: ${message}`);
for (const [name, { payload }] of Object.entries(JSON.parse(source).components.messages)) {
  if (avro.getMimeTypes().includes(payload.schemaFormat)) {
    const found = await avro.validate({ data: payload.schema, path: ["components", "messages", name, "payload"] });
    problems.push(...found.map(({ path, message }) => `avro at ${path.join("/")}: ${message}`));
  }
}
console.log(JSON.stringify({ channels: document?.channels().all().map((channel) => channel.id()) ?? [], problems }));
