"""What was seen, decided, published and kept. The only importer of sqlite3.

1. A row of ``inspections`` is an inspection that was decided; its ``seq`` rises by one without gaps.
2. The verdict, its message and what is still to be done with it become durable in one transaction.
3. ``outbox`` holds a row for each target a message goes to, until it is trimmed.
4. ``fingerprints`` remembers which version of a file that is still there was inspected.
5. ``attempts`` remembers which runs of the process began an inspection that is not decided.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inspector.core.verdict import VerdictName
from inspector.ports import Decision, Entry, LedgerBlocked, Target

log = logging.getLogger(__name__)

VERSION = 1

_SCHEMA = """
CREATE TABLE ledger (id TEXT NOT NULL);
CREATE TABLE inspections (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    path BLOB NOT NULL, source BLOB NOT NULL, mtime_ns INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    verdict TEXT NOT NULL, decided_at REAL NOT NULL, raw BLOB NOT NULL, message BLOB NOT NULL,
    keep TEXT NOT NULL,
    image TEXT NOT NULL CHECK (image IN ('none', 'due', 'stored', 'evicted')),
    settled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX unsettled ON inspections (seq) WHERE NOT settled;
CREATE TABLE outbox (
    target TEXT NOT NULL, seq INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'published', 'parked')),
    changed_at REAL, error TEXT,
    PRIMARY KEY (target, seq)
) WITHOUT ROWID;
CREATE INDEX outbox_state ON outbox (target, state, seq);
CREATE TABLE fingerprints (
    path BLOB PRIMARY KEY, mtime_ns INTEGER NOT NULL, size_bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE attempts (id TEXT, run TEXT, PRIMARY KEY (id, run)) WITHOUT ROWID;
"""

_FIX = "make room on the disk and see that the work directory can be written"
_FIX_CORRUPT = "move the file away, and do not delete it: a new ledger is begun without it"
_ENTRY = "SELECT seq, id, path, source, mtime_ns, size_bytes, keep, message, image, settled FROM inspections "


class SqliteLedger:
    """A ledger in one SQLite file. May be called from any thread. Raises LedgerBlocked where the disk fails it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._run = uuid.uuid4().hex
        with self._explained():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self.id = self._open()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Withdraw this run's attempts, for it ends in order, and close the file."""
        try:
            with self._transaction():
                self._db.execute("DELETE FROM attempts WHERE run = ?", (self._run,))
        except LedgerBlocked as error:
            log.warning("attempts not withdrawn", extra={"cause": str(error)})
        finally:
            self._db.close()

    def last_seq(self) -> int:
        """The highest sequence number given out; 0 before the first."""
        row = self._one("SELECT seq FROM sqlite_sequence WHERE name = 'inspections'")
        return int(row[0]) if row else 0

    def is_inspected(self, path: str, mtime_ns: int, size_bytes: int) -> bool:
        """Whether this version of a file that was left in place was inspected."""
        query = "SELECT 1 FROM fingerprints WHERE path = ? AND mtime_ns = ? AND size_bytes = ?"
        return self._one(query, os.fsencode(path), mtime_ns, size_bytes) is not None

    def attempt(self, inspection_id: str) -> int:
        """Record that this run begins an inspection; return how many runs have, this one included."""
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO attempts VALUES (?, ?)", (inspection_id, self._run))
            row = self._db.execute("SELECT count(*) FROM attempts WHERE id = ?", (inspection_id,)).fetchone()
        return int(row[0])

    def find(self, inspection_id: str) -> Entry | None:
        """The entry of an inspection that was decided."""
        row = self._one(_ENTRY + "WHERE id = ?", inspection_id)
        return _entry(row) if row else None

    def decide(self, decision: Decision, decided_at: float) -> Entry:
        """Record a verdict and its message, give it the next sequence number, and queue it for each target.

        What was decided before stays as it is, and is returned.
        """
        with self._transaction():
            if entry := self.find(decision.id):
                return entry
            seq = self._insert(decision, decided_at)
            message = decision.compose(seq)
            self._db.execute("UPDATE inspections SET message = ? WHERE seq = ?", (message, seq))
            rows = [(target, seq) for target in decision.targets]
            self._db.executemany("INSERT INTO outbox (target, seq) VALUES (?, ?)", rows)
            self._db.execute("DELETE FROM attempts WHERE id = ?", (decision.id,))
            return _entry(self._db.execute(_ENTRY + "WHERE seq = ?", (seq,)).fetchone())

    def _insert(self, decision: Decision, decided_at: float) -> int:
        claimed, identity = decision.claimed, decision.claimed.identity
        cursor = self._db.execute(
            "INSERT INTO inspections (id, path, source, mtime_ns, size_bytes, verdict, decided_at, raw, message,"
            " keep, image) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)",
            (
                decision.id, os.fsencode(identity.path), os.fsencode(claimed.source), identity.mtime_ns,
                identity.size_bytes, decision.verdict, decided_at, decision.raw, ",".join(decision.keep),
                "due" if decision.keep else "none",
            ),
        )  # fmt: skip
        return int(cursor.lastrowid or 0)

    def raw(self, seq: int) -> bytes:
        """The detections of an inspection down to 0.05, as JSON."""
        row = self._one("SELECT raw FROM inspections WHERE seq = ?", seq)
        return bytes(row[0]) if row else b"[]"

    def mark_stored(self, entry: Entry, evicted: tuple[str, ...]) -> None:
        """The image is in the keeper, which removed those of the ``evicted`` ids for it."""
        with self._transaction():
            self._db.execute("UPDATE inspections SET image = 'stored' WHERE seq = ?", (entry.seq,))
            ids = [(each,) for each in evicted]
            self._db.executemany("UPDATE inspections SET image = 'evicted' WHERE id = ?", ids)

    def mark_settled(self, entry: Entry, *, remains: bool) -> None:
        """Nothing more is to be done with the file; where it ``remains`` in place, its version is remembered."""
        fingerprint = (os.fsencode(entry.path), entry.mtime_ns, entry.size_bytes)
        with self._transaction():
            self._db.execute("UPDATE inspections SET settled = 1 WHERE seq = ?", (entry.seq,))
            if remains:
                self._db.execute("INSERT OR REPLACE INTO fingerprints VALUES (?, ?, ?)", fingerprint)

    def unsettled(self) -> list[Entry]:
        """Decided inspections whose file is still to be kept or settled, in order."""
        with self._explained():
            rows = self._db.execute(_ENTRY + "WHERE NOT settled ORDER BY seq").fetchall()
        return [_entry(row) for row in rows]

    def waiting(self, target: Target, *, after: int, upto: int | None = None) -> tuple[int, bytes] | None:
        """The oldest message with ``after`` < seq <= ``upto`` that waits for a target: seq, message."""
        query = (
            "SELECT seq, message FROM outbox JOIN inspections USING (seq) WHERE target = ? AND state = 'waiting'"
            " AND seq > ? AND seq <= ? ORDER BY seq LIMIT 1"
        )
        row = self._one(query, target, after, 2**62 if upto is None else upto)
        return (int(row[0]), bytes(row[1])) if row else None

    def mark_published(self, seq: int, target: Target, published_at: float) -> None:
        """A target has taken the message, at ``published_at`` seconds since the epoch."""
        change = (
            "UPDATE outbox SET state = 'published', changed_at = ?, error = NULL WHERE seq = ? AND target = ?"
        )
        with self._transaction():
            self._db.execute(change, (published_at, seq, target))

    def park(self, seq: int, target: Target, error: str) -> None:
        """A target will not take the message until something changes."""
        change = "UPDATE outbox SET state = 'parked', error = ? WHERE seq = ? AND target = ?"
        with self._transaction():
            self._db.execute(change, (error, seq, target))

    def unpark(self) -> int:
        """Let every parked message wait again; return how many."""
        with self._transaction():
            return self._db.execute("UPDATE outbox SET state = 'waiting' WHERE state = 'parked'").rowcount

    def republish(self, since: float) -> int:
        """Let the messages published at or after ``since`` (seconds since the epoch) wait again; how many."""
        change = "UPDATE outbox SET state = 'waiting' WHERE state = 'published' AND changed_at >= ?"
        with self._transaction():
            return self._db.execute(change, (since,)).rowcount

    def resend(self, first: int, last: int, target: Target) -> int:
        """Let the messages ``first`` <= seq <= ``last`` wait for a target again; return how many there are."""
        change = "UPDATE outbox SET state = 'waiting' WHERE target = ? AND seq BETWEEN ? AND ?"
        with self._transaction():
            return self._db.execute(change, (target, first, last)).rowcount

    def count(self, state: str) -> int:
        """How many publishes are ``waiting``, ``published`` or ``parked``."""
        row = self._one("SELECT count(*) FROM outbox WHERE state = ?", state)
        return int(row[0]) if row else 0

    def verdicts(self) -> dict[VerdictName, int]:
        """How many inspections were decided, by verdict."""
        with self._explained():
            rows = self._db.execute("SELECT verdict, count(*) FROM inspections GROUP BY verdict").fetchall()
        counts: dict[VerdictName, int] = {"pass": 0, "fail": 0, "review": 0}
        return counts | dict(rows)

    def _open(self) -> str:
        with self._explained():
            self._prepare()
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            return str(self._db.execute("SELECT id FROM ledger").fetchone()[0])

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            fix = "deploy that version again or move the file away"
            raise LedgerBlocked(f"ledger {self._path}", f"written by a later version (schema {version})", fix)
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION};")
            self._db.execute("INSERT INTO ledger VALUES (?)", (uuid.uuid4().hex[:16],))
            self._db.execute("COMMIT")

    def _one(self, query: str, *parameters: object) -> tuple[Any, ...] | None:
        with self._explained():
            row: tuple[Any, ...] | None = self._db.execute(query, parameters).fetchone()
            return row

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                is_operational = isinstance(error, sqlite3.OperationalError)
                raise LedgerBlocked(
                    f"ledger {self._path}", error, _FIX if is_operational else _FIX_CORRUPT
                ) from error


def _entry(row: tuple[Any, ...]) -> Entry:
    seq, inspection_id, path, source, mtime_ns, size_bytes, keep, message, image, settled = row
    return Entry(
        seq,
        inspection_id,
        os.fsdecode(path),
        Path(os.fsdecode(source)),
        mtime_ns,
        size_bytes,
        tuple(filter(None, keep.split(","))),
        message,
        is_stored=image != "due",
        is_settled=bool(settled),
    )
