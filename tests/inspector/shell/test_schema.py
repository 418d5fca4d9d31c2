"""What becomes of a ledger that an earlier version wrote, and of the tables of a new one."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from inspector.ports import LedgerBlocked
from inspector.shell import schema
from inspector.shell.ledger import SqliteLedger
from inspector_fakes import decision, inspection_id, rows

VERSION_1 = Path(__file__).with_name("ledger_version_1.sql").read_text()
"""Written by version 1, with rows in every state."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of version 1."""
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    db.close()
    return path


def contents(path: Path, *, among: str = "inspections, outbox, fingerprints, attempts") -> dict[str, Any]:
    """The columns of version 1, and its version."""
    columns = {
        "inspections": "seq, id, path, source, mtime_ns, size_bytes, verdict, decided_at, raw, message, keep, image,"
        " settled",
        "outbox": "target, seq, state, changed_at, error",
        "fingerprints": "path, mtime_ns, size_bytes",
        "attempts": "id, run",
    }
    return {
        table: rows(path, f"SELECT {columns[table]} FROM {table} ORDER BY 1, 2")
        for table in among.split(", ")
    }


def test_what_was_there_stays(path: Path) -> None:
    """Every row of every table survives, in its state, and so does the ledger's id."""
    before, (ledger_id,) = contents(path), rows(path, "SELECT id FROM ledger")[0]
    ledger = SqliteLedger(path)
    assert ledger.id == ledger_id
    assert contents(path) == before
    assert rows(path, "PRAGMA user_version") == [(schema.VERSION,)]
    ledger.close()


def test_what_is_new_is_filled_in(path: Path) -> None:
    """For whom each was queued, and the counts by verdict."""
    ledger = SqliteLedger(path)
    both = "topic,iot_core"
    assert rows(path, "SELECT targets FROM inspections ORDER BY seq") == [
        (both,), (both,), (both,), ("iot_core",), ("topic",), ("",), (both,),
    ]  # fmt: skip
    assert ledger.verdicts() == {"pass": 4, "fail": 1, "review": 2}
    ledger.close()


def test_work_goes_on(path: Path) -> None:
    """What was unfinished is finished, seq goes on, and runs that died are remembered."""
    ledger = SqliteLedger(path)
    assert [entry.seq for entry in ledger.unsettled()] == [3, 7]
    assert [seq for seq, _ in ledger.waiting("topic", after=0, limit=10)] == [5, 7]
    assert (ledger.count("waiting"), ledger.count("published"), ledger.count("parked")) == (3, 5, 2)
    begun = ledger.attempt(inspection_id(8), decision(8).claimed)
    assert (begun.runs, begun.has_timed_out) == (3, False)
    (entry,) = ledger.decide([decision(8)], 0.0)
    assert entry.seq == ledger.last_seq() == 8
    assert ledger.republish(1_000.0) == 5
    ledger.close()


def test_as_one_that_was_made_here(path: Path, tmp_path: Path) -> None:
    """A ledger that was brought here has the columns and indexes of a new one, and shrinks like one."""

    def shape(ledger: Path) -> list[Any]:
        tables = rows(
            ledger, "SELECT type, name FROM sqlite_master WHERE name != 'sqlite_stat1' ORDER BY 1, 2"
        )
        columns = [rows(ledger, f"SELECT * FROM pragma_table_info('{name}')") for _, name in tables]
        indexes = rows(ledger, "SELECT sql FROM sqlite_master WHERE type = 'index' ORDER BY name")
        return [tables, columns, indexes, rows(ledger, "PRAGMA auto_vacuum")]

    SqliteLedger(path).close()
    new = tmp_path / "new.sqlite"
    SqliteLedger(new).close()
    assert shape(path) == shape(new)
    assert rows(new, "PRAGMA auto_vacuum") == [(2,)]


def test_only_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The next start finds nothing to do."""
    SqliteLedger(path).close()
    caplog.clear()
    caplog.set_level("INFO")
    before = path.read_bytes()
    SqliteLedger(path).close()
    assert (caplog.records, path.read_bytes()) == ([], before)


def statements() -> list[str]:
    """The migration from version 1, a statement each."""
    return [each + ";" for each in schema._MIGRATIONS[1].split(";")[:-1]]


@pytest.mark.parametrize("made", range(len(statements()) + 1))
def test_cut_short_by_an_error(path: Path, monkeypatch: pytest.MonkeyPatch, made: int) -> None:
    """A migration that fails after any statement leaves version 1 as it was; the next one brings it here."""
    before = contents(path)
    cut = "".join(statements()[:made]) + "INSERT INTO nowhere VALUES (1);"
    with monkeypatch.context() as patch:
        patch.setitem(schema._MIGRATIONS, 1, cut)
        with pytest.raises(LedgerBlocked, match="no such table"):
            SqliteLedger(path)
    assert contents(path) == before
    assert rows(path, "PRAGMA user_version") == [(1,)]
    ledger = SqliteLedger(path)
    assert (contents(path), ledger.verdicts()["pass"]) == (before, 4)
    ledger.close()


def test_cut_short_by_death(path: Path, tmp_path: Path) -> None:
    """What lies on the disk before any statement of a migration is version 1, whole."""
    before, states = contents(path), []
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA cache_size = 1")  # what is changed goes to the disk at once

    def look(statement: str) -> None:
        copy = tmp_path / f"copy-{len(states)}.sqlite"
        for suffix in ("", "-wal"):
            if (part := path.with_name(path.name + suffix)).exists():
                shutil.copy(part, copy.with_name(copy.name + suffix))
        states.append(copy)

    db.set_trace_callback(look)
    schema._change(db, schema._MIGRATIONS[1])
    db.set_trace_callback(None)
    db.close()
    assert len(states) > len(statements())
    for copy in states:
        assert (contents(copy), rows(copy, "PRAGMA user_version")) == (before, [(1,)])


def test_no_room_to_write_it_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that cannot be made to shrink for want of room works all the same; it is tried again."""

    class Full(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            if statement == "VACUUM":
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(statement, *parameters)

    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Full, **options))
        for _ in range(2):
            caplog.clear()
            ledger = SqliteLedger(path)
            assert [record.getMessage() for record in caplog.records] == ["ledger does not shrink yet"]
            ledger.decide([decision(100 + ledger.last_seq())], 0.0)
            ledger.close()
    ledger = SqliteLedger(path)
    assert ledger.last_seq() == 9
    assert rows(path, "PRAGMA auto_vacuum") == [(2,)]
    ledger.close()


def test_a_later_version_is_left_alone(path: Path) -> None:
    """Nothing is changed in a ledger that a later version wrote."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 3")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(
        LedgerBlocked, match=r"written by a later version \(schema 3\); deploy that version again"
    ):
        SqliteLedger(path)
    assert path.read_bytes() == before
