"""A power cut at any moment loses nothing."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from powercut.check import Check, NotAccountedForError
from powercut.disk import File, Recording, State, Tree, every_state, tree, without_syncs
from powercut.trace import Reader, trace

pytestmark = pytest.mark.timeout(900)

STATES = int(os.environ.get("POWER_CUT_STATES", "400"))
"""About how many states of each recording are checked, evenly spread; 0: all of them, which takes minutes."""
ALWAYS = ("all that was asked", "only what was synced", "names all, data as synced")
MEMORY = Path("/dev/shm")


class NoEvents:
    """inotify that is silent, and fast: what a new run finds it finds by listing."""

    def add_watch(self, path: Path, mask: int) -> int:
        return 1

    def read(self, timeout: float) -> list[object]:
        return []

    def close(self) -> None:
        pass


@dataclass
class Place:
    """The directories of a recording: those on the disk under test, and where the trace and all that is said go."""

    root: Path
    archive: Path
    output: Path

    def record(self, after_inspection: str, pipeline: str = "as it is") -> Recording:
        """Both runs of the scenario."""
        said = self.output / "said"
        reader = Reader(list(dict.fromkeys((self.root, self._archive_root()))), said)
        for number in ("1", "2"):
            where = [str(each) for each in (self.root, self.archive, said)]
            program = [sys.executable, "-m", "powercut.scenario", *where, after_inspection, number, pipeline]
            trace(program, self.output / f"trace-{number}")
            reader.read(self.output / f"trace-{number}")
        self._compare(reader.recording)
        return reader.recording

    def check(self, recording: Recording, after_inspection: str) -> Check:
        return Check(recording, self.archive, after_inspection)

    def _archive_root(self) -> Path:
        return self.root if self.archive.is_relative_to(self.root) else self.archive

    def _compare(self, recording: Recording) -> None:
        """What is on the disk in the end is what the model says: it has missed nothing."""
        count = len(recording.operations)
        modelled = tree(recording, State(count, "", (1 << count) - 1))
        found: Tree = {}
        for root in recording.roots:
            for path in (root, *root.rglob("*")):
                if not path.name.endswith("-shm"):
                    file = modelled.get(path)
                    mtime_ns = path.stat().st_mtime_ns if file and file.mtime_ns is not None else None
                    found[path] = None if path.is_dir() else File(path.read_bytes(), mtime_ns)
        assert found == modelled


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A fast disk for the work directory, where there is one, and a slower one."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setattr("inspector.shell.watcher.INotify", NoEvents)
    root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else tmp_path))
    (root / "images" / "top").mkdir(parents=True)
    (tmp_path / "output").mkdir()
    logging.disable()
    yield Place(root, root / "archive", tmp_path / "output")
    logging.disable(logging.NOTSET)
    shutil.rmtree(root)


@pytest.fixture
def elsewhere(place: Place, tmp_path: Path) -> Place:
    """The archive is on another file system than the images, where there are two."""
    place.archive = tmp_path / "archive"
    place.archive.mkdir()
    return place


def some_states(recording: Recording) -> list[State]:
    """States that are worth a look, the same at each run of the test."""
    states = list(every_state(recording))
    if not STATES:
        return states
    telling = [state for state in states if state.how in ALWAYS]
    others = [state for state in states if state.how not in ALWAYS]
    return telling + others[:: 1 + len(others) // max(1, STATES - len(telling))]


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
def test_power_cut(place: Place, after: str) -> None:
    """Whatever the disk has kept, a new run makes everything whole: each image has its verdict."""
    recording = place.record(after)
    assert_accounted_for(place, recording, after)


def test_power_cut_archive_elsewhere(elsewhere: Place) -> None:
    """So it is when files are copied into an archive on another file system."""
    assert_accounted_for(elsewhere, elsewhere.record("archive"), "archive")


def assert_accounted_for(place: Place, recording: Recording, after: str) -> None:
    check = place.check(recording, after)
    checked = sum(check.check(state) for state in some_states(recording))
    print(f"{after}: {len(recording.operations)} operations, {checked} different states")
    assert checked > STATES / 3


def faults(place: Place, recording: Recording, after: str) -> Iterator[str]:
    """What the check finds wrong, state by state."""
    check = place.check(recording, after)
    for state in some_states(recording):
        try:
            check.check(state)
        except NotAccountedForError as error:
            yield str(error)


def assert_found_out(place: Place, recording: Recording, after: str, what: str) -> None:
    assert any(re.search(what, fault) for fault in faults(place, recording, after))


@pytest.mark.parametrize(
    ("careless", "what"),
    [
        (r"ledger\.sqlite.*", "published otherwise|without a verdict"),
        (r"ledger\.sqlite-wal", "published otherwise|without a verdict"),
        (r"[0-9a-f]{32}\.jpg", "kept image not whole"),
        (r"[0-9a-f]{32}\.json", "Expecting value"),
        ("kept", "No such file or directory.*kept"),
    ],
)
def test_missing_fsync(place: Place, careless: str, what: str) -> None:
    """The check finds out if the ledger, a kept image, its sidecar or their directory were not synced."""
    assert_found_out(place, without_syncs(place.record("delete"), careless), "delete", what)


def test_missing_fsync_archive_elsewhere(elsewhere: Place) -> None:
    """The check finds out if what is copied into an archive were not synced before the original is removed."""
    if elsewhere.root.stat().st_dev == elsewhere.archive.stat().st_dev:
        pytest.skip(f"needs two file systems: {MEMORY} and that of {elsewhere.archive}")
    careless = without_syncs(elsewhere.record("archive"), r"\d{12}-.*")
    assert_found_out(elsewhere, careless, "archive", "archived image not whole")


def test_settled_before_decided(place: Place) -> None:
    """The check finds out if files were removed before their verdicts were on record."""
    assert_found_out(place, place.record("delete", "settles first"), "delete", "without a verdict")


def test_no_strace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without strace the test fails, and says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match="apt install strace"):
        trace(["true"], tmp_path / "trace")
