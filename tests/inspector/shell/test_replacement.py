"""A ledger that is damaged is set aside, whole, and a new one begins; one that is not is never."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.ports import LedgerBlocked, LedgerDamaged
from inspector.shell.ledger import SqliteLedger
from inspector.shell.replacement import close_ledger, damaged_ledgers, open_ledger
from inspector_fakes import decision, inspection_id, rows

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with some hundred inspections, in good order."""
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path)
    ledger.decide([decision(number) for number in range(300)], 0.0)
    ledger.mark_published(range(1, 200), "iot_core")
    ledger.close()
    return path


def overwrite(path: Path, content: bytes, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def cut_to_its_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def cut_in_the_middle(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def text(path: Path) -> None:
    path.write_bytes(b"this is no database, and long enough to be taken for one" * 100)


def zeros_first(path: Path) -> None:
    overwrite(path, bytes(PAGE), 0)


def no_tables(path: Path) -> None:
    path.unlink()
    db = sqlite3.connect(path)
    db.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA user_version = 2;")
    db.close()


def another_database(path: Path) -> None:
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE ledger (id TEXT)")
    db.close()


def no_id(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DELETE FROM ledger")
    db.close()


def use(ledger: SqliteLedger) -> None:
    """Read and write all over the ledger."""
    for number in range(300):
        ledger.find(inspection_id(number))
    ledger.waiting("iot_core", after=0, limit=1_000)
    ledger.mark_published(range(1, 301), "iot_core")
    for entry in ledger.unsettled():
        ledger.mark_settled(entry, remains=True)
    ledger.decide([decision(number) for number in range(1_000, 1_010)], 0.0)


@pytest.mark.parametrize(
    "spoil", [cut_to_its_header, cut_in_the_middle, text, zeros_first, no_tables, another_database, no_id]
)
def test_damage_that_shows_at_once(
    path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The file is set aside as it was, a new ledger with another id begins at 1, and the log says so."""
    spoil(path)
    damaged = path.read_bytes()
    ledger = open_ledger(path)
    (aside,) = damaged_ledgers(path)
    assert aside == path.with_name("ledger.sqlite.damaged-1")
    assert aside.read_bytes() == damaged
    assert (ledger.last_seq(), ledger.is_damaged) == (0, False)
    use(ledger)
    close_ledger(ledger)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "ledger damaged and replaced")
    assert (record.path, record.set_aside) == (path, aside)  # type: ignore[attr-defined]
    assert "inspected again" in record.meaning  # type: ignore[attr-defined]
    again = open_ledger(path)
    assert (again.id, again.last_seq(), damaged_ledgers(path)) == (ledger.id, 10, [aside])
    close_ledger(again)


@pytest.mark.parametrize("content", ["zeros", "noise"])
def test_damage_in_the_middle(path: Path, content: str) -> None:
    """Whichever page of the file is spoiled: what is done fails as damage or works, and after it there is a ledger.

    Wherever damage was met, the next opening begins a new one: nothing opens the same damaged file again.
    """
    good, ledger_id = path.read_bytes(), rows(path, "SELECT id FROM ledger")[0][0]
    noise = random.Random(7).randbytes(PAGE)
    met = 0
    for page in range(1, len(good) // PAGE):
        path.write_bytes(good)
        overwrite(path, bytes(PAGE) if content == "zeros" else noise, page * PAGE)
        ledger = open_ledger(path)
        if ledger.id == ledger_id:
            try:
                use(ledger)
            except LedgerDamaged:
                met += 1
                assert ledger.is_damaged
        has_met, count = ledger.is_damaged, len(damaged_ledgers(path))
        close_ledger(ledger)
        assert len(damaged_ledgers(path)) == count + has_met
        again = open_ledger(path)
        assert (again.id == ledger_id) is not (has_met or ledger.id != ledger_id)
        use(again)
        close_ledger(again)
    assert met > 5


def test_nothing_is_overwritten(path: Path) -> None:
    """Each ledger that is set aside gets a name of its own, also where one of its parts is taken."""
    path.with_name("ledger.sqlite.damaged-2-wal").write_bytes(b"of an earlier one")
    for number in range(3):
        path.write_bytes(b"no database %d" % number * 100)
        close_ledger(open_ledger(path))
    assert sorted(each.name for each in damaged_ledgers(path)) == [
        f"ledger.sqlite.damaged-{number}" for number in (1, 3, 4)
    ]
    assert path.with_name("ledger.sqlite.damaged-3").read_bytes().startswith(b"no database 1")


def copied_while_open(path: Path) -> Path:
    """What a power cut leaves: the file and a write-ahead log that holds the last changes."""
    ledger = SqliteLedger(path)
    ledger.decide([decision(number) for number in range(400, 420)], 0.0)
    copy = path.with_name("copy.sqlite")
    for suffix in ("", "-wal"):
        shutil.copy(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
    ledger.close()
    return copy


@pytest.mark.parametrize("tail", [b"\0" * 5_000, b"torn" * 2_000])
def test_a_torn_log(path: Path, tail: bytes) -> None:
    """A write-ahead log with a torn end is no damage: what was committed before it is there."""
    copy = copied_while_open(path)
    with copy.with_name("copy.sqlite-wal").open("ab") as log:
        log.write(tail)
    ledger = open_ledger(copy)
    assert (ledger.last_seq(), damaged_ledgers(copy)) == (320, [])
    use(ledger)
    close_ledger(ledger)


def test_a_log_of_noise(path: Path) -> None:
    """A write-ahead log that holds nothing of use takes only its own changes with it."""
    copy = copied_while_open(path)
    copy.with_name("copy.sqlite-wal").write_bytes(random.Random(1).randbytes(50_000))
    ledger = open_ledger(copy)
    assert (ledger.last_seq(), damaged_ledgers(copy)) == (300, [])
    use(ledger)
    close_ledger(ledger)


def test_the_log_goes_with_its_file(path: Path) -> None:
    """A write-ahead log is set aside beside its file, as it was."""
    copy = copied_while_open(path)
    text(copy)
    log = copy.with_name("copy.sqlite-wal").read_bytes()
    close_ledger(open_ledger(copy))
    assert copy.with_name("copy.sqlite.damaged-1-wal").read_bytes() == log


@pytest.mark.parametrize("is_there", [False, True])
def test_a_log_without_its_file(path: Path, is_there: bool) -> None:
    """A write-ahead log whose file is gone or empty is set aside too: SQLite would delete it."""
    copy = copied_while_open(path)
    log = copy.with_name("copy.sqlite-wal").read_bytes()
    copy.write_bytes(b"")
    if not is_there:
        copy.unlink()
    ledger = open_ledger(copy)
    assert ledger.last_seq() == 0
    assert copy.with_name("copy.sqlite.damaged-1-wal").read_bytes() == log
    close_ledger(ledger)


def test_an_empty_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An empty file becomes a new ledger without ado."""
    path.write_bytes(b"")
    ledger = open_ledger(path)
    assert (ledger.last_seq(), damaged_ledgers(path), caplog.records) == (0, [], [])
    close_ledger(ledger)


def test_a_directory_is_no_damage(path: Path) -> None:
    """A directory in the ledger's place blocks, and stays."""
    path.unlink()
    path.mkdir()
    with pytest.raises(LedgerBlocked, match="unable to open database file") as blocked:
        open_ledger(path)
    assert not isinstance(blocked.value, LedgerDamaged)
    assert path.is_dir()


def test_a_read_only_ledger_is_no_damage(path: Path) -> None:
    """A ledger that cannot be written, or is locked by another, blocks; it is not set aside."""
    ledger = open_ledger(path)
    ledger._db.run("PRAGMA query_only = 1")
    with pytest.raises(LedgerBlocked, match="readonly") as blocked:
        ledger.decide([decision(900)], 0.0)
    assert not isinstance(blocked.value, LedgerDamaged)
    close_ledger(ledger)
    assert damaged_ledgers(path) == []


def test_a_closed_ledger_is_no_damage(path: Path) -> None:
    """What is asked of a ledger that was closed fails, and nothing is set aside."""
    ledger = open_ledger(path)
    close_ledger(ledger)
    with pytest.raises(LedgerBlocked, match="closed database"):
        ledger.last_seq()
    close_ledger(open_ledger(path))
    assert damaged_ledgers(path) == []


def test_it_cannot_be_set_aside(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where renaming fails, opening blocks with what to do, and closing says so and goes on."""

    def fail(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    ledger = open_ledger(path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        ledger._db.damage("a page makes no sense")
        close_ledger(ledger)
        assert [record.getMessage() for record in caplog.records] == ["ledger damaged and not replaced"]
        text(path)
        with pytest.raises(LedgerBlocked, match="Permission denied; let the component's user write"):
            open_ledger(path)
    close_ledger(open_ledger(path))
    assert len(damaged_ledgers(path)) == 1


@pytest.mark.parametrize("change", ["keep = X'07'", "path = 5"])
def test_values_that_make_no_sense(path: Path, change: str) -> None:
    """A value of another type than was ever written is damage, not the end of the process."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"UPDATE inspections SET {change} WHERE seq = 3")
    db.close()
    ledger = open_ledger(path)
    with pytest.raises(LedgerDamaged, match="row 3 makes no sense"):
        ledger.find(inspection_id(2))
    close_ledger(ledger)
    assert len(damaged_ledgers(path)) == 1


def test_an_index_that_contradicts_its_table(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written and is not found where it was written is damage."""
    ledger = open_ledger(path)
    monkeypatch.setattr(SqliteLedger, "find", lambda *_: None)
    with pytest.raises(LedgerDamaged, match="not found where it was written"):
        ledger.decide([decision(900)], 0.0)
    monkeypatch.undo()
    close_ledger(ledger)
    assert len(damaged_ledgers(path)) == 1
