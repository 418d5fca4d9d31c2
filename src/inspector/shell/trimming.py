"""Removes from the ledger what nothing is to be done with any more, a small step at a time.

1. A row goes only when its file is settled, its image is not still to be kept, and every target has its message
   for so long that it need not be published again.
2. What went is remembered as ranges of sequence numbers, so that a gap can be told from what was trimmed.
3. The file gives the room back to the disk.
"""

from __future__ import annotations

import math
import sqlite3
from typing import get_args

from inspector.core.ranges import merged
from inspector.ports import Target
from inspector.shell.database import Database

LOOK = 2_000
"""Rows that a step looks at."""
STEP = 200
"""Rows that a step removes at most."""
PAGES = 500
"""Pages that a step gives back to the disk at most."""

_TARGETS = ", ".join(f"'{target}'" for target in get_args(Target))
_CANDIDATES = f"""
SELECT seq, settled AND image != 'due' AND (? OR decided_at < ?) AND NOT EXISTS (
    SELECT 1 FROM outbox
    WHERE target IN ({_TARGETS}) AND outbox.seq = inspections.seq AND (state != 'published' OR changed_at >= ?)
), length(raw) + length(message)
FROM inspections WHERE seq > ? ORDER BY seq LIMIT ?
"""  # noqa: S608  # made of the names of the targets


class Trimming:
    """Goes through the ledger from the oldest row to the latest, and then begins again."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._after = 0
        self._was_large = False

    def size_bytes(self) -> int:
        """The size of the database in use; its write-ahead log comes on top, 4 MB of it or so."""
        free, pages = self._db.number("PRAGMA freelist_count"), self._db.number("PRAGMA page_count")
        return int((pages - free) * self._db.number("PRAGMA page_size"))

    def step(self, before: float, max_bytes: int, recent_since_s: float) -> int:
        """Remove rows decided before ``before`` (seconds since the epoch), and while the size is above
        ``max_bytes`` the oldest whatever their age, but none published since ``recent_since_s`` (the outbox's
        clock); return how many."""
        excess_bytes = self.size_bytes() - max_bytes
        is_large = excess_bytes > 0
        if is_large != self._was_large:  # those passed over for their age are the oldest
            self._after, self._was_large = 0, is_large
        with self._db.change() as db:
            rows = db.execute(_CANDIDATES, (is_large, before, recent_since_s, self._after, LOOK)).fetchall()
            seqs = _choose(rows, excess_bytes if is_large else math.inf)
            _remove(db, seqs)
        looked_upto = rows[-1][0] if len(rows) == LOOK else 0
        self._after = seqs[-1] if seqs else looked_upto
        self._give_back()
        return len(seqs)

    def _give_back(self) -> None:
        """A step of its own: it moves pages from the end of the file into the holes."""
        if self._db.number("PRAGMA freelist_count"):
            self._db.run(f"PRAGMA synchronous = NORMAL; PRAGMA incremental_vacuum({PAGES});")


def _choose(rows: list[tuple[int, int, int]], excess_bytes: float) -> list[int]:
    """The seqs of the first that can go, until what they hold makes up for the excess."""
    seqs: list[int] = []
    for seq, is_done_with, size_bytes in rows:
        if len(seqs) == STEP or excess_bytes <= 0:
            break
        if is_done_with:
            seqs.append(seq)
            excess_bytes -= size_bytes
    return seqs


def _remove(db: sqlite3.Connection, seqs: list[int]) -> None:
    if not seqs:
        return
    numbers = [(seq,) for seq in seqs]
    db.executemany(f"DELETE FROM outbox WHERE target IN ({_TARGETS}) AND seq = ?", numbers)  # noqa: S608
    db.executemany(
        "DELETE FROM attempts WHERE id = (SELECT id FROM inspections WHERE seq = ?)",
        numbers,
    )
    db.executemany("DELETE FROM inspections WHERE seq = ?", numbers)
    _remember(db, seqs)


def _remember(db: sqlite3.Connection, seqs: list[int]) -> None:
    """Add to the ranges of what was trimmed, together with those that they touch."""
    low, high = seqs[0] - 1, seqs[-1] + 1
    touching = "first <= ? AND first >= coalesce((SELECT max(first) FROM trimmed WHERE first <= ?), ?)"
    found = db.execute(f"SELECT first, last FROM trimmed WHERE {touching}", (high, low, low)).fetchall()  # noqa: S608
    db.executemany("DELETE FROM trimmed WHERE first = ?", [(first,) for first, _ in found])
    db.executemany("INSERT INTO trimmed VALUES (?, ?)", merged([*found, *((seq, seq) for seq in seqs)]))
