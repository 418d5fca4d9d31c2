"""A bounded hand-over between two threads, at which nobody waits for one that has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from inspector.belt import Belt
from inspector_fakes import DEADLINE_S, eventually


def belt(limit: int = 3, max_bytes: int = 100) -> Belt[bytes]:
    return Belt(limit, max_bytes, len)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def is_waiting(belt: Belt[bytes]) -> bool:
    return bool(belt._changed._waiters)  # type: ignore[attr-defined]


def test_in_order() -> None:
    """What was put first is taken first, so many at a time as are there and wanted."""
    full = belt()
    for item in (b"a", b"b", b"c"):
        full.put(item)
    assert full.take(2) == [b"a", b"b"]
    assert full.take(2) == [b"c"]


@pytest.mark.parametrize(
    ("items", "too_much"),
    [([b"a", b"b", b"c"], b"d"), ([b"x" * 60], b"y" * 41), ([b"x" * 1_000], b"")],
    ids=["items", "bytes", "one alone may be larger, and then nothing else fits"],
)
def test_a_full_belt_waits(items: list[bytes], too_much: bytes) -> None:
    """Until something is taken from it."""
    full = belt()
    for item in items:
        full.put(item)
    putting = in_thread(lambda: full.put(too_much))
    eventually(lambda: is_waiting(full))
    assert full.take(len(items)) == items
    putting.join(DEADLINE_S)
    assert full.take(1) == [too_much]


def test_taking_waits_for_an_item() -> None:
    """And gets it."""
    empty, taken = belt(), []
    taking = in_thread(lambda: taken.extend(empty.take(1)))
    eventually(lambda: is_waiting(empty))
    empty.put(b"a")
    taking.join(DEADLINE_S)
    assert taken == [b"a"]


def test_a_closed_belt_gives_what_it_holds_then_nothing() -> None:
    """It takes in nothing more."""
    closed = belt()
    closed.put(b"a")
    closed.close()
    closed.put(b"b")
    assert [closed.take(5), closed.take(5)] == [[b"a"], []]


@pytest.mark.parametrize("wait", ["put", "take", "wait_until_finished"])
def test_closing_ends_every_wait(wait: str) -> None:
    """Whoever waits for a thread that has ended goes on."""
    waiting = belt(limit=1)
    if wait != "take":
        waiting.put(b"a")
    works = {
        "put": lambda: waiting.put(b"b"),
        "take": lambda: waiting.take(1),
        "wait_until_finished": waiting.wait_until_finished,
    }
    thread = in_thread(works[wait])
    eventually(lambda: is_waiting(waiting))
    waiting.close()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_finished_is_not_taken() -> None:
    """What was taken is under way until it is said to be finished."""
    one = belt()
    one.put(b"a")
    one.take(1)
    thread = in_thread(one.wait_until_finished)
    eventually(lambda: is_waiting(one))
    one.finished(1)
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
