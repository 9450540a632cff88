"""What librdkafka reports about a producer at each `statistics.interval.ms` (librdkafka, STATISTICS.md). Pure."""

from dataclasses import dataclass

import msgspec

from connector.events.times import US_PER_S


@dataclass(frozen=True, slots=True)
class ProducerStatistics:
    """One producer at one moment; the counts are since it was made.

    `round_trip_s` is the average of the slowest broker in the latest interval; 0 without requests.
    """

    queue_messages: int = 0
    queue_bytes: int = 0
    round_trip_s: float = 0.0
    transmit_retries: int = 0
    transmit_errors: int = 0


class _Window(msgspec.Struct):
    avg: int = 0


class _Broker(msgspec.Struct):
    txretries: int = 0
    txerrs: int = 0
    rtt: _Window = msgspec.field(default_factory=_Window)


class _Client(msgspec.Struct):
    msg_cnt: int = 0
    msg_size: int = 0
    brokers: dict[str, _Broker] = msgspec.field(default_factory=dict)


_DECODER = msgspec.json.Decoder(_Client)


def read_statistics(text: str | bytes) -> ProducerStatistics | None:
    """Return the figures from librdkafka's JSON, or None if it cannot be read: no reason to stop a producer."""
    try:
        client = _DECODER.decode(text)
    except msgspec.DecodeError:
        return None
    brokers = client.brokers.values()
    return ProducerStatistics(
        client.msg_cnt,
        client.msg_size,
        max((broker.rtt.avg for broker in brokers), default=0) / US_PER_S,
        sum(broker.txretries for broker in brokers),
        sum(broker.txerrs for broker in brokers),
    )
