"""Event-stream RPC as the classic nucleus speaks it.

1. A connection's first message is CONNECT. A refused one is answered by CONNECT_ACK without the accepted flag.
2. Streams are opened by the client with ids 1, 2, 3…; a gap, or a message on a stream that has ended (a late
   TERMINATE too), is a protocol error that closes the connection.
3. A unary reply carries TERMINATE.

Source: aws-c-event-stream up to 0.5.4, ``event_stream_rpc_server.c``, on which the nucleus is built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgehost.errors import InvalidArgumentsError, IpcError
from edgehost.frames import Frame
from edgehost.wire import (
    PROTOCOL_VERSION,
    TERMINATE,
    Begin,
    Close,
    Connect,
    Dialogue,
    End,
    Pong,
    ProtocolError,
    Step,
    Type,
    Wire,
    operation_name,
)

# What a peer is told: the words of ``event_stream_rpc_priv.h``.
_MISSING_FIELDS = (
    "A message was received with missing required fields. Check that your client is sending at least, "
    ":message-type, :message-flags, and :stream-id"
)
_CONNECT_FIRST = (
    "A CONNECT message must be received, and the CONNECT_ACK must be sent in response, before any other "
    "message-types can be sent on this connection. In addition, only one CONNECT message is allowed on a connection."
)
_STREAM_NOT_ALLOWED = (
    "non-zero stream-id field is only allowed for messages of type APPLICATION_MESSAGE. "
    "The stream id max value is INT32_MAX."
)
_INVALID_TYPE = "an invalid value for message-type field was received."
_STREAM_ORDER = "stream-id values must be monotonically incrementing."


def route(frame: Frame, dialogue: Dialogue) -> Step | None:
    """What to do about a frame. Raises ProtocolError."""
    kind, flags, stream = (
        frame.headers.get(f":{name}") for name in ("message-type", "message-flags", "stream-id")
    )
    if not (isinstance(kind, int) and isinstance(flags, int) and isinstance(stream, int)):
        raise ProtocolError(_MISSING_FIELDS)
    if (kind == Type.CONNECT) == dialogue.is_connected:
        raise ProtocolError(_CONNECT_FIRST)
    if kind == Type.APPLICATION_MESSAGE:
        return _on_stream(stream, flags, frame, dialogue)
    if stream != 0:
        raise ProtocolError(_STREAM_NOT_ALLOWED)
    return _on_connection(kind, frame)


def _on_connection(kind: int, frame: Frame) -> Step | None:
    match kind:
        case Type.CONNECT:
            return Connect(_token(frame))
        case Type.PING:
            return Pong(frame.payload)
        case Type.PING_RESPONSE:
            return None
        case Type.PROTOCOL_ERROR | Type.INTERNAL_ERROR:
            return Close(frame.payload.decode(errors="replace"))
    raise ProtocolError(_INVALID_TYPE)


def _token(frame: Frame) -> str | None:
    try:
        token = json.loads(frame.payload)["authToken"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_spoken = frame.headers.get(":version") == PROTOCOL_VERSION
    return token if is_spoken and isinstance(token, str) else None


def _on_stream(stream: int, flags: int, frame: Frame, dialogue: Dialogue) -> Step | None:
    if stream in dialogue.open_streams:
        return End(stream) if flags & TERMINATE else None
    if stream <= dialogue.latest_stream:
        raise ProtocolError(
            f"{_STREAM_ORDER} A stream-id arrived that was lower than the last seen stream-id."
        )
    if stream != dialogue.latest_stream + 1:
        raise ProtocolError(f"{_STREAM_ORDER} A new stream-id arrived that was incremented by more than 1.")
    if not isinstance(frame.headers.get("operation"), str):
        raise ProtocolError("the first message on a stream names no operation.")
    return Begin(stream, operation_name(frame))


def read(payload: bytes) -> dict[str, Any]:
    """A request's JSON. Raises InvalidArgumentsError."""
    try:
        request = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentsError(f"The request is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise InvalidArgumentsError("The request is not a JSON object")
    return request


def write(payload: Mapping[str, Any]) -> bytes:
    """JSON as the nucleus writes it: compact, UTF-8 as it is, half a surrogate pair as Java has it, ``?``."""
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def error(error: IpcError) -> Mapping[str, Any]:
    """An error's fields, in their order."""
    return {
        "message": str(error),
        "_service": "aws.greengrass#GreengrassCoreIPC",
        "_message": str(error),
        "_errorCode": type(error).__name__,
    }


WIRE = Wire(
    route=route,
    read=read,
    write=write,
    error=error,
    unsupported="Operation aws.greengrass#{} is not supported by this edge host",
    terminates_replies=True,
    explains=True,
)
