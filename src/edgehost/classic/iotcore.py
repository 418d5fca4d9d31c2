"""PublishToIoTCore and SubscribeToIoTCore on the classic nucleus.

A publish succeeds once the message is spooled; offline, QoS 1 is accepted and QoS 0 refused, and a subscription waits
until the connection is back. Subscriptions are made again after every reconnect.
Source: ``MqttProxyIPCAgent`` and ``MqttClient`` of the nucleus.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgehost.authorization import MQTT_PROXY, Authorize
from edgehost.broker import BrokerAddress
from edgehost.broker_link import REFUSED, BrokerLink, Subscription, suback_code
from edgehost.call import Call, Handler
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

# Messages sent while the bridge is away are kept by the broker for this long.
_SESSION_EXPIRY_S = 3600


@dataclass(frozen=True, slots=True, eq=False)
class _Subscription(Subscription):
    code: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """What the broker answered."""


class IoTCore(BrokerLink[_Subscription]):
    """The two operations, the spool before the connection, and what is subscribed to at the broker."""

    def __init__(self, address: BrokerAddress, client_id: str, authorize: Authorize) -> None:
        super().__init__(address, client_id)
        self.spool = Spool()
        self._authorize = authorize
        self._subscriptions_changed = asyncio.Event()

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
        if await subscription.code >= REFUSED:
            self._drop(subscription)
            raise ServiceError(f"Subscribe to topic {topic} failed with error UNSPECIFIED_ERROR")
        return {}

    async def stop(self) -> None:
        """Disconnect; what is still spooled is lost, as on a nucleus restart."""
        await super().stop()
        if len(self.spool):
            log.warning("stopped with %d messages in the spool, which are lost", len(self.spool))
            self.spool.clear()

    def connect(self, *, first: bool) -> aiomqtt.Client:
        """A session that the broker keeps while the nucleus is away, where it speaks MQTT 5."""
        if not self._address.mqtt5:
            return self._client(aiomqtt.ProtocolVersion.V311)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        return self._client(aiomqtt.ProtocolVersion.V5, clean_start=first, properties=properties)

    def jobs(self, client: aiomqtt.Client) -> tuple[Coroutine[Any, Any, None], ...]:
        """Subscribe, and send what is spooled."""
        return self._subscribe_as_wanted(client), self._send(client)

    def event(self, message: aiomqtt.Message) -> dict[str, Any]:
        """The message, with its MQTT 5 properties."""
        return to_event(message)

    def _check_authorized(self, call: Call) -> str:
        topic = topic_of(call.request)
        if not self._authorize(call.component, MQTT_PROXY, call.operation, topic):
            log.info(
                "%s may not %s %s: no accessControl policy allows it", call.component, call.operation, topic
            )
            raise UnauthorizedError("Not Authorized")
        return topic

    async def _subscribe_as_wanted(self, client: aiomqtt.Client) -> None:
        """Subscribe at the broker to the widest filters asked for and no others, so that each message comes once."""
        at_broker: dict[str, int] = {}
        while True:
            self._subscriptions_changed.clear()
            wanted = _widest(self._subscriptions)
            for topic in [topic for topic in wanted if topic not in at_broker]:
                at_broker[topic] = suback_code(await client.subscribe(topic, wanted[topic]))
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

    async def _send(self, client: aiomqtt.Client) -> None:
        async def publish(message: MqttMessage) -> None:
            properties = to_properties(message) if self._address.mqtt5 else None
            await client.publish(message.topic, message.payload, message.qos, message.retain, properties)

        await self.online.wait()
        try:
            await self.spool.send_with(publish)
        finally:
            self.spool.drop_qos0()

    def _drop(self, subscription: _Subscription) -> None:
        self._subscriptions.discard(subscription)
        if not subscription.code.done():
            subscription.code.set_result(REFUSED)
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
