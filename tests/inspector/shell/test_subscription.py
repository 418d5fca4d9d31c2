"""A subscription tells that it was lost, and of nothing that was meant."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any

import pytest

from inspector.shell.subscription import Subscription


class Operation:
    """One whose reply comes when the test says so."""

    def __init__(self) -> None:
        self.reply: Future[Any] = Future()

    def activate(self, request: object) -> None: ...

    def get_response(self) -> Future[Any]:
        return self.reply

    def close(self) -> None: ...


@pytest.mark.parametrize(("closed", "lost"), [(None, 1), ("before the reply", 0), ("after the reply", 0)])
def test_an_end_is_told_unless_it_was_meant(closed: str | None, lost: int) -> None:
    """Also where it was closed before Greengrass had answered."""
    told: list[str] = []
    operation = Operation()
    subscription = Subscription(
        "a", print, told.append, lambda error, _: Exception(error), None, logging.WARNING
    )
    subscription.open(lambda _: operation, object())
    if closed == "before the reply":
        subscription.close()
    operation.reply.set_result(None)
    if closed == "after the reply":
        subscription.close()
    subscription.on_stream_closed()
    assert len(told) == lost
