"""IoT Core on Greengrass Lite: nothing is kept, little is in flight, and success says only that it was sent.

The limits were observed at the real daemons, with topic ``inspect/r``: its QoS 1 PUBLISH packets have 16 bytes
besides the payload (15 where the payload has fewer than 115).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import awsiot.greengrasscoreipc.model as m
import pytest
from awsiot.eventstreamrpc import ConnectionClosedError, StreamClosedError
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from paho.mqtt.client import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cloud_bench import EMBEDDED, MOSQUITTO, Cloud, Observer, running_cloud
from edgehost.faults import FaultError
from edgehost.profile import LITE
from edgehost.thread import run_in_thread
from ipc_bench import Bench, Inbox
from mosquitto_broker import until
from mute_broker import PUBLISH, SUBSCRIBE, UNSUBSCRIBE, MuteBroker

TOPIC = "inspect/r"
ALL_BROKERS = pytest.mark.parametrize("broker", [EMBEDDED, MOSQUITTO])
MAX_IN_FLIGHT = 10
LARGEST = 7_311


@pytest.fixture
def broker() -> str:
    """The kind of broker; tests that need no particular one run with both."""
    return MOSQUITTO


@pytest.fixture
def cloud(tmp_path: Path, broker: str) -> Iterator[Cloud]:
    """A host that plays Lite."""
    with running_cloud(tmp_path, broker, LITE) as cloud:
        yield cloud


@pytest.fixture
def mute() -> Iterator[MuteBroker]:
    """A frozen broker."""
    broker = MuteBroker()
    yield broker
    broker.close()


@pytest.fixture
def bench(tmp_path: Path, mute: MuteBroker) -> Iterator[Bench]:
    """A host that plays Lite, connected to the frozen broker."""
    with run_in_thread(tmp_path / "root", profile=LITE, broker=mute.url) as threaded:
        threaded.call(threaded.host.iot_core.online.wait(), 10)
        with ExitStack() as exit_stack:
            yield Bench(threaded, exit_stack)


def publish(
    client: GreengrassCoreIPCClientV2, payload: bytes = b"x", qos: str = "1", topic: str = TOPIC
) -> None:
    client.publish_to_iot_core(topic_name=topic, qos=qos, payload=payload)


def is_refused(client: GreengrassCoreIPCClientV2, payload: bytes = b"x") -> bool:
    """Whether a publish with QoS 1 fails as it does where there is no room."""
    try:
        publish(client, payload)
    except m.ServiceError:
        return True
    return False


def accepted(client: GreengrassCoreIPCClientV2, payload: bytes = b"x") -> int:
    """How many more messages are taken."""
    count = 0
    while not is_refused(client, payload):
        count += 1
        assert count <= MAX_IN_FLIGHT
    return count


@ALL_BROKERS
def test_publish_reaches_the_broker_in_order(cloud: Cloud) -> None:
    """A burst at QoS 0, each once, in the order in which they were accepted."""
    observer = cloud.observer("inspect/#")
    client = cloud.bench.client("com.a")
    sent = [b"\x00\xff" + str(number).encode() for number in range(200)]
    for payload in sent:
        publish(client, payload, "0")
    assert observer.wait_for(len(sent)) == sent
    assert {message.topic for message in observer.messages} == {TOPIC}


@ALL_BROKERS
def test_acknowledged_messages_make_room(cloud: Cloud) -> None:
    """As many at QoS 1 as there are, one after the other."""
    observer = cloud.observer("inspect/#")
    client = cloud.bench.client("com.a")
    sent = [str(number).encode().zfill(LARGEST) for number in range(3 * MAX_IN_FLIGHT)]
    for count, payload in enumerate(sent, 1):
        until(lambda payload=payload: not is_refused(client, payload), "there is room")
        assert observer.wait_for(count)[-1] == payload


def test_one_byte_more_than_the_largest_costs_the_ipc_connection(bench: Bench) -> None:
    """It makes the request's frame too long; the client must be built anew."""
    token = bench.token("com.a")
    doomed = GreengrassCoreIPCClientV2(
        client=connect(ipc_socket=str(bench.host.socket_path), authtoken=token, timeout=10)
    )
    publish(doomed, bytes(LARGEST), "0")
    with pytest.raises((StreamClosedError, ConnectionClosedError)):
        publish(doomed, bytes(LARGEST + 1), "0")
    with pytest.raises((ConnectionClosedError, RuntimeError)):  # the latter where awscrt knows before the SDK
        publish(doomed, b"small")
    publish(bench.client("com.a"), b"small")


@ALL_BROKERS
def test_offline_both_operations_are_refused_at_once(cloud: Cloud, inbox: Inbox) -> None:
    """Whatever the quality of service, and nothing of it is sent afterwards."""
    client = cloud.bench.client("com.a")
    cloud.stop_broker()
    assert cloud.host.iot_core.spool is None
    for qos in ("0", "1"):
        with pytest.raises(m.ServiceError):
            publish(client, b"lost", qos)
    with pytest.raises(m.ServiceError):
        client.subscribe_to_iot_core(topic_name=TOPIC, qos="1", **inbox.handlers())
    cloud.start_broker()
    cloud.wait_online()
    observer = cloud.observer()
    publish(client, b"sent")
    assert observer.wait_for(1) == [b"sent"]
    assert inbox.is_empty()


def test_frozen_broker_takes_ten_of_qos_1_and_all_of_qos_0(bench: Bench, mute: MuteBroker) -> None:
    """Success says that it was sent, no more; subscriptions too."""
    client, inbox = bench.client("com.a"), Inbox()
    assert accepted(client) == MAX_IN_FLIGHT
    for _ in range(2 * MAX_IN_FLIGHT):
        publish(client, qos="0")
    client.subscribe_to_iot_core(topic_name=TOPIC, qos="1", **inbox.handlers())
    until(lambda: len(mute.packets(PUBLISH)) == 3 * MAX_IN_FLIGHT, "the packets were sent")
    until(lambda: len(mute.packets(SUBSCRIBE)) == 1, "the subscription was sent")
    assert is_refused(client)


def test_what_counts_is_the_serialized_packet(bench: Bench, mute: MuteBroker) -> None:
    """Ten packets of 1,500 bytes fit exactly: header, topic, packet id and 1,484 bytes of payload."""
    client = bench.client("com.a")
    assert accepted(client, bytes(1_484)) == MAX_IN_FLIGHT
    until(lambda: len(mute.packets(PUBLISH)) == MAX_IN_FLIGHT, "the packets were sent")
    assert {len(packet) for packet in mute.packets(PUBLISH)} == {1_500}
    assert len(b"".join(mute.packets(PUBLISH))) == 15_000


@pytest.mark.parametrize(("payload_bytes", "fits"), [(330, True), (331, False)])
def test_fifteen_thousand_bytes_and_not_one_more(bench: Bench, payload_bytes: int, fits: bool) -> None:
    """Two of the largest messages leave 346 bytes."""
    client = bench.client("com.a")
    publish(client, bytes(LARGEST))
    publish(client, bytes(LARGEST))
    assert is_refused(client, bytes(payload_bytes)) is not fits


def test_each_overflow_costs_a_slot(bench: Bench) -> None:
    """A message that finds a slot but no bytes is refused, and its slot is lost."""
    client = bench.client("com.a")
    publish(client, bytes(LARGEST))
    publish(client, bytes(LARGEST))
    for _ in range(5):
        assert is_refused(client, bytes(LARGEST))
    assert accepted(client) == MAX_IN_FLIGHT - 2 - 5


def test_lost_slots_come_back_with_the_next_connection(cloud: Cloud) -> None:
    """Acknowledgements do not bring them back; what was in flight is forgotten at the same time."""
    client = cloud.bench.client("com.a")
    cloud.mosquitto.freeze()
    publish(client, bytes(LARGEST))
    publish(client, bytes(LARGEST))
    for _ in range(5):
        assert is_refused(client, bytes(LARGEST))
    thaw(cloud, client)
    cloud.mosquitto.freeze()
    assert accepted(client) == MAX_IN_FLIGHT - 5
    cloud.mosquitto.kill()
    cloud.wait_offline()
    cloud.mosquitto.start()
    cloud.wait_online()
    cloud.mosquitto.freeze()
    assert accepted(client) == MAX_IN_FLIGHT
    cloud.mosquitto.thaw()


def thaw(cloud: Cloud, client: GreengrassCoreIPCClientV2) -> None:
    """Go on, and wait until everything is acknowledged: PUBACKs come in the order of the messages."""
    cloud.mosquitto.thaw()
    inbox = Inbox()
    client.subscribe_to_iot_core(topic_name="last", qos="0", **inbox.handlers())
    publish(client, b"last", "0", "last")
    assert inbox.next().message.payload == b"last"


def test_what_was_not_acknowledged_is_discarded_on_reconnect(bench: Bench, mute: MuteBroker) -> None:
    """The next connection sends none of it again, the slots are free, and nobody waits any more."""
    client = bench.client("com.a")
    tasks = bench.call(count_tasks())
    assert accepted(client) == MAX_IN_FLIGHT
    until(lambda: len(mute.packets(PUBLISH)) == MAX_IN_FLIGHT, "the packets were sent")
    mute.hang_up()
    until(lambda: len(mute.connections) == 2, "the host connects again")
    bench.call(bench.host.iot_core.online.wait(), 10)
    publish(client, b"new", "0")
    until(lambda: len(mute.packets(PUBLISH)) == 1, "the next message was sent")
    assert mute.packets(PUBLISH)[0].endswith(b"new")
    until(lambda: bench.call(count_tasks()) <= tasks, "the tasks of the old connection ended")
    assert accepted(client) == MAX_IN_FLIGHT


async def count_tasks() -> int:
    return len(asyncio.all_tasks())


def test_last_subscription_with_a_filter_is_unsubscribed(bench: Bench, mute: MuteBroker) -> None:
    """Not the one before it; and the next connection subscribes to none of them again."""
    client = bench.client("com.a")
    operations = [
        client.subscribe_to_iot_core(topic_name=topic, qos="1", **Inbox().handlers())[1] for topic in "aab"
    ]
    operations[0].close().result(10)
    operations[2].close().result(10)
    until(lambda: len(mute.packets(UNSUBSCRIBE)) == 1, "one is unsubscribed")
    assert mute.packets(UNSUBSCRIBE)[0].endswith(b"b")
    operations[1].close().result(10)
    until(lambda: len(mute.packets(UNSUBSCRIBE)) == 2, "the other is unsubscribed")
    assert mute.packets(UNSUBSCRIBE)[1].endswith(b"a")
    mute.hang_up()
    until(lambda: len(mute.connections) == 2, "the host connects again")
    bench.call(bench.host.iot_core.online.wait(), 10)
    publish(client, qos="0")
    until(lambda: len(mute.packets(PUBLISH)) == 1, "the message was sent")
    assert mute.packets(SUBSCRIBE) == []


def test_clean_session(cloud: Cloud, inbox: Inbox) -> None:
    """What others send while the device is away is lost, though it had subscribed."""
    cloud.bench.client("com.a").subscribe_to_iot_core(topic_name=TOPIC, qos="1", **inbox.handlers())
    observer = cloud.observer()
    cloud.bench.call(broker_down(cloud))
    cloud.wait_offline()
    observer.publish(TOPIC, b"lost")
    cloud.bench.call(clear_faults(cloud))
    until_heard(inbox, observer, b"heard")


def until_heard(inbox: Inbox, observer: Observer, payload: bytes) -> None:
    """Publish until the first is heard: the host is online before its subscriptions are made again."""

    def heard() -> bool:
        observer.publish(TOPIC, payload)
        return not inbox.is_empty()

    until(heard, "it is heard")
    assert inbox.next().message.payload == payload


async def broker_down(cloud: Cloud) -> None:
    cloud.host.faults.broker_down(60)


async def clear_faults(cloud: Cloud) -> None:
    cloud.host.faults.clear()


@ALL_BROKERS
def test_subscriptions_survive_a_reconnect(cloud: Cloud, inbox: Inbox) -> None:
    """They are made again, unless their stream was closed meanwhile."""
    client, closed = cloud.bench.client("com.a"), Inbox()
    client.subscribe_to_iot_core(topic_name=TOPIC, qos="1", **inbox.handlers())
    _, operation = client.subscribe_to_iot_core(topic_name="other", qos="1", **closed.handlers())
    cloud.stop_broker()
    operation.close().result(10)
    cloud.start_broker()
    cloud.wait_online()
    observer = cloud.observer()
    until_heard(inbox, observer, b"x")
    observer.publish("other", b"y")
    observer.publish(TOPIC, b"z")
    until(lambda: inbox.next().message.payload == b"z", "it hears what came after")
    assert closed.is_empty()


@ALL_BROKERS
def test_broker_down_fault(cloud: Cloud, inbox: Inbox) -> None:
    """While it lasts there is no broker; afterwards there is, without its help."""
    client = cloud.bench.client("com.a")
    client.subscribe_to_iot_core(topic_name=TOPIC, qos="1", **inbox.handlers())
    cloud.bench.call(broker_down(cloud))
    cloud.wait_offline()
    assert is_refused(client)
    cloud.bench.call(clear_faults(cloud))
    cloud.wait_online()
    assert not is_refused(client)
    until_heard(inbox, cloud.observer(), b"x")


def test_there_is_no_spool_to_fill(cloud: Cloud) -> None:
    """The fault says so."""
    with pytest.raises(FaultError, match="no spool"):
        cloud.host.faults.spool_full(1)


@ALL_BROKERS
def test_event_has_topic_and_payload_only(cloud: Cloud) -> None:
    """As captured: {"message":{"topicName":"thing1/up","payload":"eA=="}}."""
    raw = cloud.bench.raw()
    raw.connect(cloud.bench.token("com.a"))
    raw.request(1, "SubscribeToIoTCore", b'{"topicName": "thing1/up", "qos": "1"}')
    cloud.observer().publish("thing1/up", b"x")
    frame = raw.receive()
    assert frame.headers["service-model-type"] == "aws.greengrass#IoTCoreMessage"
    assert json.loads(frame.payload) == {"message": {"topicName": "thing1/up", "payload": "eA=="}}


def mqtt5_properties() -> dict[str, Any]:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("a", "1")]
    properties.ContentType = "text/plain"
    return {"properties": properties}


def test_mqtt5_properties_are_ignored_both_ways(cloud: Cloud) -> None:
    """With a broker that would pass them on, they neither go out nor come in."""
    raw = cloud.bench.raw()
    raw.connect(cloud.bench.token("com.a"))
    raw.request(1, "SubscribeToIoTCore", b'{"topicName": "in", "qos": "1"}')
    observer = cloud.observer("out", MQTTProtocolVersion.MQTTv5)
    observer.publish("in", b"x", **mqtt5_properties())
    assert json.loads(raw.receive().payload) == {"message": {"topicName": "in", "payload": "eA=="}}
    cloud.bench.client("com.b").publish_to_iot_core(
        topic_name="out",
        qos="1",
        payload=b"y",
        content_type="text/plain",
        user_properties=[m.UserProperty(key="a", value="1")],
    )
    assert observer.wait_for(1) == [b"y"]
    assert observer.messages[0].properties.json() == {}


@ALL_BROKERS
def test_retain_is_ignored(cloud: Cloud) -> None:
    """Who subscribes later hears nothing of it."""
    first = cloud.observer()
    client = cloud.bench.client("com.a")
    client.publish_to_iot_core(topic_name="state", qos="1", payload=b"up", retain=True)
    first.wait_for(1)
    late = cloud.observer("state")
    publish(client, b"after", topic="state")
    assert late.wait_for(1) == [b"after"]


@ALL_BROKERS
def test_each_subscription_is_made_at_the_broker(cloud: Cloud) -> None:
    """A second one with the same filter brings the retained message again, to both."""
    cloud.observer().publish("state", b"up", retain=True)
    inboxes = Inbox(), Inbox()
    for number, inbox in enumerate(inboxes):
        client = cloud.bench.client(f"com.{number}")
        client.subscribe_to_iot_core(topic_name="state", qos="1", **inbox.handlers())
        assert inbox.next().message.payload == b"up"
    assert inboxes[0].next().message.payload == b"up"


@ALL_BROKERS
def test_overlapping_subscriptions_hear_each_message_once(cloud: Cloud) -> None:
    """One filter within the other: each hears a message that both cover one time; one ends, the other goes on."""
    narrow, wide = Inbox(), Inbox()
    client = cloud.bench.client("com.a")
    _, operation = client.subscribe_to_iot_core(topic_name="a/b", qos="1", **narrow.handlers())
    client.subscribe_to_iot_core(topic_name="a/#", qos="1", **wide.handlers())
    observer = cloud.observer()
    for payload in (b"1", b"2"):
        observer.publish("a/b", payload)
    for inbox in (narrow, wide):
        assert {inbox.next().message.payload for _ in range(2)} == {b"1", b"2"}
    operation.close().result(10)
    observer.publish("a/b", b"3")
    assert wide.next().message.payload == b"3"
    assert (narrow.is_empty(), wide.is_empty()) == (True, True)


@ALL_BROKERS
def test_inbound_packets_of_more_than_5000_bytes_never_arrive(cloud: Cloud, inbox: Inbox) -> None:
    """Header, topic, packet id and payload: on topic "t" at QoS 1, 4,992 bytes of payload are the most."""
    cloud.bench.client("com.a").subscribe_to_iot_core(topic_name="t", qos="1", **inbox.handlers())
    observer = cloud.observer()
    for payload_bytes in (4_993, 4_992):
        observer.publish("t", bytes(payload_bytes))
    assert len(inbox.next().message.payload) == 4_992
    observer.publish("t", b"last")
    assert inbox.next().message.payload == b"last"


@pytest.mark.parametrize("topic", ["inspect/#", "inspect/+/r"])
def test_publishing_to_a_wildcard_costs_the_connection(bench: Bench, mute: MuteBroker, topic: str) -> None:
    """Lite doesn't look, and a broker hangs up; the answer was success."""
    client = bench.client("com.a")
    publish(client, topic=topic)
    until(lambda: len(mute.connections) == 2, "the host connects again")


def test_forbidden_filter_costs_the_connection_again_and_again(
    bench: Bench, mute: MuteBroker, inbox: Inbox
) -> None:
    """It was answered with success, and is made again with every connection until its stream is closed."""
    client = bench.client("com.a")
    _, operation = client.subscribe_to_iot_core(topic_name="a#", qos="1", **inbox.handlers())
    until(lambda: len(mute.connections) >= 3, "the host connects again and again")
    operation.close().result(10)
    until(lambda: not is_refused(client), "the host is online")
