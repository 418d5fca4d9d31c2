"""What Greengrass Lite has sent and the broker hasn't acknowledged yet, in place of a spool.

1. There are 10 records, one for each QoS 1 message in flight, and 15,000 bytes for their copies. What counts is the
   whole serialized PUBLISH packet: header, topic, packet id, payload. QoS 0 needs neither.
2. A message takes its record before its bytes. One that finds a record but no bytes is refused, and its record stays
   taken until the connection ends.
3. A new connection starts with everything free: what was in flight is forgotten, and not sent again.

Sources: ``mqtt.c`` of iotcored, ``MQTT_Publish`` of coreMQTT.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MAX_MESSAGES = 10
MAX_BYTES = 15_000


class NoRoomError(Exception):
    """There is no room for the message; the text says of what."""


class InFlight:
    """The messages in flight on one connection."""

    def __init__(self) -> None:
        self._packets_bytes: list[int] = []
        self._wasted = 0

    def __len__(self) -> int:
        return len(self._packets_bytes)

    @contextmanager
    def room_for(self, packet_bytes: int) -> Iterator[None]:
        """Room for a packet of that size until the block ends. Raises NoRoomError."""
        self._check(packet_bytes)
        self._packets_bytes.append(packet_bytes)
        try:
            yield
        finally:
            self._packets_bytes.remove(packet_bytes)

    def _check(self, packet_bytes: int) -> None:
        if len(self) + self._wasted >= MAX_MESSAGES:
            raise NoRoomError(
                f"{len(self)} messages unacknowledged and {self._wasted} records lost, of {MAX_MESSAGES}"
            )
        if (held := sum(self._packets_bytes)) + packet_bytes > MAX_BYTES:
            self._wasted += 1
            raise NoRoomError(
                f"{packet_bytes} bytes on top of {held} unacknowledged exceed {MAX_BYTES}; "
                "a record is lost until the next connection"
            )
