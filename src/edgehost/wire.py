"""Event-stream RPC as a nucleus speaks it, where the two differ: what it makes of a frame, and how it writes its own.

Pure. A frame becomes a step that the connection takes; ``edgehost.classic.wire`` and ``edgehost.lite.wire`` decide
which.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from edgehost.errors import IpcError
from edgehost.frames import MAX_FRAME_BYTES, Frame

ACCEPTED, TERMINATE = 1, 2
"""The message flags."""
PROTOCOL_VERSION = "0.1.0"
_MODEL_PREFIX = "aws.greengrass#"


class Type(IntEnum):
    """Message types."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


class ProtocolError(Exception):
    """The peer broke the protocol, and its connection closes; the message says how."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """How far a connection has come: what a frame means depends on it."""

    is_connected: bool
    latest_stream: int
    open_streams: Container[int]


@dataclass(frozen=True, slots=True)
class Connect:
    """The client says who it is: by its token, and by its name where it gives that too."""

    token: str | None
    component: str | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """A request opens a stream. ``operation`` is its name without prefix, empty where it names none."""

    stream: int
    operation: str


@dataclass(frozen=True, slots=True)
class End:
    """The client ends a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Pong:
    """A ping is answered."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The client reports that it can't go on."""

    reason: str


Step = Connect | Begin | End | Pong | Close
Route = Callable[[Frame, Dialogue], "Step | None"]
"""What to do about a frame, None for nothing. Raises ProtocolError."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How a nucleus speaks the protocol."""

    route: Route
    read: Callable[[bytes], dict[str, Any]]
    """A request's JSON. Raises IpcError."""
    write: Callable[[Mapping[str, Any]], bytes]
    """JSON as the nucleus writes it."""
    error: Callable[[IpcError], Mapping[str, Any]]
    """An error's fields."""
    unsupported: str
    """What is answered to an unknown operation, ``{}`` being its name."""
    terminates_replies: bool
    """Whether the reply to a unary request ends its stream."""
    explains: bool
    """Whether a client is told before its connection closes: CONNECT_ACK without the flag, or a protocol error."""
    max_received_bytes: int = MAX_FRAME_BYTES
    """A longer frame closes the connection."""
    max_sent_bytes: int = MAX_FRAME_BYTES
    """In place of a longer reply comes a ServiceError; a longer event is left out."""
    max_connections: int | None = None
    """Further ones are closed at once."""
    max_subscriptions: int | None = None
    """Of all clients together."""
    stall_s: float | None = None
    """A client that sends nothing for so long amid a frame loses its connection."""
    when_full: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Subscribing operation -> what is answered where there are ``max_subscriptions``."""


def operation_name(frame: Frame) -> str:
    """The operation that a request names, without prefix; empty where it names none of Greengrass's."""
    name = frame.headers.get("operation")
    if not isinstance(name, str) or not name.startswith(_MODEL_PREFIX):
        return ""
    return name.removeprefix(_MODEL_PREFIX)


def model_type(name: str) -> str:
    """A model's full name, as ``service-model-type`` has it."""
    return _MODEL_PREFIX + name
