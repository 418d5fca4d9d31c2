"""Cycling shows the same pictures over and over, and touches none of them."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from pathlib import Path

import pytest

from inspector.core.settings import Settings
from inspector.ports import Blocked
from inspector.shell.cycle import Cycle
from inspector_fakes import drop


class Pauses(threading.Event):
    """A stop event that is set after so many pauses, each over at once."""

    def __init__(self, pauses: int) -> None:
        super().__init__()
        self.pauses: list[float | None] = []
        self.limit = pauses

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        if len(self.pauses) >= self.limit:
            self.set()
        return self.is_set()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def test_round_and_round(root: Path) -> None:
    """Files come in the order of their paths, an InferenceInterval apart, and then again."""
    for name in ("b.jpg", "a.jpg", "top/a.jpg"):
        drop(root / name, b"x")
    stop = Pauses(7)
    found = list(Cycle(root, Settings(inference_interval=3.0)).candidates(stop))
    assert [each.path for each in found] == ["a.jpg", "b.jpg", "top/a.jpg"] * 2 + ["a.jpg"]
    assert stop.pauses == [3.0] * 7
    assert [each.source for each in found[:3]] == [root / each.path for each in found[:3]]


def test_occurrences(root: Path) -> None:
    """The same file is another inspection each time."""
    drop(root / "a.jpg", b"x")
    found = list(Cycle(root, Settings()).candidates(Pauses(3)))
    assert len({each.occurrence for each in found}) == 3


def test_what_is_left_out(root: Path) -> None:
    """Hidden, temporary and ignored names, symlinks, FIFOs and directories take no turn."""
    for name in (".x.jpg", "a.part", "notes.txt", ".hidden/a.jpg", "real.jpg", "dir.jpg/in.jpg"):
        drop(root / name, b"x")
    (root / "link.jpg").symlink_to("real.jpg")
    (root / "camera").symlink_to(root.parent)
    os.mkfifo(root / "fifo.jpg")
    stop = Pauses(4)
    paths = [each.path for each in Cycle(root, Settings()).candidates(stop)]
    assert paths == ["dir.jpg/in.jpg", "real.jpg"] * 2


def test_files_that_come_and_go(root: Path) -> None:
    """A file that vanishes is passed over; a new one takes its turn in the next round."""
    for name in ("a.jpg", "b.jpg"):
        drop(root / name, b"x")
    cycle = Cycle(root, Settings()).candidates(Pauses(100))
    assert next(cycle).path == "a.jpg"
    (root / "b.jpg").unlink()
    drop(root / "c.jpg", b"x")
    assert [each.path for each in itertools.islice(cycle, 3)] == ["a.jpg", "c.jpg", "a.jpg"]
    cycle.close()


@pytest.mark.parametrize("error", [PermissionError, NotADirectoryError])
@pytest.mark.parametrize("looks", [0, 1])
def test_a_file_that_cannot_be_looked_at(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[OSError],
    looks: int,
) -> None:
    """It is left out, from the listing on or when its turn comes; the others go on, and it is said once."""
    for name in ("a.jpg", "shut/b.jpg"):
        drop(root / name, b"x")
    lstat, seen = Path.lstat, []

    def refuse(path: Path) -> os.stat_result:
        if path == root / "shut" / "b.jpg":
            seen.append(path)
            if len(seen) > looks:
                raise error(errno.EACCES, "Permission denied", os.fspath(path))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", refuse)
    paths = [each.path for each in Cycle(root, Settings()).candidates(Pauses(4))]
    assert set(paths) == {"a.jpg"}
    said = [(record.getMessage(), record.cause) for record in caplog.records]  # type: ignore[attr-defined]
    assert said == [("file left alone", "Permission denied")] * (error is PermissionError)


def test_claimed_before(root: Path) -> None:
    """Files that an earlier run claimed, when it watched, come first, under the path that they had."""
    drop(root / "top" / ".claimed" / "7-1" / "b.jpg", b"x")
    drop(root / "a.jpg", b"x")
    found = list(Cycle(root, Settings()).candidates(Pauses(2)))
    assert [each.path for each in found] == ["top/b.jpg", "a.jpg", "a.jpg"]
    assert found[0].source == root / "top" / ".claimed" / "7-1" / "b.jpg"


def test_empty(root: Path) -> None:
    """An empty directory is looked at again after each interval."""
    stop = Pauses(3)
    assert list(Cycle(root, Settings(inference_interval=2.0)).candidates(stop)) == []
    assert stop.pauses == [2.0] * 3


def test_missing(root: Path) -> None:
    """A directory that is missing blocks work, naming it and the fix."""
    root.rmdir()
    with pytest.raises(Blocked, match=f"image directory {root}: it is missing; create it"):
        next(Cycle(root, Settings()).candidates(threading.Event()))
