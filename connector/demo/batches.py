"""The demo's store, which publishes what it holds, and the batch runs about it, as `connector batch run` makes them.

Must not know what was lost, or what the results should be.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from confluent_kafka import Producer

from connector.batch.command import Report, Request, run_batch
from connector.batch.holdings import HeldIds
from connector.batch.publish import publishing
from connector.errors import DependencyUnavailableError
from connector.events.batch import BY_JOB_TYPE
from connector.kafka.clients import make, recorder_config
from connector.kafka.cluster import Cluster
from connector.kafka.topics import TopicNames
from connector.kafka.verify import verify_holdings
from connector.settings import KafkaSettings, RunSettings
from connector.x.batch_api import BatchApi, JobType

_FLUSH_LIMIT_S = 15.0
_MOST_WAITING = 50_000
"""Records that wait in the producer, which takes 100,000."""


class _Silent:
    """The demo shows the result of a run, not its progress."""

    def say(self, text: str) -> None:
        pass

    def show(self, text: str) -> None:
        pass


def hold(settings: KafkaSettings, ids: Mapping[JobType, Iterable[str]]) -> None:
    """Write to the holdings topic, as a store does. Raises `DependencyUnavailableError`."""
    topic = TopicNames(settings.topic_prefix).holdings
    producer = make(Producer, recorder_config(settings))
    for number, key in enumerate((f"{BY_JOB_TYPE[kind].entity}:{each}" for kind in ids for each in ids[kind]), 1):
        producer.produce(topic, b"{}", key)
        if number % _MOST_WAITING == 0:
            producer.flush(_FLUSH_LIMIT_S)
    if left := producer.flush(_FLUSH_LIMIT_S):
        raise DependencyUnavailableError(f"the broker does not take what is held: {left:,} records are left")


def run_batch_of(kind: JobType, settings: RunSettings, limit_s: float) -> Report:
    """Ask X about all held ids, publish the results and the gaps they make up for, and return the report.

    Raises what `run_batch` and `publishing` do.
    """
    verify_holdings(settings.kafka, Cluster(settings.kafka))
    with TemporaryDirectory(prefix="connector-demo-", ignore_cleanup_errors=True) as folder:
        ids = HeldIds(settings.kafka, kind, skip_invalid=False)
        request = Request(kind=kind, ids=ids, results=None, folder=Path(folder) / kind, covers_all=True)
        with BatchApi(settings.x) as api, publishing(request, settings, _Silent()) as bus:
            return run_batch(bus.request, bus.tools(api, limit_s, _Silent()))
