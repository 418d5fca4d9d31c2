"""Local publish/subscribe between components: PublishToTopic and SubscribeToTopic.

Source for what is refused and who receives: ``PubSubIPCEventStreamAgent`` and ``SubscriptionTrie`` of the nucleus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgehost.authorization import PUBSUB, Authorize
from edgehost.call import Call, Handler
from edgehost.errors import InvalidArgumentsError, UnauthorizedError

_OTHERS = "RECEIVE_MESSAGES_FROM_OTHERS"
_ALL = "RECEIVE_ALL_MESSAGES"


@dataclass(frozen=True, slots=True, eq=False)
class _Subscription:
    levels: tuple[str, ...]
    only_from_others: bool
    call: Call

    def receives(self, topic: str, publisher: str) -> bool:
        if self.only_from_others and publisher == self.call.component:
            return False
        return matches(self.levels, tuple(topic.split("/")))


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
        topic = self._authorized_topic(call, "Publish topic must not be null")
        if any(wildcard in topic for wildcard in "+#*"):
            raise InvalidArgumentsError("Publish topic must not contain a wildcard.")
        event = _event(call.request.get("publishMessage"), topic)
        for subscription in list(self._subscriptions):
            if subscription.receives(topic, call.component):
                subscription.call.send("SubscriptionResponseMessage", event)
        return {}

    async def subscribe(self, call: Call) -> dict[str, Any]:
        """Register the stream until it ends."""
        topic = self._authorized_topic(call, "Subscribe topic must not be empty")
        if not topic:
            raise InvalidArgumentsError("Subscribe topic must not be empty")
        subscription = _Subscription(tuple(topic.split("/")), _only_from_others(call, topic), call)
        self._subscriptions.add(subscription)
        call.on_end(lambda: self._subscriptions.discard(subscription))
        return {}

    def _authorized_topic(self, call: Call, missing: str) -> str:
        topic = call.request.get("topic")
        if not isinstance(topic, str):
            raise InvalidArgumentsError(missing)
        if not self._authorize(call.component, PUBSUB, call.operation, topic):
            raise UnauthorizedError(
                f"Principal {call.component} is not authorized to perform "
                f"{PUBSUB}:aws.greengrass#{call.operation} on resource {topic}"
            )
        return topic


def matches(filter_levels: tuple[str, ...], topic_levels: tuple[str, ...]) -> bool:
    """Whether a local subscription's filter covers a topic: ``+`` one level, ``#`` one level or more to the end."""
    for index, level in enumerate(filter_levels):
        if index >= len(topic_levels):
            return False
        if level == "#":
            return True
        if level not in ("+", topic_levels[index]):
            return False
    return len(filter_levels) == len(topic_levels)


def _only_from_others(call: Call, topic: str) -> bool:
    mode = call.request.get("receiveMode")
    if mode not in (None, _OTHERS, _ALL):
        raise InvalidArgumentsError(f"receiveMode {mode!r} is neither {_OTHERS} nor {_ALL}")
    has_wildcard = any(level in ("+", "#") for level in topic.split("/"))
    return mode == _OTHERS or (mode is None and has_wildcard)


def _event(message: Any, topic: str) -> dict[str, Any]:
    """The event for a publishMessage, which must be a jsonMessage or a binaryMessage, not both."""
    kinds = [
        kind for kind in ("jsonMessage", "binaryMessage") if isinstance(message, dict) and message.get(kind)
    ]
    if len(kinds) != 1 or "message" not in message[kinds[0]]:
        raise InvalidArgumentsError(
            "publishMessage must hold a jsonMessage or a binaryMessage with its message"
        )
    (kind,) = kinds
    return {kind: {"message": message[kind]["message"], "context": {"topic": topic}}}
