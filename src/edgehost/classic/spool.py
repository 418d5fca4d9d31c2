"""The nucleus's message spool: what was accepted for IoT Core and isn't acknowledged yet. In memory, as by default.

Source: ``Spool`` of the classic nucleus, messages included.
"""

from __future__ import annotations

from collections import deque

from edgehost.errors import ServiceError
from edgehost.mqtt_message import MqttMessage

MAX_SPOOL_BYTES = int(2.5 * 1024 * 1024)


class Spool:
    """Messages in order, at most ``max_bytes`` of payload. A full spool gives up QoS 0 first."""

    def __init__(self, max_bytes: int = MAX_SPOOL_BYTES) -> None:
        self.max_bytes = max_bytes
        self.is_jammed = False
        """Whether it takes nothing, as if it were full."""
        self._messages: deque[MqttMessage] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def bytes(self) -> int:
        """Payload bytes held."""
        return self._bytes

    def add(self, message: MqttMessage) -> None:
        """Take a message. Raises ServiceError where it doesn't fit."""
        if (size := len(message.payload)) > self.max_bytes:
            raise _refused(message, "Message is larger than the size of message spool.")
        if self._bytes + size > self.max_bytes:
            self.drop_qos0()
        if self.is_jammed or self._bytes + size > self.max_bytes:
            raise _refused(message, "Message spool is full. Message could not be added.")
        self._messages.append(message)
        self._bytes += size

    def first(self) -> MqttMessage:
        """The oldest message, which stays."""
        return self._messages[0]

    def remove(self, message: MqttMessage) -> None:
        """The oldest message was acknowledged or given up; nothing happens where it is gone already."""
        if self._messages and self._messages[0] is message:
            self._messages.popleft()
            self._bytes -= len(message.payload)

    def clear(self) -> None:
        """Lose every message."""
        self._messages.clear()
        self._bytes = 0

    def drop_qos0(self) -> None:
        """Give up every QoS 0 message."""
        self._messages = deque(message for message in self._messages if message.qos)
        self._bytes = sum(len(message.payload) for message in self._messages)


def _refused(message: MqttMessage, reason: str) -> ServiceError:
    return ServiceError(f"Publish to topic {message.topic} failed: {reason}")
