"""IoT Core through a broker: amqtt inside the host, and Mosquitto by its URL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiomqtt
import awsiot.greengrasscoreipc.model as m
import paho.mqtt.client as paho
import pytest

from edgehost.broker import BrokerAddress, BrokerError, EmbeddedBroker, parse_url
from edgehost.classic.iotcore import covers
from edgehost.thread import ThreadedHost, run_in_thread
from ipc_bench import Bench, Inbox
from mosquitto_broker import PROGRAM, Mosquitto, until


class Observer:
    """An MQTT client of its own at the broker, independent of the host's."""

    def __init__(self, url: str, topic: str) -> None:
        address = parse_url(url)
        self.messages: list[paho.MQTTMessage] = []
        self._arrived = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(address.host, address.port)
        self._client.loop_start()
        self._client.subscribe(topic, qos=1)
        assert self._subscribed.wait(10)

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()

    def wait_for(self, count: int) -> list[bytes]:
        """The payloads of the first messages, once there are so many."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= count, 10), len(self.messages)
            return [message.payload for message in self.messages]

    def publish(self, topic: str, payload: bytes, **options: Any) -> None:
        self._client.publish(topic, payload, qos=1, **options).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(params=["embedded", "mosquitto"])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    """A host whose IoT Core is one broker or the other."""
    with ExitStack() as exit_stack:
        mosquitto = None
        if request.param == "mosquitto":
            if PROGRAM is None:
                pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
            mosquitto = Mosquitto(tmp_path)
            mosquitto.start()
            exit_stack.callback(mosquitto.stop)
        broker = mosquitto.url if mosquitto else "embedded"
        threaded = exit_stack.enter_context(run_in_thread(tmp_path / "root", broker=broker))
        cloud = Cloud(threaded, mosquitto, exit_stack)
        cloud.wait_online()
        yield cloud


class Cloud:
    """The host, its broker, a client as a component, and observers."""

    def __init__(self, threaded: ThreadedHost, mosquitto: Mosquitto | None, exit_stack: ExitStack) -> None:
        self.bench = Bench(threaded, exit_stack)
        self.host = threaded.host
        self._mosquitto = mosquitto
        self._exit = exit_stack

    @property
    def is_mqtt5(self) -> bool:
        return self._mosquitto is not None

    def observer(self, topic: str = "#") -> Observer:
        observer = Observer(self.host.broker_url, topic)
        self._exit.callback(observer.close)
        return observer

    def stop_broker(self) -> None:
        """Take the broker away, and wait until the host noticed."""
        if self._mosquitto:
            self._mosquitto.stop()
        else:
            self.bench.call(self.host.broker.stop())
        self.bench.call(self._offline(), 10)

    def start_broker(self) -> None:
        if self._mosquitto:
            self._mosquitto.start()
        else:
            self.bench.call(self.host.broker.start())

    def wait_online(self) -> None:
        self.bench.call(self.host.iot_core.online.wait(), 10)

    async def _offline(self) -> None:
        while self.host.iot_core.online.is_set():
            await asyncio.sleep(0.01)


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
