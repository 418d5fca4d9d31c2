"""What is to be done from time to time."""

from __future__ import annotations

import time


class Every:
    """Is due at once, then every ``interval_s``."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._next_s = 0.0

    def is_due(self) -> bool:
        """Whether it is time; if so, the next time is an interval from now."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self.restart()
        return True

    def make_due(self) -> None:
        """It is time."""
        self._next_s = 0.0

    def restart(self) -> None:
        """The next time is an interval from now."""
        self._next_s = time.monotonic() + self.interval_s
