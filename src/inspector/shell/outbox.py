"""What waits to be published, in the ledger: a row for each inspection and each target that it was queued for."""

from __future__ import annotations

import time
from collections.abc import Sequence

from inspector.ports import Target
from inspector.shell.database import Database

RECENT_S = 60.0
"""What was published so shortly before a connection broke may not have left the nucleus, and is published again."""


class Outbox:
    """The outbox of one ledger. Its times are of a clock of its own: the wall clock jumps."""

    def __init__(self, db: Database) -> None:
        self._db = db
        # Without the index SQLite takes the primary key, and looks at all that was ever published.
        query = "SELECT max(changed_at) FROM outbox INDEXED BY published WHERE state = 'published'"
        self._began_s = db.number(query) - time.monotonic()

    def _now_s(self) -> float:
        """Seconds, going on from where the last run published something."""
        return self._began_s + time.monotonic()

    def recent_since_s(self) -> float:
        """What was published since then may have to be published again."""
        return self._now_s() - RECENT_S

    def waiting(
        self,
        target: Target,
        *,
        after: int,
        upto: int | None = None,
        limit: int = 1,
        was_published: bool = False,
    ) -> list[tuple[int, bytes]]:
        """The oldest messages with ``after`` < seq <= ``upto`` that wait for a target: seq, message.

        Those that were never published, or those that were, and are to be published again.
        """
        query = (
            "SELECT seq, message FROM outbox INDEXED BY waiting JOIN inspections USING (seq)"
            " WHERE target = ? AND state = 'waiting' AND (changed_at IS NOT NULL) = ? AND seq > ? AND seq <= ?"
            " ORDER BY seq LIMIT ?"
        )
        rows = self._db.rows(query, target, was_published, after, 2**62 if upto is None else upto, limit)
        return [(int(seq), bytes(message)) for seq, message in rows]

    def mark_published(self, seqs: Sequence[int], target: Target) -> None:
        """A target has taken the messages."""
        change = (
            "UPDATE outbox SET state = 'published', changed_at = ?, error = NULL WHERE target = ? AND seq = ?"
        )
        now_s = self._now_s()
        with self._db.change() as db:
            db.executemany(change, [(now_s, target, seq) for seq in seqs])

    def park(self, seq: int, target: Target, error: str) -> None:
        """A target will not take the message until something changes."""
        change = "UPDATE outbox SET state = 'parked', changed_at = ?, error = ? WHERE target = ? AND seq = ?"
        with self._db.change() as db:
            db.execute(change, (self._now_s(), error, target, seq))

    def unpark(self) -> int:
        """Let every parked message wait again; return how many."""
        change = (
            "UPDATE outbox INDEXED BY parked SET state = 'waiting', changed_at = NULL WHERE state = 'parked'"
        )
        with self._db.change() as db:
            return db.execute(change).rowcount

    def republish(self, seconds: float) -> int:
        """Let the messages published in the last so many seconds wait again; return how many.

        The seconds in which no process ran do not count.
        """
        change = (
            "UPDATE outbox INDEXED BY published SET state = 'waiting'"
            " WHERE state = 'published' AND changed_at >= ?"
        )
        with self._db.change() as db:
            return db.execute(change, (self._now_s() - seconds,)).rowcount

    def resend(self, first: int, last: int, target: Target) -> int:
        """Let the messages ``first`` <= seq <= ``last`` wait for a target again; return how many there are."""
        change = "UPDATE outbox SET state = 'waiting' WHERE target = ? AND seq BETWEEN ? AND ?"
        with self._db.change() as db:
            return db.execute(change, (target, first, last)).rowcount

    def count(self, state: str) -> int:
        """How many publishes are ``waiting``, ``published`` or ``parked``."""
        if state not in ("waiting", "published", "parked"):
            raise ValueError(f"there is no state {state}")
        # Each state has a partial index of its name, which SQLite takes only for a literal.
        query = f"SELECT count(*) FROM outbox INDEXED BY {state} WHERE state = '{state}'"  # noqa: S608  # one of three
        return int(self._db.number(query))
