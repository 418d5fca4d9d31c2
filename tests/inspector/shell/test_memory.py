"""Memory that nothing holds goes back to the system."""

from __future__ import annotations

import os
import subprocess
import sys
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


ARENAS = """
import re, sys, threading
from pathlib import Path
from inspector.shell.memory import share_arena

if sys.argv[1] == "shared":
    share_arena()
busy, done = threading.Barrier(9), threading.Event()

def allocate():
    blocks = [bytes(1_000) for _ in range(100)]
    busy.wait()
    done.wait()
    del blocks

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
busy.wait()
found = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) ---p 0+ 00:00 0", Path("/proc/self/maps").read_text(), re.MULTILINE)
done.set()
# An arena of a thread is a region of 64 MB, most of it set aside for later.
print(sum(1 for start, end in found if 60 << 20 < int(end, 16) - int(start, 16) <= 64 << 20))
"""


@pytest.mark.parametrize(("how", "is_expected"), [("shared", False), ("as it is", True)])
def test_one_arena_for_all_threads(how: str, is_expected: bool) -> None:
    """Else each thread has one of its own, with holes of its own."""
    ended = subprocess.run(
        [sys.executable, "-c", ARENAS, how], capture_output=True, text=True, timeout=60, check=True
    )
    assert (int(ended.stdout) > 0) is is_expected
