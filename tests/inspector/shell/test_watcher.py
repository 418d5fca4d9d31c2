"""What becomes a candidate, when, and what never does."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inotify_simple import Event as FileEvent
from inotify_simple import flags

from file_writer import FileWriter
from inspector.core.settings import Settings
from inspector.ports import Blocked, Candidate
from inspector.shell.watcher import Watcher
from inspector_fakes import DEADLINE_S, drop, eventually

FAR_S = 3600.0
"""A rescan that the test will not see."""


class Watch:
    """A watcher that runs in a thread; ``found`` is what it yielded and when."""

    def __init__(self, root: Path, is_inspected: Callable[[str, int, int], bool], **settings: Any) -> None:
        chosen = {"settle_milliseconds": 30, "rescan_seconds": FAR_S, "after_inspection": "leave"} | settings
        self.root = root
        self.watcher = Watcher(root, Settings(**chosen), is_inspected)
        self.found: list[tuple[Candidate, float]] = []
        self.error: Exception | None = None
        self.scans = 0
        self._scan = self.watcher._scan
        self.watcher._scan = self._count_scan  # type: ignore[method-assign]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Watch:
        self._thread.start()
        eventually(lambda: self.scans or self.error, "the first listing")
        return self

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident:
            self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    def paths(self) -> list[str]:
        return [found.path for found, _ in self.found]

    def expect(self, *paths: str) -> list[Candidate]:
        """Wait for so many candidates; they are these, in order."""
        eventually(lambda: len(self.found) >= len(paths) or self.error, f"{paths} (found: {self.paths()})")
        assert self.paths() == list(paths)
        return [found for found, _ in self.found]

    def sentinel(self, name: str) -> None:
        """A file whose arrival shows that everything before it was seen, and had the time to settle."""
        (self.root / name).write_bytes(b"sentinel")
        eventually(lambda: name in self.paths(), name)

    def _run(self) -> None:
        try:
            for found in self.watcher.candidates(self._stop):
                self.found.append((found, time.monotonic()))
        except Exception as error:  # noqa: BLE001  # tests look at it
            self.error = error

    def _count_scan(self, directory: str) -> None:
        self._scan(directory)
        self.scans += directory == ""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def watch(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Watch]]:
    monkeypatch.setattr("inspector.shell.watcher._WAKE_S", 0.02)  # so that each test stops soon
    made: list[Watch] = []

    def make(**settings: Any) -> Watch:
        is_inspected = settings.pop("is_inspected", lambda *_: False)
        made.append(Watch(root, is_inspected, **settings))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def test_renamed_into_place(root: Path, watch: Callable[..., Watch]) -> None:
    """A file renamed into place is a candidate at once, however long the settling time."""
    watching = watch(settle_milliseconds=600_000).start()
    drop(root / "a.jpg", b"whole")
    (found,) = watching.expect("a.jpg")
    assert (found.size_bytes, found.source) == (5, root / "a.jpg")


def test_written_in_place(root: Path, watch: Callable[..., Watch]) -> None:
    """A file written in place is a candidate no sooner than the settling time after it was closed."""
    watching = watch(settle_milliseconds=150).start()
    (root / "a.jpg").write_bytes(b"whole")
    closed_s = time.monotonic()
    watching.expect("a.jpg")
    assert watching.found[0][1] - closed_s >= 0.149


def test_old_time_stamps_do_not_settle_a_file(root: Path, watch: Callable[..., Watch]) -> None:
    """A file written in place with the time stamp of its original settles like any other."""
    watching = watch(settle_milliseconds=150).start()
    with (root / "a.jpg").open("wb") as file:
        file.write(b"whole")
        file.flush()
        os.utime(file.fileno(), (1, 1))
    closed_s = time.monotonic()
    watching.expect("a.jpg")
    assert watching.found[0][1] - closed_s >= 0.149


def test_writer_that_pauses(root: Path, watch: Callable[..., Watch]) -> None:
    """A file half written is not a candidate while its writer pauses, for longer than the settling time."""
    watching = watch().start()
    with (root / "slow.jpg").open("wb") as file:
        file.write(b"half ")
        file.flush()
        watching.sentinel("1.jpg")
        assert watching.paths() == ["1.jpg"]
        file.write(b"and half")
    found = watching.expect("1.jpg", "slow.jpg")
    assert found[1].size_bytes == 13


def test_opened_but_not_yet_written(root: Path, watch: Callable[..., Watch]) -> None:
    """A file that is still empty because its writer has only opened it is no candidate yet."""
    watching = watch().start()
    with (root / "slow.jpg").open("wb") as file:
        watching.sentinel("1.jpg")
        assert watching.paths() == ["1.jpg"]
        file.write(b"all of it")
    assert watching.expect("1.jpg", "slow.jpg")[1].size_bytes == 9


def test_overwritten_in_place(root: Path, watch: Callable[..., Watch]) -> None:
    """Each version of a file that settles is a candidate, in place or renamed over."""
    watching = watch().start()
    (root / "latest.jpg").write_bytes(b"1")
    watching.expect("latest.jpg")
    (root / "latest.jpg").write_bytes(b"22")
    watching.expect("latest.jpg", "latest.jpg")
    drop(root / "latest.jpg", b"333")
    found = watching.expect("latest.jpg", "latest.jpg", "latest.jpg")
    assert [each.size_bytes for each in found] == [1, 2, 3]


def test_overwritten_before_it_settles(root: Path, watch: Callable[..., Watch]) -> None:
    """A version that is overwritten before it settles was never in."""
    watching = watch(settle_milliseconds=300).start()
    for content in (b"1", b"22", b"333"):
        (root / "latest.jpg").write_bytes(content)
    assert watching.expect("latest.jpg")[0].size_bytes == 3
    drop(root / "last.jpg", b"")
    watching.expect("latest.jpg", "last.jpg")


def test_there_at_start(root: Path, watch: Callable[..., Watch]) -> None:
    """Files that are there at the start come in order of capture time, across cameras, not of name."""
    names = [f"{camera}/{number:02}.jpg" for number in range(20) for camera in ("left", "right")]
    for age, name in enumerate(names):
        drop(root / name, b"x")
        os.utime(root / name, (10_000 - age, 10_000 - age))
    watch().start().expect(*reversed(names))


def test_capture_time_in_the_name(root: Path, watch: Callable[..., Watch]) -> None:
    """Where CaptureTimePattern finds a time in the name, that is the capture time and gives the order."""
    for name in ("tag-30.jpg", "tag-10.jpg", "tag-20.jpg"):
        drop(root / name, b"x")
        os.utime(root / name, (60, 60))
    watching = watch(capture_time_pattern=r"-(?P<second>\d\d)\.").start()
    found = watching.expect("tag-10.jpg", "tag-20.jpg", "tag-30.jpg")
    assert [each.captured_at for each in found] == [70, 80, 90]


def test_inspected_before(root: Path, watch: Callable[..., Watch]) -> None:
    """A version that was inspected before is no candidate, and is asked about once, not at every listing."""
    drop(root / "old.jpg", b"x")
    status, asked = (root / "old.jpg").stat(), []

    def is_inspected(*version: object) -> bool:
        asked.append(version)
        return version == ("old.jpg", status.st_mtime_ns, 1)

    watching = watch(is_inspected=is_inspected, rescan_seconds=0.02).start()
    watching.sentinel("new.jpg")
    eventually(lambda: watching.scans > 5)
    assert watching.paths() == ["new.jpg"]
    assert len(asked) == 2


def test_new_subdirectory(root: Path, watch: Callable[..., Watch]) -> None:
    """A subdirectory made later is a camera: its files come, also from below it, and from what moves in."""
    watching = watch().start()
    (root / "top").mkdir()
    drop(root / "top" / "a.jpg", b"x")
    watching.expect("top/a.jpg")
    (root / "line" / "left").mkdir(parents=True)
    drop(root / "line" / "left" / "b.jpg", b"x")
    watching.expect("top/a.jpg", "line/left/b.jpg")
    elsewhere = root.parent / "elsewhere"
    drop(elsewhere / "c.jpg", b"x")
    elsewhere.rename(root / "moved")
    watching.expect("top/a.jpg", "line/left/b.jpg", "moved/c.jpg")
    drop(root / "moved" / "d.jpg", b"x")
    watching.expect("top/a.jpg", "line/left/b.jpg", "moved/c.jpg", "moved/d.jpg")


def test_subdirectory_goes(root: Path, watch: Callable[..., Watch]) -> None:
    """A camera that is removed, and comes again, does no harm."""
    watching = watch().start()
    drop(root / "top" / "a.jpg", b"x")
    watching.expect("top/a.jpg")
    shutil.rmtree(root / "top")
    drop(root / "top" / "a.jpg", b"xx")
    watching.expect("top/a.jpg", "top/a.jpg")
    assert watching.error is None


@pytest.mark.parametrize("name", [".hidden.jpg", "a.jpg.tmp", "a.part", "A.TMP", "notes.txt", "labels.csv"])
def test_ignored_names(root: Path, watch: Callable[..., Watch], name: str) -> None:
    """Hidden and temporary names, and those of IgnorePattern, are left alone, however they come."""
    drop(root / "before" / name, b"x")
    watching = watch(rescan_seconds=0.02).start()
    drop(root / name, b"x")
    (root / "written").mkdir()
    (root / "written" / name).write_bytes(b"x")
    (root / f"link{name}").symlink_to(root)
    (root / f"link{name}").unlink()
    watching.sentinel("1.jpg")
    assert watching.paths() == ["1.jpg"]


def test_temporary_name_then_renamed(root: Path, watch: Callable[..., Watch]) -> None:
    """A file written under a temporary name is a candidate under the name it gets."""
    watching = watch(settle_milliseconds=600_000).start()
    (root / "a.jpg.part").write_bytes(b"whole")
    (root / "a.jpg.part").rename(root / "a.jpg")
    watching.expect("a.jpg")


def make_symlink_inside(path: Path) -> None:
    drop(path.parent / ".real.jpg", b"x")
    path.symlink_to(".real.jpg")


def make_symlink_outside(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_symlink_to_directory(path: Path) -> None:
    drop(path.parent.parent / "outside" / "secret.jpg", b"x")
    path.symlink_to(path.parent.parent / "outside")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path may have 107 bytes
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


@pytest.mark.parametrize("is_early", [True, False], ids=["at start", "later"])
@pytest.mark.parametrize(
    "make",
    [
        make_symlink_inside,
        make_symlink_outside,
        make_symlink_to_directory,
        make_fifo,
        make_socket,
    ],
)
def test_no_regular_file(
    root: Path,
    watch: Callable[..., Watch],
    caplog: pytest.LogCaptureFixture,
    make: Callable[[Path], None],
    is_early: bool,
) -> None:
    """What is named like a picture and is no regular file is left alone, with exactly one log line."""
    if is_early:
        make(root / "x.jpg")
    watching = watch(rescan_seconds=0.02).start()
    if not is_early:
        make(root / "x.jpg")
    watching.sentinel("1.jpg")
    eventually(lambda: watching.scans > 5)
    assert watching.paths() == ["1.jpg"]
    lines = [record for record in caplog.records if getattr(record, "path", "").startswith("x.jpg")]
    assert [line.getMessage() for line in lines] == ["file left alone"]


@pytest.mark.parametrize("is_early", [True, False], ids=["at start", "later"])
def test_a_directory_named_like_a_picture(
    root: Path, watch: Callable[..., Watch], caplog: pytest.LogCaptureFixture, is_early: bool
) -> None:
    """A directory is a camera's whatever its name; one named like a picture gets exactly one log line."""

    def make() -> None:
        (root / "x.jpg").mkdir()
        drop(root / "x.jpg" / "inside.jpg", b"x")

    if is_early:
        make()
    watching = watch(rescan_seconds=0.02).start()
    if not is_early:
        make()
    watching.expect("x.jpg/inside.jpg")
    eventually(lambda: watching.scans > 5)
    assert [record.path for record in caplog.records if hasattr(record, "path")] == ["x.jpg"]


def test_a_file_where_something_else_was(root: Path, watch: Callable[..., Watch]) -> None:
    """Where a FIFO makes room for a file, the file is a candidate."""
    make_fifo(root / "x.jpg")
    watching = watch().start()
    (root / "x.jpg").unlink()
    (root / "x.jpg").write_bytes(b"x")
    watching.expect("x.jpg")


def test_queue_overflow(root: Path, watch: Callable[..., Watch], caplog: pytest.LogCaptureFixture) -> None:
    """When the kernel's queue overflows the directory is listed at once, and nothing is lost."""
    watching = watch()
    read, overflows, lost = watching.watcher._inotify.read, threading.Event(), []

    def overflow(timeout: float) -> list[FileEvent]:
        events = read(timeout=timeout)
        if not events or lost or not overflows.is_set():
            return events
        lost.extend(events)
        return [FileEvent(-1, flags.Q_OVERFLOW, 0, "")]

    watching.watcher._inotify.read = overflow
    watching.start()
    with (root / "a.jpg").open("wb") as file:
        file.write(b"half")
        file.flush()
        watching.sentinel("1.jpg")
        overflows.set()
    assert watching.expect("1.jpg", "a.jpg")[1].size_bytes == 4
    assert [record.getMessage() for record in caplog.records] == ["file events lost"]


def no_events(watching: Watch) -> None:
    watching.watcher._inotify.read = lambda timeout: []


def all_events(watching: Watch) -> None:
    pass


@pytest.mark.parametrize("events", [all_events, no_events])
def test_found_while_it_is_written(
    root: Path, watch: Callable[..., Watch], events: Callable[[Watch], None]
) -> None:
    """A half-written file that is found by listing is no candidate before its writer closes it."""
    with FileWriter(root / "slow.jpg") as writer:
        writer.write(b"half ")
        watching = watch(rescan_seconds=0.05)
        events(watching)
        watching.start()
        watching.sentinel("1.jpg")
        drop(root / "2.jpg", b"x")
        watching.expect("1.jpg", "2.jpg")
        writer.write(b"and half")
    assert watching.expect("1.jpg", "2.jpg", "slow.jpg")[2].size_bytes == 13


def test_renamed_into_place_while_it_is_written(root: Path, watch: Callable[..., Watch]) -> None:
    """A file renamed into place by a writer that is not done with it is waited for."""
    watching = watch().start()
    with FileWriter(root / ".slow.jpg") as writer:
        (root / ".slow.jpg").rename(root / "slow.jpg")
        watching.sentinel("1.jpg")
        writer.write(b"whole")
    assert watching.expect("1.jpg", "slow.jpg")[1].size_bytes == 5


def test_written_where_there_are_no_leases(
    root: Path, watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel doesn't tell who writes, the settling time decides."""
    monkeypatch.setattr("inspector.shell.watcher.is_being_written", lambda descriptor: None)
    with FileWriter(root / "a.jpg") as writer:
        writer.write(b"as it is")
        watch(rescan_seconds=0.05).start().expect("a.jpg")


@pytest.mark.parametrize("is_early", [True, False], ids=["at start", "later"])
def test_never_closed(
    root: Path,
    watch: Callable[..., Watch],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    is_early: bool,
) -> None:
    """A file that stays open is remarked on once, with the fix, and is a candidate when it is closed at last."""
    monkeypatch.setattr("inspector.shell.watcher._LONG_OPEN_S", 0.05)
    watching = watch(rescan_seconds=0.02)
    if not is_early:
        watching.start()
    with FileWriter(root / "a.jpg") as writer:
        writer.write(b"x")
        if is_early:
            watching.start()
        eventually(lambda: caplog.records)
        scans = watching.scans
        eventually(lambda: watching.scans > scans + 20)
        assert watching.paths() == []
    watching.expect("a.jpg")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    said = (record.getMessage(), record.path)  # type: ignore[attr-defined]
    assert said == ("file not inspected until it is closed", "a.jpg")
    assert "close each file" in record.fix  # type: ignore[attr-defined]


def test_linked_into_place_empty(root: Path, watch: Callable[..., Watch]) -> None:
    """A file that is hard-linked into place is a candidate also where it is empty: nobody is about to fill it."""
    drop(root.parent / "staged.jpg", b"")
    watching = watch().start()
    (root / "a.jpg").hardlink_to(root.parent / "staged.jpg")
    watching.expect("a.jpg")


def test_lost_events(root: Path, watch: Callable[..., Watch]) -> None:
    """Without any event, as on a network mount, files are found by listing."""
    watching = watch(rescan_seconds=0.05)
    watching.watcher._inotify.read = lambda timeout: []
    watching.start()
    drop(root / "top" / "a.jpg", b"x")
    watching.expect("top/a.jpg")
    (root / "top" / "a.jpg").write_bytes(b"22")
    watching.expect("top/a.jpg", "top/a.jpg")


def test_a_directory_that_is_renamed_under_its_writer(root: Path, watch: Callable[..., Watch]) -> None:
    """Its file settles where it now is, and another one that comes to lie at the old path is found like any other."""
    (root / "top").mkdir()
    watching = watch(rescan_seconds=0.05).start()
    with (root / "top" / "a.jpg").open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        eventually(lambda: "top/a.jpg" in watching.watcher._being_written)
        (root / "top").rename(root / "renamed")
        writer.write(b" and whole")
    watching.expect("renamed/a.jpg")
    (root.parent / "made elsewhere").mkdir()
    (root.parent / "made elsewhere" / "a.jpg").write_bytes(b"another")
    (root.parent / "made elsewhere").rename(root / "top")
    watching.expect("renamed/a.jpg", "top/a.jpg")


def test_files_that_go_without_events_are_forgotten(root: Path, watch: Callable[..., Watch]) -> None:
    """What is remembered of files that are left in place does not grow with all that ever came."""
    watching = watch(rescan_seconds=0.05, after_inspection="leave")
    watching.watcher._inotify.read = lambda timeout: []
    watching.start()
    drop(root / "a.jpg", b"x")
    watching.expect("a.jpg")
    (root / "a.jpg").unlink()
    eventually(lambda: not watching.watcher._taken, "forgotten")


def test_no_watch_left(root: Path, watch: Callable[..., Watch], caplog: pytest.LogCaptureFixture) -> None:
    """Where the kernel gives no more watches the directory is listed instead, and one log line says the fix."""

    def no_space(path: Path, mask: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    watching = watch(rescan_seconds=0.02)
    watching.watcher._inotify.add_watch = no_space
    watching.start()
    drop(root / "a.jpg", b"x")
    watching.expect("a.jpg")
    eventually(lambda: watching.scans > 5)
    (record,) = caplog.records
    assert "max_user_watches" in record.fix  # type: ignore[attr-defined]


def test_no_inotify_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel gives no more queues work is blocked, with the setting to raise."""

    def no_more() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("inspector.shell.watcher.INotify", no_more)
    with pytest.raises(Blocked, match=r"Too many open files; raise fs\.inotify\.max_user_instances"):
        Watcher(root, Settings(), lambda *_: False)


def test_missing_directory(root: Path, watch: Callable[..., Watch]) -> None:
    """A directory that is missing blocks work, naming it and the fix."""
    root.rmdir()
    watching = watch().start()
    assert isinstance(watching.error, Blocked)
    assert str(root) in str(watching.error)
    assert "mend ImageDirectory" in str(watching.error)


@pytest.mark.parametrize("go", [shutil.rmtree, lambda root: root.rename(root.parent / "elsewhere")])
def test_directory_goes(root: Path, watch: Callable[..., Watch], go: Callable[[Path], object]) -> None:
    """A directory that is removed or renamed while it is watched blocks work, at once."""
    watching = watch().start()
    go(root)
    eventually(lambda: watching.error)
    assert isinstance(watching.error, Blocked)
    assert str(root) in str(watching.error)


def denied(path: object) -> OSError:
    return PermissionError(errno.EACCES, "Permission denied", os.fspath(path))


@pytest.mark.parametrize("call", ["watch", "list", "look"])
def test_unreadable_subdirectory(
    root: Path,
    watch: Callable[..., Watch],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    """A subdirectory that may not be read gets one log line; the others are watched, and it is tried again."""
    drop(root / "lost+found" / "a.jpg", b"x")
    drop(root / "top" / "a.jpg", b"x")
    watching, closed = watch(rescan_seconds=0.02), [True]
    targets = {
        "watch": (watching.watcher._inotify, "add_watch"),
        "list": (os, "scandir"),
        "look": (Path, "lstat"),
    }
    target, name = targets[call]
    original = getattr(target, name)

    def refuse(path: Any, *arguments: Any) -> Any:
        if closed and "lost+found" in os.fspath(path):
            raise denied(path)
        return original(path, *arguments)

    monkeypatch.setattr(target, name, refuse)
    watching.start().expect("top/a.jpg")
    eventually(lambda: watching.scans > 5)
    closed.clear()
    watching.expect("top/a.jpg", "lost+found/a.jpg")
    (record,) = caplog.records
    said = (record.getMessage(), record.path, record.cause)  # type: ignore[attr-defined]
    assert said == ("directory not watched", "lost+found", "Permission denied")
    assert "read it" in record.fix  # type: ignore[attr-defined]


@pytest.mark.parametrize("call", ["scandir", "lstat"])
def test_unreadable_directory(
    root: Path, watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The image directory itself must be readable: else work is blocked, naming it and the fix."""
    drop(root / "a.jpg", b"x")
    watching = watch()

    def refuse(path: Any) -> None:
        raise denied(path)

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "scandir") if call == "scandir" else (Path, "lstat")), refuse)
        watching.start()
        eventually(lambda: watching.error)
    assert isinstance(watching.error, Blocked)
    assert "Permission denied" in str(watching.error)


def test_directory_goes_unseen(root: Path, watch: Callable[..., Watch]) -> None:
    """A directory whose parent is renamed is missed at the next listing."""
    watching = watch(rescan_seconds=0.02).start()
    root.parent.rename(root.parent.with_name("elsewhere"))
    try:
        eventually(lambda: watching.error)
    finally:
        root.parent.with_name("elsewhere").rename(root.parent)
    assert isinstance(watching.error, Blocked)


def test_a_file_in_place_of_a_camera(root: Path, watch: Callable[..., Watch]) -> None:
    """Files that were about to settle in a directory that has become a file are forgotten."""
    watching = watch(settle_milliseconds=200).start()
    (root / "top").mkdir()
    (root / "top" / "a.jpg").write_bytes(b"x")
    shutil.rmtree(root / "top")
    (root / "top").write_bytes(b"no directory")
    watching.sentinel("1.jpg")
    assert sorted(watching.paths()) == ["1.jpg", "top"]


NAMES = [
    "a b  c.jpg",
    "Schild-äöü-標籤.jpg",
    "two\nlines.jpg",
    "-rf.jpg",
    "x" * 251 + ".jpg",
    os.fsdecode(b"\xff\xfe.jpg"),
]


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name[:20]) for name in NAMES])
def test_strange_names(root: Path, watch: Callable[..., Watch], name: str) -> None:
    """A file is a candidate whatever its name, at the start and later."""
    drop(root / "early" / name, b"x")
    watching = watch().start()
    watching.expect(f"early/{name}")
    drop(root / name, b"x")
    watching.expect(f"early/{name}", name)


def test_linked_into_place(root: Path, watch: Callable[..., Watch]) -> None:
    """A file that is hard-linked into place is a candidate once it has settled."""
    drop(root.parent / "staged.jpg", b"whole")
    watching = watch().start()
    (root / "a.jpg").hardlink_to(root.parent / "staged.jpg")
    watching.expect("a.jpg")


def test_claimed_before(root: Path, watch: Callable[..., Watch]) -> None:
    """Files that an earlier run claimed come first, in order of capture time, under the path that they had."""
    for age, name in enumerate(("top/b.jpg", "a.jpg")):
        path = root / name
        drop(path.parent / ".claimed" / f"7-{age}" / path.name, b"x")
        os.utime(path.parent / ".claimed" / f"7-{age}" / path.name, (100 - age, 100 - age))
    drop(root / "0.jpg", b"x")
    os.utime(root / "0.jpg", (1, 1))
    found = watch().start().expect("a.jpg", "top/b.jpg", "0.jpg")
    assert found[0].source == root / ".claimed" / "7-1" / "a.jpg"


def test_claimed_by_somebody_else(
    root: Path, watch: Callable[..., Watch], caplog: pytest.LogCaptureFixture
) -> None:
    """A symlink among the claimed files, or in place of their directory, leads nowhere."""
    outside = root.parent / "outside"
    drop(outside / "1" / "secret.jpg", b"x")
    (root / ".claimed").mkdir()
    (root / ".claimed" / "1").symlink_to(outside / "1")
    (root / ".claimed" / "2").mkdir()
    (root / ".claimed" / "2" / "x.jpg").symlink_to(outside / "1" / "secret.jpg")
    (root / "top").mkdir()
    (root / "top" / ".claimed").symlink_to(outside)
    watching = watch().start()
    watching.sentinel("1.jpg")
    assert watching.paths() == ["1.jpg"]
    assert "claimed file left alone" in [record.getMessage() for record in caplog.records]
