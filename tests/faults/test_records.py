"""Records that do not fit, a registry that is away, replicas that disagree on streams: the rest flows."""

import json
import string

import httpx
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.faults.stage import Stage
from tests.rig.process import free_port, wait_until
from tests.rig.proxy import TcpProxy
from tests.rig.service import STREAM_PARTITIONS
from tests.rig.session import SchemaRegistry

_LINE_LIMIT = 512 * 1024
_LOWERED_BYTES = 20_000
_PLACE = ("user", 2)
_ANSWER_S = 30.0
_CHARACTERS = string.ascii_letters + string.digits
_TAKE_OVER_S = 11.0 + 25.0
"""A killed replica may leave a transaction open, which Kafka ends after 15 s and up to 10 s more."""
_TOO_LARGE = "record: over its topic's limit"
_REFUSED = "record: refused by Kafka among those of others"
_AWAY = "registry: away at a take-over"
_DIFFERENT = "replicas: different streams"


@pytest.mark.long
@pytest.mark.fires(_TOO_LARGE)
def test_record_over_a_lowered_topic_limit_is_a_dead_letter(stage: Stage) -> None:
    """A line just under the limit passes; where the topic takes less, that record is kept apart and the rest flows."""
    before = stage.start("before")
    stage.await_owned()
    stage.emit_steadily()
    stage.simulator.emit_line(*_PLACE, _profile_line(stage, _LINE_LIMIT - 1), "event")
    stage.await_caught_up()
    before.leave()
    _lower_limit(stage.bootstrap_servers, f"{stage.prefix}.user.profile-modification")
    stage.simulator.emit_line(*_PLACE, _profile_line(stage, 3 * _LOWERED_BYTES), "over the topic's limit")
    stage.simulator.emit_line(*_PLACE, _profile_line(stage, _LOWERED_BYTES // 2), "event")
    stage.start("after")
    history = stage.conclude()
    assert [letter.headers["reason"] for letter in history.dead_letters] == ["unencodable"]
    stage.note(_TOO_LARGE)


@pytest.mark.fires(_REFUSED)
def test_record_that_kafka_refuses_is_the_trouble_of_its_own_partition_alone(stage: Stage) -> None:
    """The limit is lowered under a running replica: one stream partition begins again, and knows the limit then."""
    replica = stage.start("running")
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    _lower_limit(stage.bootstrap_servers, f"{stage.prefix}.user.profile-modification")
    stage.emit_on(STREAM_PARTITIONS)
    stage.simulator.emit_line(*_PLACE, _profile_line(stage, 3 * _LOWERED_BYTES), "over the topic's limit")
    stage.emit_on(STREAM_PARTITIONS)
    wait_until(lambda: replica.probe.metric("lines_dead_lettered_total") == 1, "it is a dead letter")
    stage.note(_REFUSED)
    history = stage.conclude()
    assert [letter.headers["reason"] for letter in history.dead_letters] == ["unencodable"]
    assert replica.restarted() == {"unresolved": {_PLACE}}
    assert stage.unsound() == {}


def _address(registry: SchemaRegistry) -> str:
    return httpx.URL(registry.url).netloc.decode()


def _profile_line(stage: Stage, size: int) -> bytes:
    """Return a line of exactly that many bytes, which no compression makes much smaller."""
    body = {"event_at": "2026-01-01T00:00:00Z", "user": {"id": str(size)}, "profile_field": "profile.name"}
    frame = json.dumps({"data": {"user_profile_modification": {**body, "new_value": ""}}})
    value = "".join(stage.random.choices(_CHARACTERS, k=size - len(frame)))
    return json.dumps({"data": {"user_profile_modification": {**body, "new_value": value}}}).encode()


def _lower_limit(bootstrap_servers: str, topic: str) -> None:
    entry = ConfigEntry("max.message.bytes", str(_LOWERED_BYTES), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.incremental_alter_configs([resource])[resource].result(_ANSWER_S)


@pytest.mark.long
@pytest.mark.fires(_AWAY)
def test_registry_unavailable_holds_up_neither_a_take_over_nor_a_start(stage: Stage, registry: SchemaRegistry) -> None:
    """A start finds the schema ids recorded and says that the registry is away, and later that it confirmed them."""
    with TcpProxy(free_port(), _address(registry)) as proxy:
        through_proxy = {"url": registry.url.replace(_address(registry), proxy.address)}
        first = stage.start("first")
        stage.await_owned()
        stage.emit_steadily()
        neighbour = stage.start("neighbour", schema_registry=through_proxy)
        wait_until(lambda: bool(neighbour.running()), "the neighbour has a share")
        proxy.go_away()
        first.kill()
        stage.await_owned(_TAKE_OVER_S)
        stage.await_caught_up()
        late = stage.start("late", schema_registry=through_proxy)
        wait_until(lambda: bool(late.running()), "the newcomer has a share")
        assert late.process.logged("registry_unavailable")
        assert late.probe.metric("registry_unavailable") == 1
        stage.note(_AWAY)
        proxy.come_back()
        wait_until(lambda: late.probe.metric("registry_unavailable") == 0, "the registry has confirmed the ids")
        stage.conclude()


@pytest.mark.long
@pytest.mark.fires(_DIFFERENT)
def test_partition_of_a_stream_that_is_off_goes_to_a_replica_that_reads_it(stage: Stage) -> None:
    """A replica without likes and labels is given neither; one with all streams works them, and shares the rest."""
    some = stage.start("some", x={"streams": "tweet,user"})
    stage.await_owned(partitions=8)
    stage.start("all")
    stage.await_owned()
    assert {"like/1", "label/1"} <= stage.up[1].running()
    stage.note(_DIFFERENT)
    some.leave()
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    stage.conclude()
