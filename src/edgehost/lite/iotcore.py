"""PublishToIoTCore and SubscribeToIoTCore on Greengrass Lite.

Both need the broker now: offline they are refused. They succeed once their packet is handed to the connection,
whatever the broker makes of it: a subscription that it refuses hears nothing, and a topic that MQTT forbids costs the
connection. Nothing is kept for a later connection but the subscriptions, which are made again.
Sources: ``publish_to_iot_core.c`` and ``subscribe_to_iot_core.c`` of ggipcd, ``mqtt.c`` and
``subscription_dispatch.c`` of iotcored.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import math
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from typing import Any

import aiomqtt

from edgehost.authorization import MQTT_PROXY, Authorize
from edgehost.broker import BrokerAddress
from edgehost.broker_link import REFUSED, BrokerLink, Subscription, suback_code
from edgehost.call import Call, Handler
from edgehost.errors import ServiceError, UnauthorizedError
from edgehost.lite.in_flight import InFlight, NoRoomError
from edgehost.lite.mqtt_request import read_publish, read_subscribe
from edgehost.mqtt_message import MqttMessage, payload_of, publish_packet_bytes

log = logging.getLogger(__name__)

MAX_INBOUND_BYTES = 5_000
MAX_FILTER_BYTES = 256
_KEEP_ALIVE_S = 30


class _RefusedError(Exception):
    """It can't be sent; the text, for the log, says why. Who asked is told less."""


class IoTCore(BrokerLink[Subscription]):
    """The two operations. There is no spool."""

    spool = None

    def __init__(self, address: BrokerAddress, client_id: str, authorize: Authorize) -> None:
        super().__init__(address, client_id)
        self._authorize = authorize
        self._session: _Session | None = None

    def operations(self) -> dict[str, Handler]:
        """Operation name -> handler."""
        return {"PublishToIoTCore": self.publish, "SubscribeToIoTCore": self.subscribe}

    async def publish(self, call: Call) -> dict[str, Any]:
        """Hand the message to the connection."""
        message = read_publish(call.request)
        self._check_authorized(call, message.topic)
        try:
            await self._online_session().publish(message)
        except (aiomqtt.MqttError, NoRoomError, _RefusedError) as error:
            log.warning("%s could not publish to %s: %s", call.component, message.topic, error)
            raise ServiceError("Failed to publish the message.") from error
        return {}

    async def subscribe(self, call: Call) -> dict[str, Any]:
        """Pass what arrives on the filter to the caller until its stream ends."""
        subscription = Subscription(*read_subscribe(call.request), call)
        self._check_authorized(call, subscription.filter)
        try:
            await self._online_session().subscribe(subscription)
        except (aiomqtt.MqttError, _RefusedError) as error:
            log.warning("%s could not subscribe to %s: %s", call.component, subscription.filter, error)
            raise ServiceError("Failed to bind the subscription.") from error
        self._subscriptions.add(subscription)
        call.on_end(lambda: self._drop(subscription))
        return {}

    def connect(self, *, first: bool) -> aiomqtt.Client:
        """A clean session, of which the broker keeps nothing, in MQTT 3.1.1, which has no properties."""
        return self._client(aiomqtt.ProtocolVersion.V311, clean_session=True, keepalive=_KEEP_ALIVE_S)

    def jobs(self, client: aiomqtt.Client) -> tuple[Coroutine[Any, Any, None], ...]:
        """Have a session."""
        return (self._have_session(client),)

    def event(self, message: aiomqtt.Message) -> dict[str, Any] | None:
        """Topic and payload. A packet that doesn't fit into the network buffer never arrives."""
        topic, payload = message.topic.value, payload_of(message)
        if (size := publish_packet_bytes(topic, payload, message.qos)) > MAX_INBOUND_BYTES:
            log.warning(
                "a message on %s is lost: its packet has %d bytes, of %d", topic, size, MAX_INBOUND_BYTES
            )
            return None
        return {"message": {"topicName": topic, "payload": base64.b64encode(payload).decode()}}

    def _check_authorized(self, call: Call, topic: str) -> None:
        if not self._authorize(call.component, MQTT_PROXY, call.operation, topic):
            log.info(
                "%s may not %s %s: no accessControl policy allows it", call.component, call.operation, topic
            )
            raise UnauthorizedError("IPC Operation not authorized.")

    def _online_session(self) -> _Session:
        if self._session is None or not self.online.is_set():
            raise _RefusedError("offline")
        return self._session

    async def _have_session(self, client: aiomqtt.Client) -> None:
        session = self._session = _Session(client, self.lose)
        self.online.set()
        try:
            for subscription in list(self._subscriptions):
                await session.subscribe(subscription)
            await asyncio.Event().wait()
        finally:
            session.end()

    def _drop(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        filters = {other.filter for other in self._subscriptions}
        if self._session and self.online.is_set() and subscription.filter not in filters:
            self._session.unsubscribe(subscription.filter)


class _Session:
    """What one connection carries: packets handed over, whose acknowledgements come later or never."""

    def __init__(self, client: aiomqtt.Client, lose: Callable[[str], None]) -> None:
        self._client = client
        self._lose = lose
        self._in_flight = InFlight()
        self._unacknowledged: set[asyncio.Task[None]] = set()

    async def publish(self, message: MqttMessage) -> None:
        """Raises NoRoomError where too much is in flight, MqttError where the connection is gone."""
        if not message.topic:
            raise _RefusedError("the topic is empty")
        await self._hand_over(self._publish(message))

    async def subscribe(self, subscription: Subscription) -> None:
        """Raises MqttError where the connection is gone."""
        if not 0 < len(subscription.filter.encode()) <= MAX_FILTER_BYTES:
            raise _RefusedError(f"a filter has 1 to {MAX_FILTER_BYTES} bytes")
        await self._hand_over(self._subscribe(subscription))

    def unsubscribe(self, topic: str) -> None:
        """Without waiting for anything."""
        self._start(self._unsubscribe(topic))

    def end(self) -> None:
        """The connection is gone, and with it what was not acknowledged."""
        if unacknowledged := len(self._in_flight):
            log.warning("%d unacknowledged messages are discarded with their connection", unacknowledged)
        for task in self._unacknowledged:
            task.cancel()

    async def _hand_over(self, packet: Coroutine[Any, Any, None]) -> None:
        task = self._start(packet)
        await asyncio.sleep(0)  # the task's first turn takes it to where it waits for the acknowledgement
        if task.cancelled():
            raise aiomqtt.MqttError("the connection ended meanwhile")
        try:
            if task.done():
                task.result()
        except (
            ValueError
        ) as error:  # paho refuses what iotcored sends, whereupon a broker closes the connection
            self._lose(str(error))

    def _start(self, packet: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(packet)
        self._unacknowledged.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._unacknowledged.discard(task)
        if not task.cancelled() and (error := task.exception()):  # who handed it over may be gone
            log.debug("a packet was not sent, or its acknowledgement did not come: %s", error)

    async def _publish(self, message: MqttMessage) -> None:
        packet_bytes = publish_packet_bytes(message.topic, message.payload, message.qos)
        with self._in_flight.room_for(packet_bytes) if message.qos else nullcontext():
            await self._client.publish(message.topic, message.payload, message.qos, timeout=math.inf)

    async def _subscribe(self, subscription: Subscription) -> None:
        codes = await self._client.subscribe(subscription.filter, subscription.qos, timeout=math.inf)
        if suback_code(codes) >= REFUSED:
            component, topic = subscription.call.component, subscription.filter
            log.error("the broker refuses %s's subscription to %s, which hears nothing", component, topic)

    async def _unsubscribe(self, topic: str) -> None:
        with suppress(aiomqtt.MqttError):  # the connection is gone, and the subscription with it
            await self._client.unsubscribe(topic, timeout=math.inf)
