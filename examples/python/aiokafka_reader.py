"""Print every compliance event as a line of JSON, with asyncio: `python aiokafka_reader.py`.

Needs `aiokafka[zstd]`, `fastavro` and `httpx`. Takes from the environment what `reader.py` takes; `GROUP` is
`example-aiokafka` unless set.
"""

import asyncio
import io
import json
import os
import re
import sys
from typing import Any

import fastavro
import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord

PREFIX = os.environ.get("PREFIX", "x.compliance")
IDLE_EXIT_S = float(os.environ.get("IDLE_EXIT_S", "inf"))
BATCH = 500


class Decoder:
    """Decodes values in the Confluent wire format, with the schemas that the registry has for their ids."""

    def __init__(self, registry: httpx.AsyncClient) -> None:
        self._registry = registry
        self._schemas: dict[int, dict[str, Any]] = {}

    async def decode(self, value: bytes) -> dict[str, Any]:
        """Return the fields of a record, with times as `datetime`."""
        if value[:1] != b"\0":
            raise ValueError(f"not in the Confluent wire format: it begins with {value[:1]!r}")
        schema = await self._schema(int.from_bytes(value[1:5], "big"))
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)

    async def _schema(self, id_: int) -> dict[str, Any]:
        if id_ not in self._schemas:
            response = await self._registry.get(f"/schemas/ids/{id_}")
            response.raise_for_status()
            self._schemas[id_] = fastavro.parse_schema(json.loads(response.json()["schema"]))
        return self._schemas[id_]


async def main() -> None:
    """Read until nothing has come for `IDLE_EXIT_S`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ.get("GROUP", "example-aiokafka"),
        isolation_level="read_committed",  # the default shows what was aborted
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    # Events of all streams, and not the results of batch runs, whose fields are others.
    consumer.subscribe(pattern=rf"^{re.escape(PREFIX)}\.(tweet|user|like|label)\.")
    loop = asyncio.get_running_loop()
    async with consumer, httpx.AsyncClient(base_url=os.environ["REGISTRY"].rstrip("/"), timeout=10) as registry:
        decoder = Decoder(registry)
        last_s = loop.time()
        while loop.time() - last_s < IDLE_EXIT_S:
            if batches := await consumer.getmany(timeout_ms=1000, max_records=BATCH):
                for records in batches.values():
                    for record in records:
                        await process(record, decoder)
                sys.stdout.flush()
                await consumer.commit()  # after the work: a crash repeats events and loses none
                last_s = loop.time()


async def process(record: ConsumerRecord, decoder: Decoder) -> None:
    """Do what is to be done about an event; here, print it."""
    event = await decoder.decode(record.value)
    print(json.dumps({"topic": record.topic, "key": record.key.decode(), **event}, default=str))


if __name__ == "__main__":
    asyncio.run(main())
