"""A host and its broker, for tests of IoT Core: either nucleus, either broker, and observers at the broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from edgehost.broker import parse_url
from edgehost.profile import Profile
from edgehost.thread import ThreadedHost, run_in_thread
from ipc_bench import Bench
from mosquitto_broker import PROGRAM, Mosquitto

EMBEDDED, MOSQUITTO = "embedded", "mosquitto"


class Observer:
    """An MQTT client of its own at the broker, independent of the host's."""

    def __init__(self, url: str, topic: str, protocol: paho.MQTTProtocolVersion) -> None:
        address = parse_url(url)
        self.messages: list[paho.MQTTMessage] = []
        self._arrived = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=protocol)
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
        del self._client  # a cycle that the garbage collector may end at its sockets first


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

    @property
    def mosquitto(self) -> Mosquitto:
        assert self._mosquitto
        return self._mosquitto

    def observer(
        self, topic: str = "#", protocol: paho.MQTTProtocolVersion = paho.MQTTProtocolVersion.MQTTv311
    ) -> Observer:
        observer = Observer(self.host.broker_url, topic, protocol)
        self._exit.callback(observer.close)
        return observer

    def stop_broker(self) -> None:
        """Take the broker away, and wait until the host noticed."""
        if self._mosquitto:
            self._mosquitto.stop()
        else:
            self.bench.call(self.host.broker.stop())
        self.wait_offline()

    def start_broker(self) -> None:
        if self._mosquitto:
            self._mosquitto.start()
        else:
            self.bench.call(self.host.broker.start())

    def wait_online(self) -> None:
        self.bench.call(self.host.iot_core.online.wait(), 10)

    def wait_offline(self) -> None:
        self.bench.call(self._offline(), 10)

    async def _offline(self) -> None:
        while self.host.iot_core.online.is_set():
            await asyncio.sleep(0.01)


@contextmanager
def running_cloud(directory: Path, broker: str, profile: Profile) -> Iterator[Cloud]:
    """A host that is online, with the broker of that kind."""
    with ExitStack() as exit_stack:
        mosquitto = None
        if broker == MOSQUITTO:
            if PROGRAM is None:
                pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
            mosquitto = Mosquitto(directory)
            mosquitto.start()
            exit_stack.callback(mosquitto.stop)
        url = mosquitto.url if mosquitto else "embedded"
        threaded = exit_stack.enter_context(run_in_thread(directory / "root", profile=profile, broker=url))
        cloud = Cloud(threaded, mosquitto, exit_stack)
        cloud.wait_online()
        yield cloud
