"""One IPC request and the stream it came on, as an operation's handler sees it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from edgehost.frames import FrameError

log = logging.getLogger(__name__)

_SUBSCRIBES = "SubscribeTo"


class Sender(Protocol):
    """What a call needs of its connection."""

    def send_message(self, stream: int, model: str, payload: dict[str, Any], flags: int = 0) -> None:
        """Write an application message of the given model; TERMINATE in ``flags`` ends the stream.

        Raises FrameError where it is too long to be sent.
        """

    def close(self) -> None:
        """Cut the connection, whatever is still to be sent."""


class Call:
    """One request on its stream: what a handler sees.

    ``component`` is who asks, ``request`` the decoded JSON. A subscription keeps the call and ``send``s events on it
    until ``on_end`` callbacks tell that the stream or its connection is gone.
    """

    def __init__(self, connection: Sender, component: str, stream: int, operation: str) -> None:
        self.component = component
        self.operation = operation
        self.request: dict[str, Any] = {}
        self._connection = connection
        self._stream = stream
        self._early_events: list[tuple[str, dict[str, Any]]] | None = []
        self._on_end: list[Callable[[], None]] = []
        self._ended = False

    @property
    def is_subscription(self) -> bool:
        """Whether events follow the reply."""
        return self.operation.startswith(_SUBSCRIBES)

    @property
    def is_over(self) -> bool:
        """Whether its stream has ended."""
        return self._ended

    def send(self, model: str, event: dict[str, Any]) -> None:
        """Send a stream event; one that comes before the reply waits for it, one after the end is dropped.

        One that is too long to be sent is left out too.
        """
        if self._early_events is not None:
            self._early_events.append((model, event))
        elif not self._ended:
            try:
                self._connection.send_message(self._stream, model, event)
            except FrameError as error:
                log.error("an event of %s for %s is left out: %s", self.operation, self.component, error)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once when the stream ends; at once when it already has."""
        if self._ended:
            callback()
        else:
            self._on_end.append(callback)

    def reply(self, response: dict[str, Any], flags: int = 0) -> None:
        """Answer the request; TERMINATE in ``flags`` ends the stream. A stream that has ended gets no answer.

        Raises FrameError where the answer is too long to be sent.
        """
        if self._ended:
            return
        self._connection.send_message(self._stream, f"{self.operation}Response", response, flags)
        early, self._early_events = self._early_events or [], None
        for model, event in early:
            self.send(model, event)

    def cut(self) -> None:
        """Cut the connection that the request came on, in place of an answer."""
        self._connection.close()

    def end(self) -> None:
        """The stream is over: run the callbacks, once. Of itself this tells the client nothing."""
        self._ended = True
        callbacks, self._on_end = self._on_end, []
        for callback in callbacks:
            callback()


Handler = Callable[[Call], Awaitable[dict[str, Any]]]
