"""One client's IPC connection: event-stream RPC, from CONNECT to close.

1. Each frame is a step, as the profile's wire decides; this takes it.
2. A subscription's events follow its reply, on the same stream.
3. Whatever is malformed closes its own connection and no other; so does leaving too much unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from edgehost.call import Call, Handler
from edgehost.errors import IpcError, ServiceError
from edgehost.frames import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, encode
from edgehost.wire import (
    ACCEPTED,
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
    model_type,
)
from edgehost.within import within

log = logging.getLogger(__name__)

Authenticate = Callable[[str], str | None]

_READ_BYTES = 64 * 1024
_MAX_UNREAD_BYTES = 2 * MAX_FRAME_BYTES
"""What waits for a client that doesn't read; beyond that its connection is cut."""


class Connection:
    """One client connection. ``is_full`` tells whether all clients together have too many subscriptions."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        authenticate: Authenticate,
        operations: Mapping[str, Handler],
        wire: Wire,
        is_full: Callable[[], bool],
    ) -> None:
        self.component = ""
        self.closed = asyncio.Event()
        self._wire = wire
        self._authenticate = authenticate
        self._operations = operations
        self._is_full = is_full
        self._reader = reader
        self._writer = writer
        self._calls: dict[int, list[Call]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest_stream = 0

    @property
    def subscriptions(self) -> list[Call]:
        """The subscriptions that are open."""
        return [call for calls in self._calls.values() for call in calls if call.is_subscription]

    async def run(self) -> None:
        """Read and route until either side closes."""
        try:
            await self._read()
        except FrameError as error:
            log.warning("connection of %s closed: malformed frame: %s", self._name(), error)
        except ProtocolError as error:
            log.warning("connection of %s closed: %s", self._name(), error)
            if self._wire.explains:
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
        self._send(Type.APPLICATION_MESSAGE, flags, stream, model, self._wire.write(payload))
        if flags & TERMINATE:
            self._end(stream)

    async def _read(self) -> None:
        decoder = FrameDecoder(self._wire.max_received_bytes)
        while data := await self._receive(decoder):
            for frame in decoder.feed(data):
                dialogue = Dialogue(bool(self.component), self._latest_stream, self._calls.keys())
                if not self._take(self._wire.route(frame, dialogue), frame):
                    return

    async def _receive(self, decoder: FrameDecoder) -> bytes:
        """What comes next, nothing at the end."""
        limit_s = self._wire.stall_s if decoder.is_amid_a_frame else None
        try:
            return await within(limit_s, self._reader.read(_READ_BYTES))
        except asyncio.TimeoutError as error:
            raise FrameError(f"its rest did not come within {limit_s:g} s") from error

    def _take(self, step: Step | None, frame: Frame) -> bool:
        """Take one step; False closes the connection."""
        match step:
            case Connect():
                return self._connect(step)
            case Begin():
                self._begin(step, frame.payload)
            case End():
                self._end(step.stream)
            case Pong():
                self._send(Type.PING_RESPONSE, payload=step.payload)
            case Close():
                log.warning("%s reports: %s", self._name(), step.reason)
                return False
        return True

    def _connect(self, step: Connect) -> bool:
        component = (step.token and self._authenticate(step.token)) or ""
        if step.component not in (None, component):
            component = ""
        if component or self._wire.explains:
            self._send(Type.CONNECT_ACK, ACCEPTED if component else 0)
        if not component:
            log.warning("connection refused: no token, one that is not valid, or another protocol version")
        self.component = component
        return bool(component)

    def _begin(self, step: Begin, payload: bytes) -> None:
        self._latest_stream = step.stream
        call = Call(self, self.component, step.stream, step.operation)
        # On the books before its task runs: the next frame may already end it.
        self._calls.setdefault(step.stream, []).append(call)
        call.on_end(lambda: self._strike_out(step.stream, call))
        task = asyncio.get_running_loop().create_task(self._answer(step.stream, call, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, stream: int) -> None:
        if calls := self._calls.get(stream):
            calls[0].end()

    def _strike_out(self, stream: int, call: Call) -> None:
        self._calls[stream].remove(call)
        if not self._calls[stream]:
            del self._calls[stream]

    async def _answer(self, stream: int, call: Call, payload: bytes) -> None:
        name = call.operation
        try:
            call.reply(await self._carry_out(call, payload), self._reply_flags(call))
        except IpcError as error:
            log.info("%s %s: %s: %s", self._name(), name, type(error).__name__, error)
            self._send_error(stream, call, error)
        except FrameError as error:
            log.error("%s of %s can't be answered: %s", name, self._name(), error)
            self._send_error(stream, call, ServiceError())
        except (
            Exception
        ):  # the boundary of one request: the client must get an answer, and the host must go on
            log.exception("%s of %s failed in the edge host", name, self._name())
            self._send_error(
                stream, call, ServiceError(f"{name} failed inside the edge host; its log has the traceback")
            )
        if not call.is_subscription and not self._wire.terminates_replies:
            call.end()

    async def _carry_out(self, call: Call, payload: bytes) -> dict[str, Any]:
        call.request = self._wire.read(payload)
        if (handler := self._operations.get(call.operation)) is None:
            raise ServiceError(self._wire.unsupported.format(call.operation))
        response = await handler(call)
        if call.is_subscription and self._is_full():
            raise ServiceError(self._wire.when_full.get(call.operation, ""))
        return response

    def _reply_flags(self, call: Call) -> int:
        return TERMINATE if self._wire.terminates_replies and not call.is_subscription else 0

    def _send_error(self, stream: int, call: Call, error: IpcError) -> None:
        if call.is_over:
            return
        payload = self._wire.write(self._wire.error(error))
        self._send(Type.APPLICATION_ERROR, TERMINATE, stream, type(error).__name__, payload)
        call.end()

    def _send(
        self, kind: Type, flags: int = 0, stream: int = 0, name: str = "", payload: bytes = b""
    ) -> None:
        headers: dict[str, int | str] = {":message-type": kind, ":message-flags": flags, ":stream-id": stream}
        if name:
            headers |= {":content-type": "application/json", "service-model-type": model_type(name)}
        data = encode(Frame(headers, payload), self._wire.max_sent_bytes)
        if self._writer.is_closing():
            return
        self._writer.write(data)
        if (unread := self._writer.transport.get_write_buffer_size()) > _MAX_UNREAD_BYTES:
            log.warning("connection of %s cut: it leaves %d bytes unread", self._name(), unread)
            self.close()

    async def _clean_up(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for call in [call for calls in self._calls.values() for call in calls]:
            call.end()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        self.closed.set()

    def _name(self) -> str:
        return self.component or "a client that has not connected"
