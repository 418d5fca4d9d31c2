"""What the simulated host's tests share: clients of it by way of AWS's own SDK, and raw connections to it."""

from __future__ import annotations

import queue
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edgehost.frames import Frame, FrameDecoder, encode
from edgehost.thread import ThreadedHost

DEADLINE_S = 10

ALL_ALLOWED = {
    service: {"everything": {"operations": ["*"], "resources": ["*"]}}
    for service in ("aws.greengrass.ipc.pubsub", "aws.greengrass.ipc.mqttproxy")
}


class Inbox:
    """What a subscription hears, to be waited for."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.closed: queue.SimpleQueue[str] = queue.SimpleQueue()

    def handlers(self) -> dict[str, Callable[..., Any]]:
        """The callbacks that a subscription of the SDK's client takes."""
        return {
            "on_stream_event": self._events.put,
            "on_stream_error": lambda error: True,
            "on_stream_closed": lambda: self.closed.put("closed"),
        }

    def next(self) -> Any:
        """The next event; fails where none comes."""
        return self._events.get(timeout=DEADLINE_S)

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._events.empty()


class RawClient:
    """A connection that speaks frames and nothing more."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(str(path))
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []

    def send_bytes(self, data: bytes) -> None:
        """Send as they are."""
        self._socket.sendall(data)

    def send(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", **headers: Any) -> None:
        """Send a frame. Underscores in header names stand for what Python can't spell."""
        named = {
            ":version" if name == "version" else name.replace("_", "-"): headers[name] for name in headers
        }
        ids = {":message-type": kind, ":message-flags": flags, ":stream-id": stream}
        self.send_bytes(encode(Frame({**ids, **named}, payload)))

    def connect(self, token: str) -> Frame:
        """Shake hands; the answer."""
        self.send(4, payload=b'{"authToken": "%s"}' % token.encode(), version="0.1.0")
        return self.receive()

    def request(self, stream: int, operation: str, payload: bytes = b"{}") -> Frame:
        """Open a stream with a request; the answer."""
        name = f"aws.greengrass#{operation}"
        self.send(0, 0, stream, payload, operation=name, service_model_type=f"{name}Request")
        return self.receive()

    def receive(self) -> Frame:
        """The next frame."""
        while not self._frames:
            data = self._socket.recv(65536)
            assert data, "the connection was closed"
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def is_closed(self) -> bool:
        """Whether the server closed the connection, once it has nothing more to say."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def drain(self) -> None:
        """Read until the server closes the connection; fails where it doesn't."""
        with suppress(ConnectionResetError):
            while self._socket.recv(65536):
                pass

    def close(self) -> None:
        """Close from this side."""
        self._socket.close()


class Bench:
    """A host in a thread, and what a test needs of it."""

    def __init__(self, threaded: ThreadedHost, exit_stack: ExitStack) -> None:
        self.threaded = threaded
        self.host = threaded.host
        self.call = threaded.call
        self._exit = exit_stack

    def configure(self, component: str, configuration: dict[str, Any]) -> None:
        """Give a component a configuration, as its recipe's defaults would."""

        async def add() -> None:
            self.host.configuration.add_defaults(component, configuration)

        self.call(add())

    def token(self, component: str, access_control: Any = ALL_ALLOWED) -> str:
        """A token for a component, which may do everything unless told otherwise."""
        self.configure(component, {"accessControl": access_control})
        return self.host.tokens.issue(component)

    def client(self, component: str, access_control: Any = ALL_ALLOWED) -> GreengrassCoreIPCClientV2:
        """The SDK's client, connected as a component."""
        token = self.token(component, access_control)
        client = connect(ipc_socket=str(self.host.socket_path), authtoken=token, timeout=DEADLINE_S)
        wrapped = GreengrassCoreIPCClientV2(client=client)
        self._exit.callback(lambda: client.close().result(DEADLINE_S))
        return wrapped

    def raw(self) -> RawClient:
        """A raw connection, not yet shaken hands."""
        client = RawClient(self.host.socket_path)
        self._exit.callback(client.close)
        return client
