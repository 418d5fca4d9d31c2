"""A process that others are not to wait for."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

NICENESS = 5
"""A quarter of a core where the line wants all of it, all that is left where it does not."""
_FIRST_TO_GO = "1000"
"""Where memory runs out (proc(5), oom_score_adj)."""


def give_way(limit_s: int) -> None:
    """This process is the one that waits, the one to be killed where memory is short, and ends in good time."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    signal.alarm(limit_s)
