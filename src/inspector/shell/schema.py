"""The tables of the ledger, and how those of an earlier version become them.

1. A ledger has the id that it was made with, whatever version it is brought to.
2. A migration is one transaction: cut short, it leaves the version that was there.
3. Columns are added at the end only, so that a ledger that was brought here is as one that was made here.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import uuid
from pathlib import Path

from inspector.ports import LedgerBlocked

log = logging.getLogger(__name__)

VERSION = 2

_LEDGER = """
CREATE TABLE ledger (id TEXT NOT NULL);
CREATE TABLE inspections (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    path BLOB NOT NULL, source BLOB NOT NULL, mtime_ns INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    verdict TEXT NOT NULL, decided_at REAL NOT NULL, raw BLOB NOT NULL, message BLOB NOT NULL,
    keep TEXT NOT NULL,
    image TEXT NOT NULL CHECK (image IN ('none', 'due', 'stored', 'evicted')),
    settled INTEGER NOT NULL DEFAULT 0,
    targets TEXT NOT NULL DEFAULT ''
);
CREATE INDEX unsettled ON inspections (seq) WHERE NOT settled;
CREATE TABLE outbox (
    target TEXT NOT NULL, seq INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'published', 'parked')),
    changed_at REAL, error TEXT,
    PRIMARY KEY (target, seq)
) WITHOUT ROWID;
CREATE INDEX waiting ON outbox (target, changed_at IS NOT NULL, seq) WHERE state = 'waiting';
CREATE INDEX parked ON outbox (target, seq) WHERE state = 'parked';
CREATE INDEX published ON outbox (changed_at) WHERE state = 'published';
CREATE TABLE fingerprints (
    path BLOB PRIMARY KEY, mtime_ns INTEGER NOT NULL, size_bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE attempts (
    id TEXT, run TEXT, path BLOB, source BLOB, timed_out INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id, run)
) WITHOUT ROWID;
CREATE TABLE trimmed (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE verdicts (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""

_MIGRATIONS = {
    1: """
ALTER TABLE inspections ADD COLUMN targets TEXT NOT NULL DEFAULT '';
UPDATE inspections SET targets = trim(
    CASE WHEN EXISTS (SELECT 1 FROM outbox WHERE target = 'topic' AND outbox.seq = inspections.seq)
        THEN 'topic' ELSE '' END || ',' ||
    CASE WHEN EXISTS (SELECT 1 FROM outbox WHERE target = 'iot_core' AND outbox.seq = inspections.seq)
        THEN 'iot_core' ELSE '' END, ',');
DROP INDEX outbox_state;
CREATE INDEX waiting ON outbox (target, changed_at IS NOT NULL, seq) WHERE state = 'waiting';
CREATE INDEX parked ON outbox (target, seq) WHERE state = 'parked';
CREATE INDEX published ON outbox (changed_at) WHERE state = 'published';
ALTER TABLE attempts ADD COLUMN path BLOB;
ALTER TABLE attempts ADD COLUMN source BLOB;
ALTER TABLE attempts ADD COLUMN timed_out INTEGER NOT NULL DEFAULT 0;
CREATE TABLE trimmed (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE verdicts (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO verdicts SELECT verdict, count(*) FROM inspections GROUP BY verdict;
"""
}

_INCREMENTAL = 2
_FIX_LATER = "deploy that version again or move the file away"
_FIX_SHRINK = (
    "make room on the disk; it is tried again at the next start, and the room is used again meanwhile"
)


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new ledger, or bring those of an earlier version here.

    Raises LedgerBlocked for one of a later version, which is left as it is, and sqlite3.Error.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise LedgerBlocked(f"ledger {path}", f"written by a later version (schema {version})", _FIX_LATER)
    if version == 0:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _change(db, f"{_LEDGER} INSERT INTO ledger VALUES ('{uuid.uuid4().hex[:16]}');")  # noqa: S608  # hex
    elif version < VERSION:
        log.info("ledger is brought to this version", extra={"path": path, "schema": version, "to": VERSION})
        _change(db, "".join(_MIGRATIONS[each] for each in range(version, VERSION)))
    if db.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
        _let_shrink(db, path)


def _change(db: sqlite3.Connection, script: str) -> None:
    try:
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _let_shrink(db: sqlite3.Connection, path: Path) -> None:
    """Write the file anew, so that it gives back to the disk what is trimmed from now on."""
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("VACUUM")
    except sqlite3.OperationalError as error:
        free_bytes = shutil.disk_usage(path.parent).free
        extra = {"path": path, "cause": str(error), "free_bytes": free_bytes, "fix": _FIX_SHRINK}
        log.warning("ledger does not shrink yet", extra=extra)
