"""One client's IPC connection: event-stream RPC as the classic nucleus speaks it.

1. A connection's first message is CONNECT; its token decides which component it speaks for. A refused token is
   answered by CONNECT_ACK without the accepted flag, and the connection closes.
2. Streams are opened by the client with ids 1, 2, 3…; a gap, or a message on a stream that has ended (a late
   TERMINATE too), is a protocol error that closes the connection (aws-c-event-stream up to 0.5.4).
3. A unary reply carries TERMINATE; a subscription's does not, and its events follow the reply.
4. Whatever is malformed closes its own connection and no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from edgehost.call import TERMINATE, Call, Handler
from edgehost.errors import InvalidArgumentsError, IpcError, ServiceError
from edgehost.frames import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, encode

log = logging.getLogger(__name__)

ACCEPTED = 1
Authenticate = Callable[[str], str | None]

_MODEL_PREFIX = "aws.greengrass#"
_PROTOCOL_VERSION = "0.1.0"
_READ_BYTES = 64 * 1024

# What a peer is told: the words of aws-c-event-stream, ``event_stream_rpc_priv.h``.
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


@dataclass(frozen=True, slots=True)
class Wire:
    """How a nucleus speaks the protocol, where the two differ."""

    terminates_replies: bool = True
    """Whether the reply to a unary request ends its stream."""
    max_frame_bytes: int = MAX_FRAME_BYTES
    """A longer frame closes the connection."""


class ProtocolError(Exception):
    """The peer broke the RPC protocol; the message is what it is told before the connection closes."""


class Connection:
    """One client connection, from CONNECT to close."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        authenticate: Authenticate,
        operations: Mapping[str, Handler],
        wire: Wire,
    ) -> None:
        self._wire = wire
        self.component = ""
        self.closed = asyncio.Event()
        self._authenticate = authenticate
        self._operations = operations
        self._reader = reader
        self._writer = writer
        self._calls: dict[int, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest_stream = 0

    async def run(self) -> None:
        """Read and route until either side closes."""
        try:
            await self._read()
        except FrameError as error:
            log.warning("connection of %s closed: malformed frame: %s", self._name(), error)
        except ProtocolError as error:
            log.warning("connection of %s closed: %s", self._name(), error)
            self._send(Type.PROTOCOL_ERROR, payload=json.dumps({"message": str(error)}).encode())
        except ConnectionError as error:
            log.debug("connection of %s is gone: %s", self._name(), error)
        finally:
            await self._clean_up()

    def close(self) -> None:
        """Cut the connection, whatever is still to be sent."""
        self._writer.transport.abort()

    def send_message(self, stream: int, model: str, payload: dict[str, Any], flags: int = 0) -> None:
        """Write an application message of the given model; TERMINATE in ``flags`` ends the stream."""
        self._send(Type.APPLICATION_MESSAGE, flags, stream, model, _dump(payload))
        self._end_if(flags, stream)

    async def _read(self) -> None:
        decoder = FrameDecoder()
        while data := await self._reader.read(_READ_BYTES):
            for frame in decoder.feed(data):
                if not self._route(frame):
                    return

    def _route(self, frame: Frame) -> bool:
        """Handle one frame; False closes the connection."""
        kind, flags, stream = (
            frame.headers.get(f":{name}") for name in ("message-type", "message-flags", "stream-id")
        )
        if not (isinstance(kind, int) and isinstance(flags, int) and isinstance(stream, int)):
            raise ProtocolError(_MISSING_FIELDS)
        if (kind == Type.CONNECT) == bool(self.component):
            raise ProtocolError(_CONNECT_FIRST)
        if kind != Type.APPLICATION_MESSAGE and stream != 0:
            raise ProtocolError(_STREAM_NOT_ALLOWED)
        return self._route_checked(Type(kind) if kind in set(Type) else None, flags, stream, frame)

    def _route_checked(self, kind: Type | None, flags: int, stream: int, frame: Frame) -> bool:
        match kind:
            case Type.CONNECT:
                return self._connect(frame)
            case Type.APPLICATION_MESSAGE:
                self._on_stream(stream, flags, frame)
            case Type.PING:
                self._send(Type.PING_RESPONSE, payload=frame.payload)
            case Type.PING_RESPONSE:
                pass
            case Type.PROTOCOL_ERROR | Type.INTERNAL_ERROR:
                log.warning("%s reports: %s", self._name(), frame.payload.decode(errors="replace"))
                return False
            case _:
                raise ProtocolError(_INVALID_TYPE)
        return True

    def _connect(self, frame: Frame) -> bool:
        component = self._authenticated(frame)
        self._send(Type.CONNECT_ACK, ACCEPTED if component else 0)
        self.component = component or ""
        return bool(component)

    def _authenticated(self, frame: Frame) -> str | None:
        try:
            token = json.loads(frame.payload)["authToken"]
        except (ValueError, KeyError, TypeError):
            token = None
        version = frame.headers.get(":version")
        component = self._authenticate(token) if isinstance(token, str) else None
        if version == _PROTOCOL_VERSION and component:
            return component
        log.warning("connection refused: version %r, token %s", version, "unknown" if token else "missing")
        return None

    def _on_stream(self, stream: int, flags: int, frame: Frame) -> None:
        if call := self._calls.get(stream):
            if flags & TERMINATE:
                del self._calls[stream]
                call.end()
            return
        self._check_new(stream)
        self._latest_stream = stream
        operation = frame.headers.get("operation")
        if not isinstance(operation, str):
            raise ProtocolError("the first message on a stream names no operation.")
        # On the books before its task runs: the next frame may already end it.
        call = self._calls[stream] = Call(self, self.component, stream, operation.removeprefix(_MODEL_PREFIX))
        task = asyncio.get_running_loop().create_task(self._answer(stream, call, frame.payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check_new(self, stream: int) -> None:
        if stream <= self._latest_stream:
            raise ProtocolError(
                f"{_STREAM_ORDER} A stream-id arrived that was lower than the last seen stream-id."
            )
        if stream != self._latest_stream + 1:
            raise ProtocolError(
                f"{_STREAM_ORDER} A new stream-id arrived that was incremented by more than 1."
            )

    async def _answer(self, stream: int, call: Call, payload: bytes) -> None:
        name = call.operation
        try:
            call.request = _load(payload)
            if (handler := self._operations.get(name)) is None:
                raise ServiceError(f"Operation {_MODEL_PREFIX}{name} is not supported by this edge host")
            response = await handler(call)
        except IpcError as error:
            log.info("%s %s: %s: %s", self._name(), name, type(error).__name__, error)
            self._send_error(stream, error)
        except (
            Exception
        ):  # the boundary of one request: the client must get an answer, and the host must go on
            log.exception("%s of %s failed in the edge host", name, self._name())
            self._send_error(
                stream, ServiceError(f"{name} failed inside the edge host; its log has the traceback")
            )
        else:
            call.reply(
                response, keep_open=name.startswith("SubscribeTo") or not self._wire.terminates_replies
            )

    def _send_error(self, stream: int, error: IpcError) -> None:
        if stream not in self._calls:
            return
        self._send(Type.APPLICATION_ERROR, TERMINATE, stream, type(error).__name__, _dump(error.payload()))
        self._end_if(TERMINATE, stream)

    def _end_if(self, flags: int, stream: int) -> None:
        if flags & TERMINATE and (call := self._calls.pop(stream, None)):
            call.end()

    def _send(
        self, kind: Type, flags: int = 0, stream: int = 0, model: str = "", payload: bytes = b""
    ) -> None:
        headers: dict[str, int | str] = {":message-type": kind, ":message-flags": flags, ":stream-id": stream}
        if model:
            headers |= {":content-type": "application/json", "service-model-type": _MODEL_PREFIX + model}
        if not self._writer.is_closing():
            self._writer.write(encode(Frame(headers, payload)))

    async def _clean_up(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for call in list(self._calls.values()):
            call.end()
        self._calls.clear()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        self.closed.set()

    def _name(self) -> str:
        return self.component or "a client that has not connected"


def _dump(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _load(payload: bytes) -> dict[str, Any]:
    try:
        request = json.loads(payload)
    except ValueError as error:
        raise InvalidArgumentsError(f"The request is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise InvalidArgumentsError("The request is not a JSON object")
    return request
