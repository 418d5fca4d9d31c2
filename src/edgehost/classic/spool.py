"""The nucleus's message spool: what was accepted for IoT Core and isn't acknowledged yet. In memory, as by default.

Source: ``Spool`` and ``MqttClient`` of the classic nucleus, messages included.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from edgehost.errors import ServiceError
from edgehost.mqtt_message import MqttMessage

log = logging.getLogger(__name__)

MAX_SPOOL_BYTES = int(2.5 * 1024 * 1024)
MAX_ATTEMPTS = 100


class Spool:
    """Messages in order, at most ``max_bytes`` of payload. A full spool gives up QoS 0 first."""

    def __init__(self, max_bytes: int = MAX_SPOOL_BYTES) -> None:
        self.max_bytes = max_bytes
        self.is_jammed = False
        """Whether it takes nothing, as if it were full."""
        self._messages: deque[MqttMessage] = deque()
        self._bytes = 0
        self._attempts = 0
        self._added = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def bytes(self) -> int:
        """Payload bytes held."""
        return self._bytes

    def add(self, message: MqttMessage) -> None:
        """Take a message; it is sent in its turn. Raises ServiceError where it doesn't fit."""
        if (size := len(message.payload)) > self.max_bytes:
            raise _refused(message, "Message is larger than the size of message spool.")
        if self._bytes + size > self.max_bytes:
            self.drop_qos0()
        if self.is_jammed or self._bytes + size > self.max_bytes:
            raise _refused(message, "Message spool is full. Message could not be added.")
        self._messages.append(message)
        self._bytes += size
        self._added.set()

    def clear(self) -> None:
        """Lose every message."""
        self._messages.clear()
        self._bytes = self._attempts = 0

    def drop_qos0(self) -> None:
        """Give up every QoS 0 message."""
        self._messages = deque(message for message in self._messages if message.qos)
        self._bytes = sum(len(message.payload) for message in self._messages)

    async def send_with(self, publish: Callable[[MqttMessage], Awaitable[None]]) -> None:
        """Send for ever, one message at a time, so that they arrive in the order in which they were accepted.

        A message leaves the spool when ``publish`` returns, or after too many attempts at which it raised.
        """
        while True:
            self._added.clear()
            while self._messages:
                await self._send_one(self._messages[0], publish)
            await self._added.wait()

    async def _send_one(
        self, message: MqttMessage, publish: Callable[[MqttMessage], Awaitable[None]]
    ) -> None:
        self._attempts += 1
        if self._attempts > MAX_ATTEMPTS:
            log.error("dropped a message for %s after %d attempts", message.topic, MAX_ATTEMPTS)
        else:
            await publish(message)
        self._attempts = 0
        if self._messages and self._messages[0] is message:  # it may be gone already
            self._messages.popleft()
            self._bytes -= len(message.payload)


def _refused(message: MqttMessage, reason: str) -> ServiceError:
    return ServiceError(f"Publish to topic {message.topic} failed: {reason}")
