"""A file that is gone is forgotten; one that only cannot be seen is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.shell import sweep
from inspector.shell.ledger import SqliteLedger
from inspector.shell.sweep import Sweep
from inspector_fakes import decision


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def leave(root: Path, ledger: SqliteLedger, *paths: str) -> None:
    """Put files in place, inspected and left there."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
        (entry,) = ledger.decide([decision(ledger.last_seq() + 1, path=path)], 0.0)
        ledger.mark_settled(entry, remains=True)


def remove(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).unlink()


def known(ledger: SqliteLedger) -> list[str]:
    return ledger.fingerprinted("", 1_000)


def test_what_is_gone_is_forgotten(root: Path, ledger: SqliteLedger) -> None:
    """Files that were removed, with names of any bytes, while others of the directory are there."""
    leave(root, ledger, "a.jpg", "top/b.jpg", "top/\udcff.jpg", "top/d.jpg")
    sweeping = Sweep(root)
    assert sweeping.step(ledger) == 0
    remove(root, "top/b.jpg", "top/\udcff.jpg")
    assert sweeping.step(ledger) == 2
    assert known(ledger) == ["a.jpg", "top/d.jpg"]
    assert sweeping.step(ledger) == 0


def test_a_round(root: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step every file is looked at; one that was seen vouches for those that are looked at later."""
    monkeypatch.setattr(sweep, "STEP", 3)
    paths = [f"top/{number}.jpg" for number in range(9)]
    leave(root, ledger, *paths)
    remove(root, *paths[:8])
    sweeping = Sweep(root)
    forgotten = sum(sweeping.step(ledger) for _ in range(8))
    assert (forgotten, known(ledger)) == (8, paths[8:])


def test_a_directory_that_is_not_mounted(root: Path, ledger: SqliteLedger) -> None:
    """Nothing is forgotten of an image directory that is empty, or not there."""
    leave(root, ledger, "a.jpg", "top/b.jpg")
    sweeping = Sweep(root)
    sweeping.step(ledger)
    root.rename(root.with_name("elsewhere"))
    assert sweeping.step(ledger) == 0
    root.mkdir()
    assert sweeping.step(ledger) == 0
    assert known(ledger) == ["a.jpg", "top/b.jpg"]


def test_a_camera_that_is_not_mounted(root: Path, ledger: SqliteLedger) -> None:
    """Nor of a subdirectory that is empty, though others have files; until one that is known is seen there."""
    leave(root, ledger, "a.jpg", "top/b.jpg", "top/day/c.jpg", "top/d.jpg")
    sweeping = Sweep(root)
    sweeping.step(ledger)
    (root / "top").rename(root / "elsewhere")
    (root / "top").mkdir()
    assert sweeping.step(ledger) == 0
    (root / "top").rmdir()
    (root / "elsewhere").rename(root / "top")
    remove(root, "top/b.jpg")
    assert sweeping.step(ledger) == 1
    assert known(ledger) == ["a.jpg", "top/d.jpg", "top/day/c.jpg"]


def test_a_directory_that_was_removed(root: Path, ledger: SqliteLedger) -> None:
    """A subdirectory that is gone with all its files is forgotten while there are others beside it."""
    leave(root, ledger, "day-1/a.jpg", "day-1/b.jpg", "day-2/c.jpg")
    remove(root, "day-1/a.jpg", "day-1/b.jpg")
    (root / "day-1").rmdir()
    assert Sweep(root).step(ledger) == 2
    assert known(ledger) == ["day-2/c.jpg"]


def test_what_cannot_be_looked_at_is_not_gone(
    root: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the disk or of permissions says nothing about a file."""
    leave(root, ledger, "a.jpg", "b.jpg")
    remove(root, "a.jpg")
    lstat = Path.lstat

    def fail(path: Path) -> object:
        if path.name == "a.jpg":
            raise OSError(116, "Stale file handle")
        return lstat(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", fail)
        assert Sweep(root).step(ledger) == 0
    assert Sweep(root).step(ledger) == 1
