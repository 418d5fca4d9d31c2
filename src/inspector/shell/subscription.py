"""A subscription over Greengrass IPC: passes its events on, and tells when it ends after it once was open."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from awsiot import eventstreamrpc as rpc

log = logging.getLogger(__name__)

Explain = Callable[[BaseException, str | None], Exception]
"""What an error means, where it concerns a topic."""


class Subscription(rpc.StreamResponseHandler):  # type: ignore[misc]  # the SDK has no types
    """``open`` it once; ``topic`` is None where it is to none. Its events come in the SDK's own thread."""

    def __init__(
        self,
        topic: str | None,
        on_event: Callable[[Any], None],
        report_lost: Callable[[str], None],
        explain: Explain,
        cause: str | None,
        level: int,
    ) -> None:
        self.topic = topic
        self.is_over = False
        self.cause = cause
        """Why it could not be opened, the last time that was said."""
        self.is_open = False
        self._is_wanted = True
        self._level = level
        self._on_event = on_event
        self._report_lost = report_lost
        self._explain = explain
        self._operation: Any = None

    def open(self, operation: Callable[[rpc.StreamResponseHandler], Any], request: Any) -> None:
        """Send the request; the reply is dealt with when it comes."""
        name = type(request).__name__
        try:
            self._operation = operation(self)
            self._operation.activate(request)
            self._operation.get_response().add_done_callback(lambda reply: self._opened(name, reply))
        except Exception as error:  # noqa: BLE001  # as in a request; the connection's end is told by its handler
            self._fail(name, error)

    def _opened(self, name: str, reply: Future[Any]) -> None:
        if error := reply.exception():
            self._fail(name, error)
        else:
            self.is_open = True

    def _fail(self, name: str, error: BaseException) -> None:
        self.is_over = True
        cause = str(self._explain(error, self.topic))
        if cause != self.cause:
            log.log(self._level, "not subscribed", extra={"operation": name, "cause": cause})
        self.cause = cause

    def close(self) -> None:
        """End it without telling, also where the reply is still to come."""
        self._is_wanted = False
        if self._operation is not None:
            self._operation.close()

    def on_stream_event(self, event: Any) -> None:
        self._on_event(event)

    def on_stream_error(self, error: Exception) -> bool:
        return True

    def on_stream_closed(self) -> None:
        self.is_over = True
        if self.is_open and self._is_wanted:
            self._report_lost("a subscription was closed")
