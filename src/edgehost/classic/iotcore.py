"""PublishToIoTCore and SubscribeToIoTCore, bridged to an MQTT broker.

As on the classic nucleus: a publish succeeds once the message is spooled; offline, QoS 1 is accepted and QoS 0
refused, and a subscription waits until the connection is back. The bridge reconnects by itself and subscribes again.
Source: ``MqttProxyIPCAgent`` and ``MqttClient`` of the nucleus.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgehost.authorization import MQTT_PROXY
from edgehost.broker import BrokerAddress
from edgehost.call import Call, Handler
from edgehost.classic.pubsub import Authorize
from edgehost.classic.spool import Spool
from edgehost.errors import ServiceError, UnauthorizedError
from edgehost.mqtt_message import (
    MqttMessage,
    check_publishable,
    filter_problem,
    from_request,
    qos_of,
    to_event,
    to_properties,
    topic_of,
)

log = logging.getLogger(__name__)

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 2.0
_MAX_ATTEMPTS = 100
# Messages sent while the bridge is away are kept by the broker for this long.
_SESSION_EXPIRY_S = 3600
_CANCEL_AGAIN_S = 0.5
_REFUSED = 128


@dataclass(frozen=True, slots=True, eq=False)
class _Subscription:
    filter: str
    qos: int
    call: Call
    code: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class IoTCore:
    """The connection to the broker, the spool before it, and the two operations."""

    def __init__(self, address: BrokerAddress, client_id: str, authorize: Authorize) -> None:
        self.spool = Spool()
        self.online = asyncio.Event()
        self._address = address
        self._client_id = client_id
        self._authorize = authorize
        self._subscriptions: set[_Subscription] = set()
        self._subscriptions_changed = asyncio.Event()
        self._spooled = asyncio.Event()
        self._attempts = 0
        self._reachable, self._cut = asyncio.Event(), asyncio.Event()
        self._reachable.set()
        self._task: asyncio.Task[None] | None = None

    def operations(self) -> dict[str, Handler]:
        """Operation name -> handler."""
        return {"PublishToIoTCore": self.publish, "SubscribeToIoTCore": self.subscribe}

    async def publish(self, call: Call) -> dict[str, Any]:
        """Spool the message; it is sent in its turn."""
        self._check_authorized(call)
        message = from_request(call.request)
        check_publishable(message)
        if message.qos == 0 and not self.online.is_set():
            reason = "Device is offline. Dropping QoS 0 message."
            raise ServiceError(f"Publish to topic {message.topic} failed: {reason}")
        self.spool.add(message)
        self._spooled.set()
        return {}

    async def subscribe(self, call: Call) -> dict[str, Any]:
        """Pass what arrives on the filter to the caller until its stream ends."""
        topic = self._check_authorized(call)
        subscription = _Subscription(topic, qos_of(call.request), call)
        if problem := filter_problem(topic):
            raise ServiceError(f"Subscribe to topic {topic} failed with error {problem}")
        self._subscriptions.add(subscription)
        call.on_end(lambda: self._drop(subscription))
        self._subscriptions_changed.set()
        if await subscription.code >= _REFUSED:
            self._drop(subscription)
            raise ServiceError(f"Subscribe to topic {topic} failed with error UNSPECIFIED_ERROR")
        return {}

    def start(self) -> None:
        """Connect, and keep connected, in the background."""
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    async def stop(self) -> None:
        """Disconnect; what is still spooled is lost, as on a nucleus restart."""
        while self._task and not self._task.done():
            self._task.cancel()
            # Before Python 3.12 asyncio.wait_for (in aiomqtt) swallows a cancellation that comes as it is done.
            await asyncio.wait([self._task], timeout=_CANCEL_AGAIN_S)
        if len(self.spool):
            log.warning("stopped with %d messages in the spool, which are lost", len(self.spool))

    async def restart(self) -> None:
        """Disconnect and connect again; what is spooled is lost."""
        await self.stop()
        self.spool.clear()
        self._attempts = 0
        self.start()

    def cut(self) -> None:
        """Lose the broker until ``mend``, as when the network is gone."""
        self._reachable.clear()
        self._cut.set()

    def mend(self) -> None:
        """The broker can be reached again."""
        self._cut.clear()
        self._reachable.set()

    def _check_authorized(self, call: Call) -> str:
        topic = topic_of(call.request)
        if not self._authorize(call.component, MQTT_PROXY, call.operation, topic):
            log.info(
                "%s may not %s %s: no accessControl policy allows it", call.component, call.operation, topic
            )
            raise UnauthorizedError("Not Authorized")
        return topic

    async def _keep_connected(self) -> None:
        delay_s, clean = _FIRST_RETRY_S, True
        while True:
            await self._reachable.wait()
            try:
                async with self._new_client(clean) as client:
                    delay_s, clean = _FIRST_RETRY_S, False
                    await self._serve(client)
            except aiomqtt.MqttError as error:
                level = logging.WARNING if delay_s == _FIRST_RETRY_S else logging.DEBUG
                log.log(level, "offline: broker %s: %s; trying until it is back", self._address.url, error)
            except (
                Exception
            ):  # the boundary of one connection: a fault in here must not end the link for good
                log.exception("the connection to broker %s failed; connecting again", self._address.url)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_RETRY_S)

    def _new_client(self, clean: bool) -> aiomqtt.Client:
        address = self._address
        common: dict[str, Any] = {
            "identifier": self._client_id,
            "username": address.username,
            "password": address.password,
        }
        if not address.mqtt5:
            return aiomqtt.Client(address.host, address.port, protocol=aiomqtt.ProtocolVersion.V311, **common)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        common |= {"clean_start": clean, "properties": properties}
        return aiomqtt.Client(address.host, address.port, protocol=aiomqtt.ProtocolVersion.V5, **common)

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Subscribe, send and receive until the connection breaks, which raises MqttError."""
        jobs = (
            self._subscribe_as_wanted(client),
            self._receive(client),
            self._send(client),
            self._until_cut(),
        )
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            self.online.clear()
            self.spool.drop_qos0()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _subscribe_as_wanted(self, client: aiomqtt.Client) -> None:
        """Subscribe at the broker to the widest filters asked for and no others, so that each message comes once."""
        at_broker: dict[str, int] = {}
        while True:
            self._subscriptions_changed.clear()
            wanted = _widest(self._subscriptions)
            for topic in [topic for topic in wanted if topic not in at_broker]:
                (code,) = await client.subscribe(topic, wanted[topic])
                at_broker[topic] = code if isinstance(code, int) else code.value
            for topic in [topic for topic in at_broker if topic not in wanted]:
                await client.unsubscribe(topic)
                del at_broker[topic]
            self._answer_subscriptions(at_broker)
            self.online.set()
            await self._subscriptions_changed.wait()

    def _answer_subscriptions(self, at_broker: dict[str, int]) -> None:
        for subscription in self._subscriptions:
            codes = [code for topic, code in at_broker.items() if covers(topic, subscription.filter)]
            if codes and not subscription.code.done():
                subscription.code.set_result(min(codes))

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            event = to_event(message)
            for subscription in list(self._subscriptions):
                if message.topic.matches(subscription.filter):
                    subscription.call.send("IoTCoreMessage", event)

    async def _until_cut(self) -> None:
        await self._cut.wait()
        raise aiomqtt.MqttError("the link is cut, on purpose")

    async def _send(self, client: aiomqtt.Client) -> None:
        """One message at a time, so that they arrive in the order in which they were accepted."""
        await self.online.wait()
        while True:
            self._spooled.clear()
            while len(self.spool):
                await self._send_one(client, self.spool.first())
            await self._spooled.wait()

    async def _send_one(self, client: aiomqtt.Client, message: MqttMessage) -> None:
        self._attempts += 1
        if self._attempts > _MAX_ATTEMPTS:
            log.error("dropped a message for %s after %d attempts", message.topic, _MAX_ATTEMPTS)
        else:
            properties = to_properties(message) if self._address.mqtt5 else None
            await client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        self._attempts = 0
        self.spool.remove(message)

    def _drop(self, subscription: _Subscription) -> None:
        self._subscriptions.discard(subscription)
        if not subscription.code.done():
            subscription.code.set_result(_REFUSED)
        self._subscriptions_changed.set()


def _widest(subscriptions: set[_Subscription]) -> dict[str, int]:
    """The filters that no other filter covers, each with the highest quality of service asked for below it."""
    filters = {subscription.filter for subscription in subscriptions}
    return {
        wide: max(subscription.qos for subscription in subscriptions if covers(wide, subscription.filter))
        for wide in filters
        if not any(other != wide and covers(other, wide) for other in filters)
    }


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic that the filter ``narrow`` matches is matched by ``wide`` too."""
    wide_levels, narrow_levels = wide.split("/"), narrow.split("/")
    for index, level in enumerate(wide_levels):
        if level == "#":
            return True
        if index >= len(narrow_levels) or narrow_levels[index] == "#":
            return False
        if level not in ("+", narrow_levels[index]):
            return False
    return len(wide_levels) == len(narrow_levels)
