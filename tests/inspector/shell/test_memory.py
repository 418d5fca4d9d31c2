"""Memory that nothing holds goes back to the system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspector import housekeeping
from inspector.core.settings import Settings
from inspector.shell.memory import give_back

BLOCK, BLOCKS = 100_000, 1_000


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_was_freed_below_what_is_in_use_goes_back() -> None:
    """A block at the end of the heap keeps the allocator from doing so by itself."""
    blocks = [b"x" * BLOCK for _ in range(BLOCKS)]
    last = blocks.pop()
    del blocks
    before = rss_bytes()
    give_back()
    assert before - rss_bytes() > BLOCK * BLOCKS / 2
    assert len(last) == BLOCK


def test_housekeeping_does_it_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at every turn, which comes about once a second."""
    given: list[float] = []
    monkeypatch.setattr(housekeeping, "give_back", lambda: given.append(1))
    now_s = [1000.0]
    monkeypatch.setattr(housekeeping.time, "monotonic", lambda: now_s[0])
    house = housekeeping.Housekeeping(tmp_path, Settings())
    for _ in range(120):
        now_s[0] += 1.0
        house.turn()
    assert len(given) == 1 + 120 / housekeeping.GIVE_BACK_S
