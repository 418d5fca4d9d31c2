"""How much may be under way to a target at one time."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from inspector.ports import Busy, Disconnected, Unreachable

log = logging.getLogger(__name__)

MAX_STRETCH = 8.0
CROWDED_S = 1.5
"""A refusal and an acceptance within so long of each other: the target is there, and has no room."""

Send = Callable[[], Future[Any]]


@dataclass(slots=True, eq=False)
class _Share:
    size_bytes: int
    over_s: float = math.inf
    """When it ceases to count: not before its reply."""


class Budget:
    """At most ``messages`` messages of ``size_bytes`` in total; one alone may be larger. For any thread.

    A message counts until ``linger_s()`` seconds after its reply, or after nobody waits for that any more. Where a
    message is refused while others linger, and soon after one is accepted, that was too short: from then on it is
    twice as long, up to ``MAX_STRETCH`` times.
    """

    def __init__(self, messages: int, size_bytes: float, linger_s: Callable[[], float]) -> None:
        self._messages = messages
        self._size_bytes = size_bytes
        self._linger_s = linger_s
        self._shares: list[_Share] = []
        self._in_line = 0
        self._stretch = 1.0
        self._refused_s = -math.inf
        """When a message was refused while others lingered."""
        self._changed = threading.Condition()

    def send(self, size_bytes: int, send: Send) -> Future[Any]:
        """Send a message now. Raises Busy where there is no room, or somebody waits for it."""
        with self._changed:
            share = None if self._in_line else self._take(size_bytes)
        return self._send(share, send)

    def send_soon(self, size_bytes: int, send: Send, timeout_s: float) -> Future[Any]:
        """Send a message as soon as there is room, before those who do not wait. Raises Busy if there is none in
        time."""
        end_s = time.monotonic() + timeout_s
        with self._changed:
            self._in_line += 1
            while not (share := self._take(size_bytes)) and time.monotonic() < end_s:
                next_s = min([end_s, *(each.over_s for each in self._shares)])
                self._changed.wait(next_s - time.monotonic())
            self._in_line -= 1
        return self._send(share, send)

    def is_empty(self) -> bool:
        """Whether nothing counts now."""
        with self._changed:
            self._forget()
            return not self._shares

    def _forget(self) -> None:
        now_s = time.monotonic()
        self._shares = [each for each in self._shares if each.over_s > now_s]

    def _take(self, size_bytes: int) -> _Share | None:
        self._forget()
        is_full = len(self._shares) >= self._messages
        is_too_much = sum(each.size_bytes for each in self._shares) + size_bytes > self._size_bytes
        if self._shares and (is_full or is_too_much):
            return None
        share = _Share(size_bytes)
        self._shares.append(share)
        return share

    def _send(self, share: _Share | None, send: Send) -> Future[Any]:
        if share is None:
            raise Busy
        reply = send()
        reply.add_done_callback(lambda _: self._give_back(share, reply))
        return reply

    def _give_back(self, share: _Share, reply: Future[Any]) -> None:
        with self._changed:
            self._learn(None if reply.cancelled() else reply)
            share.over_s = time.monotonic() + self._linger_s() * self._stretch
            self._changed.notify_all()

    def _learn(self, reply: Future[Any] | None) -> None:
        now_s, error = time.monotonic(), reply and reply.exception()
        if isinstance(error, Unreachable) and not isinstance(error, Disconnected):
            if any(now_s < each.over_s < math.inf for each in self._shares):
                self._refused_s = now_s
        elif reply and error is None and now_s - self._refused_s < CROWDED_S:
            self._refused_s = -math.inf
            if self._stretch < MAX_STRETCH:
                self._stretch *= 2
                now = f"{self._linger_s() * self._stretch:g} s"
                log.info("acknowledgments take longer than thought", extra={"messages_count_for": now})
