"""One SQLite file: opened, locked between threads, its errors explained."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inspector.ports import LedgerBlocked, LedgerDamaged
from inspector.shell import schema

_FIX = "make room on the disk and see that the work directory can be written"
_FIX_DAMAGED = "none needed: the file is set aside, and a new ledger is begun"
# What SQLite says of a file that is no database, no whole one, or contradicts itself. (Python 3.10 does not pass on
# its error codes, and a missing table has none of its own.)
_DAMAGE = re.compile(
    r"malformed|not a database|unsupported file format|already exists|no such (table|column|index)"
    r"|no query solution|UNIQUE constraint failed|decode to UTF-8"
)
_LOG_BYTES = 4_194_304
"""What the write-ahead log is cut to once it was copied into the database, which is at about this size."""


class Database:
    """The file of a ledger. May be used from any thread.

    Raises LedgerBlocked where the disk fails it, and LedgerDamaged where its content makes no sense.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_damaged = False
        """Whether damage was met, now or before."""
        self._lock = threading.RLock()
        with self._explained():
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            with self._explained():
                self._connection.execute("PRAGMA synchronous = FULL")
                schema.prepare(self._connection, path)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; what is not committed is undone."""
        self._connection.close()

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Everything a query finds."""
        with self._explained():
            return self._connection.execute(query, parameters).fetchall()

    def row(self, query: str, *parameters: object) -> tuple[Any, ...] | None:
        """The first row a query finds."""
        with self._explained():
            row: tuple[Any, ...] | None = self._connection.execute(query, parameters).fetchone()
            return row

    def number(self, query: str, *parameters: object) -> float:
        """The number a query finds; 0 where it finds none."""
        row = self.row(query, *parameters)
        number: float = (row and row[0]) or 0
        return number

    def run(self, script: str) -> None:
        """Execute statements outside of a transaction, each to its end."""
        with self._explained():
            self._connection.executescript(script)

    @contextmanager
    def change(self, *, is_durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction. It survives the death of the process; only if it ``is_durable`` a power cut for certain.

        Those that are not are lost in a power cut from the latest backwards, never one from among others.
        """
        with self._explained():
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def damage(self, cause: object) -> LedgerDamaged:
        """Take note that the content makes no sense; return what is to be raised."""
        self.is_damaged = True
        return LedgerDamaged(f"ledger {self.path}", cause, _FIX_DAMAGED)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                if not _DAMAGE.search(str(error)):
                    raise LedgerBlocked(f"ledger {self.path}", error, _FIX) from error
                raise self.damage(error) from error
