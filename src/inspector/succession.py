"""A new model's first frames, with the one before it at hand.

1. A frame on which the new one fails goes to the one before. If that can judge it, the new one is to blame: the one
   before is back in office, and its verdict is the frame's.
2. If that fails too, the frame is to blame, and the new one stays.
3. After so many frames the new one has proved itself, and the one before is let go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from inspector.core.frame import FrameError

Judge = TypeVar("Judge")
Found = TypeVar("Found")


class Succession(Generic[Judge]):
    """Who judges. ``hold`` is called from one thread; anything may be read from others."""

    def __init__(self, judge: Judge, predecessor: Judge | None = None, frames: int = 0) -> None:
        self.judge = judge
        self.predecessor = predecessor if frames else None
        """None once the judge has proved itself, or has failed."""
        self.failure: str | None = None
        """Why the one who was new is not the judge any more."""
        self._frames_left = frames

    def hold(self, hearing: Callable[[Judge], Found]) -> Found:
        """Have a frame judged. What the hearing raises passes through, where nobody can judge the frame."""
        try:
            found = hearing(self.judge)
        except FrameError:
            raise  # nobody could
        except Exception as error:
            if self.predecessor is None:
                raise
            found = hearing(self.predecessor)
            self.judge, self.predecessor, self.failure = self.predecessor, None, repr(error)
            return found
        self._frames_left -= 1
        if self._frames_left <= 0:
            self.predecessor = None
        return found
