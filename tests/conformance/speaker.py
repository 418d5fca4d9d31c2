"""The two ways to put a request to a host: through AWS's own client, and as frames."""

from __future__ import annotations

import json
import queue
import re
from collections.abc import Callable
from typing import Any, Protocol

import awsiot.greengrasscoreipc.client as sdk
import awsiot.greengrasscoreipc.model as m
from awsiot.eventstreamrpc import StreamResponseHandler
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from conformance.case import Payload
from edgehost.frames import Frame
from ipc_bench import DEADLINE_S, RawClient

Answer = tuple[str, dict[str, Any]]
"""The model's name without its prefix, and the payload."""

_PREFIX = "aws.greengrass#"


def _find_operations() -> dict[str, Callable[..., Any]]:
    constructors = {name: made for name, made in vars(sdk.GreengrassCoreIPCClient).items() if "new_" in name}
    named = {}
    for name, made in constructors.items():
        words = "".join(word.capitalize() for word in name.removeprefix("new_").split("_"))
        named[re.sub("Iot", "IoT", words)] = made
    return named


OPERATIONS = _find_operations()
"""Every operation of the SDK's client, by name: what makes one of a client."""


def request_model(operation: str) -> Any:
    """The SDK's class for an operation's request."""
    return getattr(m, f"{operation}Request")


def can_express(operation: str, payload: Payload) -> bool:
    """Whether the SDK's classes can hold a request as it is."""
    try:
        expressed = request_model(operation)._from_payload(payload)._to_payload()
    except Exception:  # noqa: BLE001  # whatever its classes make of a request of the wrong type
        return False
    return json.dumps(expressed, sort_keys=True) == json.dumps(payload, sort_keys=True)


class Speaker(Protocol):
    """A connection of one component."""

    def ask(self, operation: str, payload: Payload) -> Answer:
        """Send a request; its answer."""

    def next_event(self) -> Any:
        """The next event of the streams that are open."""

    def has_event(self) -> bool:
        """Whether one waits."""


class SdkSpeaker:
    """Through GreengrassCoreIPCClient."""

    def __init__(self, client: GreengrassCoreIPCClientV2) -> None:
        self._client = client.client
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask(self, operation: str, payload: Payload) -> Answer:
        """Send a request; its answer."""
        streams = (self._handler(),) if operation.startswith("SubscribeTo") else ()
        call = OPERATIONS[operation](self._client, *streams)
        call.activate(request_model(operation)._from_payload(payload))
        try:
            response = call.get_response().result(DEADLINE_S)
        except m.GreengrassCoreIPCError as error:
            return type(error).__name__, {"_message": getattr(error, "message", None)}
        return type(response).__name__, response._to_payload()

    def next_event(self) -> Any:
        """The next event of the streams that are open."""
        return self._events.get(timeout=DEADLINE_S)

    def has_event(self) -> bool:
        """Whether one waits."""
        return not self._events.empty()

    def _handler(self) -> StreamResponseHandler:
        handler = StreamResponseHandler()
        handler.on_stream_event = lambda event: self._events.put(event._to_payload())
        return handler


class WireSpeaker:
    """In frames. An event that arrives before an answer counts as heard before it."""

    def __init__(self, client: RawClient, token: str) -> None:
        self._client = client
        self._stream = 0
        self._events: list[Any] = []
        client.connect(token)

    def ask(self, operation: str, payload: Payload) -> Answer:
        """Send a request; its answer."""
        self._stream += 1
        name = _PREFIX + operation
        request = json.dumps(payload).encode()
        self._client.send(0, 0, self._stream, request, operation=name, service_model_type=f"{name}Request")
        while (frame := self._client.receive()).headers[":stream-id"] != self._stream:
            self._events.append(_decoded(frame)[1])
        return _decoded(frame)

    def next_event(self) -> Any:
        """The next event of the streams that are open."""
        return self._events.pop(0) if self._events else _decoded(self._client.receive())[1]

    def has_event(self) -> bool:
        """Whether one waits."""
        return bool(self._events)


def _decoded(frame: Frame) -> Answer:
    return str(frame.headers["service-model-type"]).removeprefix(_PREFIX), json.loads(frame.payload)
