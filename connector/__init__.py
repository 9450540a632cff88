"""X compliance streams in, Avro events on per-type Kafka topics out."""

__version__ = "0.1.0"
