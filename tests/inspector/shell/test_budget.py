"""How much is under way at one time."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from inspector.ports import Busy, Disconnected, Unreachable
from inspector.shell import budget as module
from inspector.shell.budget import MAX_STRETCH, Budget
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


def reply_to(limited: Budget, error: Exception | None = None) -> None:
    reply = limited.send(1, Future)
    if error:
        reply.set_exception(error)
    else:
        reply.set_result(None)


def test_what_proves_too_short_gets_longer() -> None:
    """Refused while others linger, then accepted: twice as long, up to a limit."""
    limited = budget(messages=100, linger_s=10.0)
    reply_to(limited)
    for expected in (2.0, 4.0, 8.0, 8.0):
        reply_to(limited, Unreachable("Failed to publish the message."))
        reply_to(limited)
        reply_to(limited)
        assert limited._stretch == expected
    assert limited._stretch == MAX_STRETCH


@pytest.mark.parametrize("error", [Unreachable("offline"), Disconnected("cut"), ValueError("too large")])
def test_other_failures_teach_nothing(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal with nothing lingering, a cut connection, a message that is itself wrong; an outage, which no
    acceptance follows soon."""
    alone = budget(messages=100)
    reply_to(alone, error)
    reply_to(alone)
    assert alone._stretch == 1
    monkeypatch.setattr(module, "CROWDED_S", 0.0 if type(error) is Unreachable else 1.5)
    limited = budget(messages=100, linger_s=10.0)
    for _ in range(2):
        reply_to(limited)
        reply_to(limited, error)
    reply_to(limited)
    assert limited._stretch == 1
