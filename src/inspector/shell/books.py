"""A ledger file -> Books. Reads, and changes nothing: beside a component at work, or a ledger set aside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from inspector.core.books import Attempt, Books, Publication, Row, tell
from inspector.shell.schema import VERSION

_TIMEOUT_S = 10.0
_MAX_DAMAGES = 10


class BooksError(Exception):
    """The ledger cannot be read: says which, why and what to do."""

    def __init__(self, path: Path, cause: object, fix: str) -> None:
        super().__init__(f"ledger {path}: {cause}; {fix}")


def read_books(path: Path) -> Books:
    """What a ledger says, all of one moment. Raises BooksError."""
    try:
        if not path.is_file():
            raise BooksError(path, "there is no such file", "name the ledger.sqlite of a work directory")
        if _is_open(path):
            return _read(path, "mode=ro")
        books = _read(path, "immutable=1")
        # Without a write-ahead log nobody has it open, and SQLite would only litter; unless somebody came meanwhile.
        return _read(path, "mode=ro") if _is_open(path) else books
    except (sqlite3.Error, OSError) as error:
        fix = "see that it is a ledger and may be read; copy it, with its -wal, to a directory of yours"
        raise BooksError(path, error, fix) from error


def _is_open(path: Path) -> bool:
    """Whether it has a write-ahead log: a process works with it, or died at it."""
    return path.with_name(path.name + "-wal").exists()


def _read(path: Path, access: str) -> Books:
    uri = f"file:{quote(os.fsencode(path.resolve()))}?{access}"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_TIMEOUT_S)) as db:
        db.execute("BEGIN")
        _check_version(path, db)
        return _books(db)


def _check_version(path: Path, db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        raise BooksError(path, "it is no ledger", "name the ledger.sqlite of a work directory")
    if version < VERSION:
        cause = f"written by an earlier version (schema {version}, this one reads {VERSION})"
        raise BooksError(path, cause, "start the component of this version on it once")
    if version > VERSION:
        cause = f"written by a later version (schema {version}, this one reads {VERSION})"
        raise BooksError(path, cause, "use the inspector of that version")


def _books(db: sqlite3.Connection) -> Books:
    given_out = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'inspections'").fetchone()
    attempts = db.execute(
        "SELECT DISTINCT id, coalesce(path, x''), coalesce(source, x'') FROM attempts ORDER BY id, run"
    )
    left = db.execute("SELECT path, mtime_ns, size_bytes FROM fingerprints")
    return Books(
        id=str(db.execute("SELECT id FROM ledger").fetchone()[0]),
        last_seq=given_out[0] if given_out else 0,
        damages=tuple(_damages(db)),
        rows=tuple(_rows(db)),
        outbox=tuple(
            Publication(*row)
            for row in db.execute("SELECT target, seq, state, error FROM outbox ORDER BY target, seq")
        ),
        attempts=tuple(
            Attempt(key, os.fsdecode(path), os.fsdecode(source)) for key, path, source in attempts
        ),
        trimmed=tuple(db.execute("SELECT first, last FROM trimmed ORDER BY first")),
        verdicts=dict(db.execute("SELECT name, count FROM verdicts")),
        fingerprints=frozenset((os.fsdecode(path), mtime_ns, size) for path, mtime_ns, size in left),
    )


def _damages(db: sqlite3.Connection) -> Iterator[str]:
    for (said,) in db.execute(f"PRAGMA integrity_check({_MAX_DAMAGES})"):
        if said != "ok":
            yield said


def _rows(db: sqlite3.Connection) -> Iterator[Row]:
    query = (
        "SELECT seq, id, path, source, mtime_ns, size_bytes, verdict, decided_at, keep, image, targets, settled,"
        " message FROM inspections ORDER BY seq"
    )
    for found in db.execute(query):
        yield _row(*found)


def _row(
    seq: int, inspection_id: str, path: bytes, source: bytes, mtime_ns: int, size_bytes: int, verdict: str,
    decided_at: float, keep: str, image: str, targets: str, settled: int, message: Any,
) -> Row:  # fmt: skip
    return Row(
        seq=seq,
        id=inspection_id,
        path=os.fsdecode(path),
        source=os.fsdecode(source),
        mtime_ns=mtime_ns,
        size_bytes=size_bytes,
        verdict=verdict,
        decided_at=decided_at,
        keep=_listed(keep),
        image=image,
        targets=_listed(targets),
        is_settled=bool(settled),
        told=tell(message if isinstance(message, bytes) else str(message).encode()),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))
