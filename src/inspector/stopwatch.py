"""Which stage each thread of the line is at, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LONGEST_S = 1.0
"""Counted between two looks: a process that was halted meanwhile, or a machine that slept, did not work longer."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """A stage that takes too long, and what it is at: the path of a file, or the id of an inspection."""

    stage: str
    subject: str


class Stopwatch:
    """``at`` in the threads that work; ``overdue`` again and again in one that looks after them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[int, tuple[Overdue, float]] = {}
        self._looked_s = time.monotonic()
        self._awake_s = 0.0

    @contextmanager
    def at(self, stage: str, subject: str) -> Iterator[None]:
        """This thread is at a stage."""
        thread = threading.get_ident()
        with self._lock:
            self._since[thread] = Overdue(stage, subject), self._awake_s
        try:
            yield
        finally:
            with self._lock:
                del self._since[thread]

    def overdue(self, limit_s: float) -> list[Overdue]:
        """What has taken longer than ``limit_s``, to within the time between two looks."""
        now_s = time.monotonic()
        with self._lock:
            self._awake_s += min(now_s - self._looked_s, _LONGEST_S)
            self._looked_s = now_s
            return [what for what, since_s in self._since.values() if self._awake_s - since_s > limit_s]
