"""Event-stream RPC as Greengrass Lite speaks it.

1. A connection's first message is CONNECT. Whatever is wrong with it, the connection closes without a word.
2. Any stream id but 0 will do, in any order, also one that is in use: then two requests share it. A TERMINATE on a
   stream that isn't open is nothing.
3. No reply carries TERMINATE; only an error does.
4. Whatever else comes on a stream, a ping too, is answered like an unknown operation: ServiceError with an empty
   message. On stream 0 it closes the connection; so an ordinary ping does.

Source: ``ipc_server.c``, ``ipc_subscriptions.c`` and ``ipc_dispatch.c`` of ggipcd, ``socket_server.c``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgehost.errors import IpcError, ServiceError
from edgehost.frames import Frame
from edgehost.lite import json_text
from edgehost.lite.daemons import DAEMONS
from edgehost.wire import (
    ACCEPTED,
    PROTOCOL_VERSION,
    TERMINATE,
    Begin,
    Connect,
    Dialogue,
    End,
    ProtocolError,
    Step,
    Type,
    Wire,
    operation_name,
)


def route(frame: Frame, dialogue: Dialogue) -> Step:
    """What to do about a frame. Raises ProtocolError."""
    kind, flags, stream = (_int32(frame, name) for name in (":message-type", ":message-flags", ":stream-id"))
    if not dialogue.is_connected:
        return _connect(kind, flags, stream, frame)
    if stream == 0:
        raise ProtocolError(f"a message of type {kind} came on stream 0")
    if flags & TERMINATE:
        return End(stream)
    is_request = kind == Type.APPLICATION_MESSAGE and not flags & ACCEPTED
    return Begin(stream, operation_name(frame) if is_request else "")


def _int32(frame: Frame, name: str) -> int:
    value = frame.headers.get(name, 0)
    if not isinstance(value, int):
        raise ProtocolError(f"header {name} is no int32")
    return value


def _connect(kind: int, flags: int, stream: int, frame: Frame) -> Connect:
    if kind != Type.CONNECT or stream != 0 or flags & (ACCEPTED | TERMINATE):
        raise ProtocolError("the first message is no CONNECT, or not on stream 0, or has flags")
    if (version := frame.headers.get(":version", PROTOCOL_VERSION)) != PROTOCOL_VERSION:
        raise ProtocolError(f"the client speaks version {version!r}, not {PROTOCOL_VERSION}")
    try:
        claims = json_text.read(frame.payload)
    except ValueError as error:
        raise ProtocolError(f"CONNECT holds no JSON: {error}") from error
    if not isinstance(claims, dict):
        raise ProtocolError("CONNECT holds no JSON object")
    if not all(isinstance(claims.get(name, ""), str) for name in ("authToken", "componentName")):
        raise ProtocolError("authToken or componentName in CONNECT is no text")
    return Connect(claims.get("authToken"), claims.get("componentName"))


def read(payload: bytes) -> dict[str, Any]:
    """A request's JSON. Raises ServiceError, with an empty message as for all that ggipcd itself refuses."""
    try:
        request = json_text.read(payload)
    except ValueError as error:
        raise ServiceError from error
    if not isinstance(request, dict):
        raise ServiceError
    return request


def write(payload: Mapping[str, Any]) -> bytes:
    """JSON as Lite writes it."""
    return json_text.write(payload).encode()


def error(error: IpcError) -> Mapping[str, Any]:
    """An error's fields, in their order."""
    return {"_message": str(error), "_errorCode": type(error).__name__}


WIRE = Wire(
    route=route,
    read=read,
    write=write,
    error=error,
    unsupported="",
    terminates_replies=False,
    explains=False,
    max_received_bytes=10_012,  # GGL_IPC_MAX_MSG_LEN holds what follows the prelude of 12 bytes…
    max_sent_bytes=10_000,  # …and the whole of what is sent
    max_connections=50,
    max_subscriptions=100,
    stall_s=5.0,
    # as when the daemon that would hold the subscription is away
    when_full={name: daemon.answers[name][1] for daemon in DAEMONS.values() for name in daemon.subscriptions},
)
