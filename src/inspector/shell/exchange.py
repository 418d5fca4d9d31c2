"""A request to Greengrass and its reply, as the SDK's operations give it, without a thread that waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

Explain = Callable[[BaseException], Exception]


class Exchanges:
    """The requests of one connection.

    The stream of a request is closed at the *next* reply. Greengrass Lite leaves it open, so somebody must; but where
    the reply ended it, closing it once more makes classic Greengrass hang up, and the SDK knows of the end only when
    the reply has been dealt with. All replies of a connection come in one thread.
    """

    def __init__(self) -> None:
        self._replied: Any = None

    def send(self, operation: Any, request: Any, explain: Explain) -> Future[Any]:
        """Send a request; the future is its reply, or what ``explain`` makes of the error. ``cancel`` gives it up."""
        reply: Future[Any] = Future()

        def given_up(_: Future[Any]) -> None:
            if reply.cancelled():
                operation.close()

        def unsent(written: Future[Any]) -> None:
            if error := written.exception():
                operation.close()
                _fail(reply, explain(error))

        def replied(response: Future[Any]) -> None:
            if reply.cancelled():  # it is closed; this may be the end of its stream
                return
            before, self._replied = self._replied, operation
            if before:
                before.close()
            if error := response.exception():
                _fail(reply, explain(error))
            else:
                with suppress(InvalidStateError):  # it was given up
                    reply.set_result(response.result())

        reply.add_done_callback(given_up)
        operation.get_response().add_done_callback(replied)
        operation.activate(request).add_done_callback(unsent)
        return reply


def _fail(reply: Future[Any], error: Exception) -> None:
    with suppress(InvalidStateError):  # it was given up, or has failed already
        reply.set_exception(error)
