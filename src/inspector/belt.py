"""What one thread of the line hands over to the next, in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Belt(Generic[Item]):
    """Holds at most ``limit`` items of ``max_bytes`` together; one alone may be larger.

    One thread puts, another takes. Whoever ends, or fails, closes the belt, and nobody waits at it any more.
    """

    def __init__(self, limit: int, max_bytes: int, size_bytes: Callable[[Item], int]) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._size_bytes = size_bytes
        self._items: deque[Item] = deque()
        self._held_bytes = 0
        self._unfinished = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Add an item as soon as there is room; on a closed belt it is left out."""
        size_bytes = self._size_bytes(item)
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._has_room(size_bytes))
            if self._is_closed:
                return
            self._items.append(item)
            self._held_bytes += size_bytes
            self._unfinished += 1
            self._changed.notify_all()

    def _has_room(self, size_bytes: int) -> bool:
        if not self._items:
            return True
        return len(self._items) < self._limit and self._held_bytes + size_bytes <= self._max_bytes

    def take(self, most: int) -> list[Item]:
        """Wait for an item; return those that are there, ``most`` at most. Empty: the belt is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._items)
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._held_bytes -= sum(map(self._size_bytes, taken))
            self._changed.notify_all()
        return taken

    def finished(self, items: int) -> None:
        """So many of those that were taken are done with."""
        with self._changed:
            self._unfinished -= items
            self._changed.notify_all()

    def wait_until_finished(self) -> None:
        """Return when all that was put is done with, or the belt is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or not self._unfinished)

    def close(self) -> None:
        """Take in nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
