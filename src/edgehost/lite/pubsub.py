"""Local publish/subscribe between components: PublishToTopic and SubscribeToTopic.

Sources, messages included: ``ggipcd/src/services/pubsub``, ``ggpubsubd``, ``core-bus/src/client_subscribe.c``.

* ``receiveMode`` is not looked at: a component hears itself. Wildcards match as in MQTT, parents too, and a topic to
  publish to may hold them.
* JSON arrives with its keys sorted, as it was when the request was read.
* What ggpubsubd can't decode, the publisher is told of. What the receiving end can't decode, which has room for a
  quarter of that, ends the receiver's subscription, and nobody is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgehost.authorization import PUBSUB, Authorize
from edgehost.call import Call, Handler
from edgehost.errors import ServiceError, UnauthorizedError
from edgehost.lite import json_text

MAX_TOPIC_BYTES = 256
MAX_SUBSCRIPTIONS = 99
MAX_PUBLISHED_BYTES = 2_200
"""Of memory, for the values in ggpubsubd: 200 elements."""
MAX_RECEIVED_BYTES = 550
"""Of memory, for the values at the receiving end: 50 elements. A list of 43 under one key is too much."""

_INVALID = "Received invalid parameters."


@dataclass(frozen=True, slots=True, eq=False)
class _Subscription:
    topic_filter: str
    call: Call


class LocalPubSub:
    """The subscriptions of all components, and the two operations."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize
        self._subscriptions: set[_Subscription] = set()

    def operations(self) -> dict[str, Handler]:
        """Operation name -> handler."""
        return {"PublishToTopic": self.publish, "SubscribeToTopic": self.subscribe}

    async def publish(self, call: Call) -> dict[str, Any]:
        """Hand the message to every matching subscription; success too where there is none."""
        topic = _text(call.request, "topic")
        kind, message = _message(call.request)
        self._check_authorized(call, topic)
        size = json_text.memory_bytes({"topic": topic, "type": kind, "message": message})
        if len(topic.encode()) > MAX_TOPIC_BYTES or size > MAX_PUBLISHED_BYTES:
            raise ServiceError("Failed to publish the message.")
        event = {kind: {"message": message, "context": {"topic": topic}}}
        for subscription in list(self._subscriptions):
            if not matches(subscription.topic_filter, topic):
                continue
            if size > MAX_RECEIVED_BYTES:
                subscription.call.end()
            else:
                subscription.call.send("SubscriptionResponseMessage", event)
        return {}

    async def subscribe(self, call: Call) -> dict[str, Any]:
        """Register the stream until it ends."""
        topic = _text(call.request, "topic")
        self._check_authorized(call, topic)
        if not 0 < len(topic.encode()) <= MAX_TOPIC_BYTES or len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise ServiceError("Failed to bind subscription.")
        subscription = _Subscription(topic, call)
        self._subscriptions.add(subscription)
        call.on_end(lambda: self._subscriptions.discard(subscription))
        return {}

    def _check_authorized(self, call: Call, topic: str) -> None:
        if not self._authorize(call.component, PUBSUB, call.operation, topic):
            raise UnauthorizedError("IPC Operation not authorized.")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter covers a topic, as coreMQTT's ``MQTT_MatchTopic`` finds: MQTT's rules, ``$`` included."""
    if topic == topic_filter:
        return topic != ""
    if not topic or (topic[0] == "$" and topic_filter[0] in "+#"):
        return False
    levels, filter_levels = topic.split("/"), topic_filter.split("/")
    for index, level in enumerate(filter_levels):
        if level == "#" and index == len(filter_levels) - 1:
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(filter_levels) == len(levels)


def _text(request: dict[str, Any], key: str) -> str:
    if not isinstance(value := request.get(key), str):
        raise ServiceError(_INVALID)
    return value


def _message(request: dict[str, Any]) -> tuple[str, Any]:
    """The kind of publishMessage, of which there must be exactly one, and its message."""
    kinds = request.get("publishMessage")
    if not isinstance(kinds, dict) or ("jsonMessage" in kinds) == ("binaryMessage" in kinds):
        raise ServiceError(_INVALID)
    kind = "jsonMessage" if "jsonMessage" in kinds else "binaryMessage"
    if not isinstance(kinds[kind], dict) or "message" not in kinds[kind]:
        raise ServiceError(_INVALID)
    if kind == "binaryMessage":
        return kind, _text(kinds[kind], "message")
    return kind, kinds[kind]["message"]
