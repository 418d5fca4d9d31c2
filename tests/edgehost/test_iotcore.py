"""IoT Core on classic through a broker: amqtt inside the host, and Mosquitto by its URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import awsiot.greengrasscoreipc.model as m
import pytest

from cloud_bench import EMBEDDED, MOSQUITTO, Cloud, running_cloud
from edgehost.broker import BrokerAddress, BrokerError, EmbeddedBroker, parse_url
from edgehost.classic.iotcore import covers
from edgehost.profile import CLASSIC
from ipc_bench import Inbox
from mosquitto_broker import until


@pytest.fixture(params=[EMBEDDED, MOSQUITTO])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    """A host whose IoT Core is one broker or the other."""
    with running_cloud(tmp_path, request.param, CLASSIC) as cloud:
        yield cloud


def test_publish_reaches_the_broker_in_order(cloud: Cloud) -> None:
    """A burst at QoS 1, each once, in the order in which they were accepted."""
    observer = cloud.observer("inspect/#")
    client = cloud.bench.client("com.a")
    sent = [b"\x00\xff" + str(number).encode() for number in range(200)]
    for payload in sent:
        client.publish_to_iot_core(topic_name="inspect/line/results", qos="1", payload=payload)
    assert observer.wait_for(len(sent)) == sent
    assert {message.topic for message in observer.messages} == {"inspect/line/results"}


def test_largest_payload_passes(cloud: Cloud) -> None:
    """128 KiB is the most that IoT Core takes, and it is taken."""
    observer = cloud.observer()
    payload = bytes(range(256)) * 512
    cloud.bench.client("com.a").publish_to_iot_core(topic_name="t", qos="0", payload=payload)
    assert observer.wait_for(1) == [payload]


def test_retained_message_is_kept(cloud: Cloud, inbox) -> None:
    """Who subscribes later sees it, marked as retained."""
    first = cloud.observer()
    cloud.bench.client("com.a").publish_to_iot_core(topic_name="state", qos="1", payload=b"up", retain=True)
    first.wait_for(1)
    late = cloud.observer("state")
    assert late.wait_for(1) == [b"up"]
    assert late.messages[0].retain


def test_subscription_hears_what_comes(cloud: Cloud, inbox) -> None:
    """Through wildcards, with topic and bytes as sent, until it is closed."""
    _, operation = cloud.bench.client("com.a").subscribe_to_iot_core(
        topic_name="inspect/+/commands", qos="1", **inbox.handlers()
    )
    observer = cloud.observer()
    observer.publish("inspect/line/commands", b"\x00\xff")
    observer.publish("inspect/line/other", b"not for us")
    message = inbox.next().message
    assert (message.topic_name, message.payload, bool(message.retain)) == (
        "inspect/line/commands",
        b"\x00\xff",
        False,
    )
    operation.close().result(10)
    observer.publish("inspect/line/commands", b"too late")
    observer.wait_for(3)
    assert inbox.is_empty()


def test_overlapping_subscriptions_hear_each_message_once(cloud: Cloud) -> None:
    """Two components, one filter within the other: each hears a message that both cover one time."""
    narrow, wide = Inbox(), Inbox()
    cloud.bench.client("com.a").subscribe_to_iot_core(topic_name="a/b", qos="0", **narrow.handlers())
    cloud.bench.client("com.b").subscribe_to_iot_core(topic_name="a/#", qos="1", **wide.handlers())
    observer = cloud.observer()
    for payload in (b"1", b"2"):
        observer.publish("a/b", payload)
    assert sorted(inbox.next().message.payload for inbox in (narrow, narrow)) == [b"1", b"2"]
    assert sorted(inbox.next().message.payload for inbox in (wide, wide)) == [b"1", b"2"]
    observer.publish("a/last", b"3")
    assert wide.next().message.payload == b"3"
    assert narrow.is_empty()
    assert wide.is_empty()


def test_offline_qos_1_is_spooled_and_qos_0_refused(cloud: Cloud, inbox) -> None:
    """What was accepted while offline arrives when the broker is back, and the spool is empty then."""
    client = cloud.bench.client("com.a")
    client.subscribe_to_iot_core(topic_name="t", qos="1", **inbox.handlers())
    cloud.stop_broker()
    sent = [str(number).encode() for number in range(20)]
    for payload in sent:
        client.publish_to_iot_core(topic_name="t", qos="1", payload=payload)
    with pytest.raises(m.ServiceError) as raised:
        client.publish_to_iot_core(topic_name="t", qos="0", payload=b"x")
    assert raised.value.message == "Publish to topic t failed: Device is offline. Dropping QoS 0 message."
    assert len(cloud.host.iot_core.spool) == len(sent)
    cloud.start_broker()
    assert {inbox.next().message.payload for _ in sent} == set(sent)
    until(lambda: len(cloud.host.iot_core.spool) == 0, "the spool is empty")


def test_subscription_made_offline_waits(cloud: Cloud, inbox) -> None:
    """As on the real nucleus it neither fails nor returns before the connection is back."""
    client = cloud.bench.client("com.a")
    cloud.stop_broker()
    subscribed, _ = client.subscribe_to_iot_core_async(topic_name="t", qos="1", **inbox.handlers())
    assert client.get_configuration().component_name == "com.a"
    assert not subscribed.done()
    cloud.start_broker()
    subscribed.result(10)
    cloud.observer().publish("t", b"x")
    assert inbox.next().message.payload == b"x"


def test_subscriptions_survive_a_reconnect(cloud: Cloud, inbox) -> None:
    """The host subscribes again by itself."""
    cloud.bench.client("com.a").subscribe_to_iot_core(topic_name="t", qos="1", **inbox.handlers())
    cloud.stop_broker()
    cloud.start_broker()
    cloud.wait_online()
    cloud.observer().publish("t", b"x")
    assert inbox.next().message.payload == b"x"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Cloud]:
    """A host whose broker speaks MQTT 5 and can be frozen."""
    with running_cloud(tmp_path, MOSQUITTO, CLASSIC) as cloud:
        yield cloud


def lose_the_network(cloud: Cloud) -> None:
    async def cut() -> None:
        cloud.host.faults.broker_down(3600)

    cloud.bench.call(cut())
    cloud.wait_offline()


def find_the_network(cloud: Cloud) -> None:
    async def clear() -> None:
        cloud.host.faults.clear()

    cloud.bench.call(clear())
    cloud.wait_online()


def test_session_is_kept(mosquitto: Cloud, inbox) -> None:
    """What is sent to a device while it is away arrives when it is back."""
    mosquitto.bench.client("com.a").subscribe_to_iot_core(topic_name="t", qos="1", **inbox.handlers())
    observer = mosquitto.observer("t")
    lose_the_network(mosquitto)
    observer.publish("t", b"meanwhile")
    observer.wait_for(1)
    find_the_network(mosquitto)
    assert inbox.next().message.payload == b"meanwhile"


def test_qos_0_in_the_spool_is_given_up_when_the_network_goes(mosquitto: Cloud) -> None:
    """Of what waits behind a broker that is frozen, QoS 1 stays."""
    observer = mosquitto.observer("#")
    client = mosquitto.bench.client("com.a")
    mosquitto.mosquitto.freeze()
    for qos, payload in (("1", b"first"), ("0", b"lost"), ("1", b"second")):
        client.publish_to_iot_core(topic_name="t", qos=qos, payload=payload)
    lose_the_network(mosquitto)
    until(lambda: len(mosquitto.host.iot_core.spool) == 2, "QoS 0 is given up")
    mosquitto.mosquitto.thaw()
    find_the_network(mosquitto)
    until(lambda: len(mosquitto.host.iot_core.spool) == 0, "the spool is empty")
    observer.publish("end", b"end")
    until(lambda: observer.messages[-1].payload == b"end", "all has arrived")
    assert {message.payload for message in observer.messages} == {b"first", b"second", b"end"}


def test_full_spool_refuses(cloud: Cloud) -> None:
    """2.5 MiB, then a ServiceError with the nucleus's words."""
    client = cloud.bench.client("com.a")
    cloud.stop_broker()
    for _ in range(20):
        client.publish_to_iot_core(topic_name="t", qos="1", payload=bytes(128 * 1024))
    with pytest.raises(m.ServiceError) as raised:
        client.publish_to_iot_core(topic_name="t", qos="1", payload=b"x")
    assert raised.value.message == (
        "Publish to topic t failed: Message spool is full. Message could not be added."
    )


def test_mqtt5_properties_pass_both_ways(cloud: Cloud, inbox) -> None:
    """Through a broker that speaks MQTT 5; amqtt speaks 3.1.1, and there they are left out."""
    client = cloud.bench.client("com.a")
    client.subscribe_to_iot_core(topic_name="t", qos="1", **inbox.handlers())
    client.publish_to_iot_core(
        topic_name="t",
        qos="1",
        payload=b"x",
        user_properties=[m.UserProperty(key="a", value="1"), m.UserProperty(key="a", value="2")],
        message_expiry_interval_seconds=60,
        correlation_data=b"\x00\xff",
        response_topic="answer",
        payload_format=m.PayloadFormat.UTF8,
        content_type="text/plain",
    )
    message = inbox.next().message
    assert message.payload == b"x"
    if not cloud.is_mqtt5:
        assert message.user_properties is None
        return
    assert [(pair.key, pair.value) for pair in message.user_properties] == [("a", "1"), ("a", "2")]
    assert (message.correlation_data, message.response_topic) == (b"\x00\xff", "answer")
    assert (message.payload_format, message.content_type) == (m.PayloadFormat.UTF8, "text/plain")
    assert message.message_expiry_interval_seconds <= 60


@pytest.fixture
async def amqtt() -> AsyncIterator[BrokerAddress]:
    """The embedded broker by itself, with a retained message on state/0."""
    broker = EmbeddedBroker()
    await broker.start()
    async with aiomqtt.Client(broker.address.host, broker.address.port) as keeper:
        await keeper.publish("state/0", b"up", qos=1, retain=True)
        await keeper.subscribe("state/#", qos=1)
        yield broker.address
    await broker.stop()


async def test_retained_message_goes_to_who_asked_for_it(amqtt: BrokerAddress) -> None:
    """A client that connects hears what it subscribed to, not what others did (amqtt alone sends it that too)."""
    async with aiomqtt.Client(amqtt.host, amqtt.port) as client:
        await client.subscribe("mine", qos=1)
        await client.publish("mine", b"echo", qos=1)
        message = await asyncio.wait_for(anext(client.messages), 10)
        assert message.topic.value == "mine"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://127.0.0.1:1883", BrokerAddress("127.0.0.1", 1883)),
        ("mqtt://host", BrokerAddress("host", 1883)),
        ("mqtt://me:p%40ss@host:1", BrokerAddress("host", 1, "me", "p@ss")),
    ],
)
def test_broker_urls(url: str, address: BrokerAddress) -> None:
    """Host, port (1883 by default), user and password; the password is not shown again."""
    assert parse_url(url) == address
    assert "p%40ss" not in parse_url(url).url


@pytest.mark.parametrize("url", ["", "embeded", "http://host", "mqtts://host", "mqtt://", "mqtt://host:port"])
def test_bad_broker_urls_are_explained(url: str) -> None:
    """What is written wrong, and how to write it."""
    with pytest.raises(BrokerError, match=r"mqtt://HOST:PORT"):
        parse_url(url)


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("#", "a/b", True),
        ("a/#", "a", True),
        ("a/#", "a/+/c", True),
        ("a/+", "a/b", True),
        ("a/+", "a/#", False),
        ("+/b", "a/+", False),
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
    ],
)
def test_covering_filters(wide: str, narrow: str, covered: bool) -> None:
    """One filter covers another when every topic of the second belongs to the first."""
    assert covers(wide, narrow) is covered


@pytest.mark.parametrize("turns", range(12))
async def test_broker_stops_while_packets_come(turns: int) -> None:
    """Whenever a client's subscriptions are under way (amqtt alone waits for ever after some turns of the loop)."""
    broker = EmbeddedBroker()
    await broker.start()
    async with aiomqtt.Client(broker.address.host, broker.address.port) as client:
        subscribing = [asyncio.create_task(client.subscribe(topic)) for topic in ("a", "b")]
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.shield(asyncio.create_task(broker.stop())), 10)
        for task in subscribing:
            task.cancel()
        await asyncio.gather(*subscribing, return_exceptions=True)
