"""Writes records with header names that are not UTF-8, which the Python client refuses to write: librdkafka does it."""

import ctypes

from confluent_kafka import cimpl

UNREADABLE = b"\xff\xfe\x80"

_TIMEOUT_MS = 20_000
_END, _TOPIC, _PARTITION, _VALUE, _KEY, _FLAGS, _HEADERS = 0, 1, 3, 4, 5, 7, 10
_COPY = 2
_PRODUCER = 0
_MESSAGE_BYTES = 512


class RawProducer:
    """A producer without a transaction, whose library is never unloaded; to be closed."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._library = library = ctypes.CDLL(cimpl.__file__)  # finds what the extension is linked with
        for make in (library.rd_kafka_conf_new, library.rd_kafka_new, library.rd_kafka_headers_new):
            make.restype = ctypes.c_void_p
        problem = ctypes.create_string_buffer(_MESSAGE_BYTES)
        conf = ctypes.c_void_p(library.rd_kafka_conf_new())
        size = ctypes.c_size_t(_MESSAGE_BYTES)
        assert library.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap_servers.encode(), problem, size) == 0, (
            problem.value
        )
        self._handle = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, conf, problem, size))
        assert self._handle.value is not None, problem.value

    def write(self, topic: str, partition: int, key: bytes, value: bytes, names: list[bytes]) -> None:
        """Write a record whose headers have these names; `close` waits until Kafka has it."""
        library = self._library
        headers = ctypes.c_void_p(library.rd_kafka_headers_new(ctypes.c_size_t(len(names))))
        for name in names:
            library.rd_kafka_header_add(headers, name, ctypes.c_ssize_t(len(name)), b"v", ctypes.c_ssize_t(1))
        told = library.rd_kafka_producev(
            self._handle,
            *(_TOPIC, ctypes.c_char_p(topic.encode())),
            *(_PARTITION, ctypes.c_int32(partition)),
            *(_FLAGS, ctypes.c_int(_COPY)),
            *(_VALUE, ctypes.c_char_p(value), ctypes.c_size_t(len(value))),
            *(_KEY, ctypes.c_char_p(key), ctypes.c_size_t(len(key))),
            *(_HEADERS, headers),
            _END,
        )
        assert told == 0

    def close(self) -> None:
        """Wait until all is written, and end."""
        assert self._library.rd_kafka_flush(self._handle, _TIMEOUT_MS) == 0
        self._library.rd_kafka_destroy(self._handle)
