"""What was seen, decided, published and kept. With its parts ``database``, ``schema`` and ``trimming``, and with
``books``, which only reads, the only importer of sqlite3.

1. A row of ``inspections`` is an inspection that was decided; its ``seq`` rises by one without gaps.
2. The verdict, its message and what is still to be done with it become durable in one transaction. Nothing else
   waits for the disk, but for what precedes the removal of a kept image: what a power cut takes back is done again.
3. ``outbox`` holds a row for each target a message goes to.
4. ``fingerprints`` remembers which version of a file that is still there was inspected.
5. ``attempts`` remembers which runs of the process began an inspection that is not decided.
6. Rows go when nothing is to be done with them any more; ``trimmed`` and ``verdicts`` tell of those that went.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from inspector.core.verdict import VerdictName
from inspector.ports import Attempt, Claimed, Decision, Entry, LedgerBlocked
from inspector.shell.database import Database
from inspector.shell.outbox import Outbox
from inspector.shell.trimming import Trimming

log = logging.getLogger(__name__)

ImageState = Literal["none", "due", "stored", "evicted"]
"""Of the image of an inspection: not to be kept, still to be kept, with the keeper, given up."""

_ENTRY = "SELECT seq, id, path, source, mtime_ns, size_bytes, keep, message, image, settled FROM inspections "


class SqliteLedger(Outbox):
    """A ledger in one SQLite file. May be called from any thread.

    Raises LedgerBlocked where the disk fails it, LedgerDamaged where the file's content makes no sense.
    """

    def __init__(self, path: Path) -> None:
        self._run = uuid.uuid4().hex
        self._db = Database(path)
        try:
            self.id = self._read_id()
            super().__init__(self._db)
        except BaseException:
            self._db.close()
            raise
        self._trimming = Trimming(self._db)

    def _read_id(self) -> str:
        row = self._db.row("SELECT id FROM ledger")
        if row is None:
            raise self._db.damage("it has no id")
        return str(row[0])

    def close(self) -> None:
        """Withdraw this run's attempts, for it ends in order, and close the file."""
        try:
            with self._db.change() as db:
                db.execute("DELETE FROM attempts WHERE run = ?", (self._run,))
        except LedgerBlocked as error:
            log.warning("attempts not withdrawn", extra={"cause": str(error)})
        finally:
            self._db.close()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._db.path

    @property
    def is_damaged(self) -> bool:
        """Whether damage was met: the file is no ledger any more."""
        return self._db.is_damaged

    def last_seq(self) -> int:
        """The highest sequence number given out, also if its row was trimmed; 0 before the first."""
        return int(self._db.number("SELECT seq FROM sqlite_sequence WHERE name = 'inspections'"))

    def is_inspected(self, path: str, mtime_ns: int, size_bytes: int) -> bool:
        """Whether this version of a file that was left in place was inspected."""
        query = "SELECT 1 FROM fingerprints WHERE path = ? AND mtime_ns = ? AND size_bytes = ?"
        return self._db.row(query, os.fsencode(path), mtime_ns, size_bytes) is not None

    def attempt(self, inspection_id: str, claimed: Claimed) -> Attempt:
        """Record that this run begins an inspection; return what is on record of it, this run included."""
        names = os.fsencode(claimed.identity.path), os.fsencode(claimed.source)
        with self._db.change() as db:
            change = "INSERT OR IGNORE INTO attempts (id, run, path, source) VALUES (?, ?, ?, ?)"
            db.execute(change, (inspection_id, self._run, *names))
            query = "SELECT count(*), max(timed_out) FROM attempts WHERE id = ?"
            runs, timed_out = db.execute(query, (inspection_id,)).fetchone()
        return Attempt(int(runs), bool(timed_out))

    def time_out(self, inspection_id: str) -> None:
        """This run ends because it hangs over an inspection: no other that is under way is to blame."""
        with self._db.change() as db:
            db.execute("DELETE FROM attempts WHERE run = ? AND id != ?", (self._run, inspection_id))
            change = "UPDATE attempts SET timed_out = 1 WHERE run = ? AND id = ?"
            db.execute(change, (self._run, inspection_id))

    def find(self, inspection_id: str) -> Entry | None:
        """The entry of an inspection that was decided."""
        row = self._db.row(_ENTRY + "WHERE id = ?", inspection_id)
        return self._entry(row) if row else None

    def decide(self, decisions: Sequence[Decision], decided_at: float) -> list[Entry]:
        """Record verdicts and their messages, give each the next sequence number, and queue it for each target.

        All of them or, where one cannot be composed, none. What was decided before stays as it is, and is returned.
        """
        with self._db.change(is_durable=True) as db:
            return [self._decide(db, decision, decided_at) for decision in decisions]

    def _decide(self, db: sqlite3.Connection, decision: Decision, decided_at: float) -> Entry:
        if not self.find(decision.id):
            seq = self.last_seq() + 1
            _insert(db, seq, decision, decision.compose(seq), decided_at)
            rows = [(target, seq) for target in decision.targets]
            db.executemany("INSERT INTO outbox (target, seq) VALUES (?, ?)", rows)
            count = "INSERT INTO verdicts VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1"
            db.execute(count, (decision.verdict,))
        db.execute("DELETE FROM attempts WHERE id = ?", (decision.id,))
        if entry := self.find(decision.id):
            return entry
        raise self._db.damage(f"inspection {decision.id} is not found where it was written")

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        try:
            return _entry(row)
        except (TypeError, AttributeError, ValueError) as error:  # values of another type than were written
            raise self._db.damage(f"row {row[0]} makes no sense: {error}") from error

    def raw(self, seq: int) -> bytes:
        """The detections of an inspection down to 0.05, as JSON."""
        row = self._db.row("SELECT raw FROM inspections WHERE seq = ?", seq)
        return bytes(row[0]) if row else b"[]"

    def mark_stored(self, entry: Entry) -> None:
        """The keeper has the image, if it has not given it up again meanwhile."""
        with self._db.change() as db:
            db.execute(
                "UPDATE inspections SET image = 'stored' WHERE seq = ? AND image = 'due'", (entry.seq,)
            )

    def mark_evicted(self, ids: Iterable[str]) -> None:
        """The keeper is about to remove these images, or could not keep them. Survives a power cut."""
        with self._db.change(is_durable=True) as db:
            rows = [(each,) for each in ids]
            db.executemany("UPDATE inspections SET image = 'evicted' WHERE id = ?", rows)

    def image_states(self, ids: Iterable[str]) -> dict[str, ImageState]:
        """What has become of the images of inspections; nothing of those that the ledger does not have."""
        query = "SELECT image FROM inspections WHERE id = ?"
        found = {each: self._db.row(query, each) for each in ids}
        return {each: row[0] for each, row in found.items() if row}

    def mark_settled(self, entry: Entry, *, remains: bool) -> None:
        """Nothing more is to be done with the file; where it ``remains`` in place, its version is remembered."""
        fingerprint = (os.fsencode(entry.path), entry.mtime_ns, entry.size_bytes)
        with self._db.change() as db:
            db.execute("UPDATE inspections SET settled = 1 WHERE seq = ?", (entry.seq,))
            if remains:
                db.execute("INSERT OR REPLACE INTO fingerprints VALUES (?, ?, ?)", fingerprint)

    def fingerprinted(self, after: str, limit: int) -> list[str]:
        """The paths that come after one, of files that were left in place and inspected."""
        query = "SELECT path FROM fingerprints WHERE path > ? ORDER BY path LIMIT ?"
        return [os.fsdecode(row[0]) for row in self._db.rows(query, os.fsencode(after), limit)]

    def forget(self, paths: Iterable[str]) -> None:
        """These files have left: should one come again, it is inspected again."""
        with self._db.change() as db:
            db.executemany(
                "DELETE FROM fingerprints WHERE path = ?", [(os.fsencode(path),) for path in paths]
            )

    def unsettled(self) -> list[Entry]:
        """Decided inspections whose file is still to be kept or settled, in order."""
        return [self._entry(row) for row in self._db.rows(_ENTRY + "WHERE NOT settled ORDER BY seq")]

    def verdicts(self) -> dict[VerdictName, int]:
        """How many inspections were ever decided, by verdict."""
        counts: dict[VerdictName, int] = {"pass": 0, "fail": 0, "review": 0}
        return counts | dict(self._db.rows("SELECT name, count FROM verdicts"))

    def size_bytes(self) -> int:
        """The size of the database in use; its write-ahead log comes on top, some 4 MB of it."""
        return self._trimming.size_bytes()

    def trim(self, before: float, max_bytes: int) -> int:
        """One small step: remove what nothing is to be done with any more and was decided before ``before`` (seconds
        since the epoch), or, while the size is above ``max_bytes``, is the oldest; return how many rows went."""
        return self._trimming.step(before, max_bytes, self.recent_since_s())


def _insert(db: sqlite3.Connection, seq: int, decision: Decision, message: bytes, decided_at: float) -> None:
    claimed, identity = decision.claimed, decision.claimed.identity
    db.execute(
        "INSERT INTO inspections (seq, id, path, source, mtime_ns, size_bytes, verdict, decided_at, raw, message,"
        " keep, image, targets) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            seq, decision.id, os.fsencode(identity.path), os.fsencode(claimed.source), identity.mtime_ns,
            identity.size_bytes, decision.verdict, decided_at, decision.raw, message, ",".join(decision.keep),
            "due" if decision.keep else "none", ",".join(decision.targets),
        ),
    )  # fmt: skip


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
