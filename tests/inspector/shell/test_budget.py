"""How much is under way at one time."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from inspector.ports import Busy
from inspector.shell.budget import Budget
from inspector_fakes import DEADLINE_S, eventually


def budget(messages: int = 10, size_bytes: float = math.inf, linger_s: float = 0.0) -> Budget:
    return Budget(messages, size_bytes, lambda: linger_s)


def test_messages_are_limited() -> None:
    """Each reply makes room for one more."""
    limited = budget(messages=2)
    first = limited.send(1, Future)
    limited.send(1, Future)
    with pytest.raises(Busy):
        limited.send(1, Future)
    first.set_result(None)
    limited.send(1, Future)
    with pytest.raises(Busy):
        limited.send(1, Future)


@pytest.mark.parametrize("ending", ["set_result", "set_exception", "cancel"])
def test_bytes_are_limited(ending: str) -> None:
    """What does not fit waits until enough replies have come, of whatever kind; what fits goes meanwhile."""
    limited = budget(size_bytes=100)
    first, _ = limited.send(60, Future), limited.send(20, Future)
    with pytest.raises(Busy):
        limited.send(21, Future)
    limited.send(20, Future)
    arguments = {"set_result": (None,), "set_exception": (ValueError(),), "cancel": ()}[ending]
    getattr(first, ending)(*arguments)
    limited.send(60, Future)


def test_one_alone_may_be_larger() -> None:
    """Else it would never go; nothing goes beside it."""
    limited = budget(size_bytes=100)
    large = limited.send(5_000, Future)
    with pytest.raises(Busy):
        limited.send(0, Future)
    large.set_result(None)
    limited.send(100, Future)
    with pytest.raises(Busy):
        limited.send(5_000, Future)


def test_what_was_replied_to_lingers() -> None:
    """It counts for a while after its reply, and no longer."""
    limited = budget(messages=1, linger_s=1.0)
    limited.send(1, Future).set_result(None)
    with pytest.raises(Busy):
        limited.send(1, Future)
    limited.send_soon(1, Future, DEADLINE_S)


def test_no_room_in_time() -> None:
    """Who waits for room in vain is told, and holds up nobody afterwards."""
    limited = budget(messages=1)
    first = limited.send(1, Future)
    with pytest.raises(Busy):
        limited.send_soon(1, Future, 0.05)
    first.set_result(None)
    limited.send(1, Future)


def test_who_waits_goes_first() -> None:
    """Those who only try do not take the room away from one who waits for it."""
    limited = budget(messages=1, linger_s=0.2)
    first = limited.send(1, Future)
    sent: list[Future[Any]] = []
    waiting = threading.Thread(target=lambda: sent.append(limited.send_soon(1, Future, DEADLINE_S)))
    waiting.start()
    eventually(lambda: limited._in_line)
    first.set_result(None)
    while not sent:
        with pytest.raises(Busy):
            limited.send(1, Future)
    waiting.join()
