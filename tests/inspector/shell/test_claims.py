"""Files are taken, read and disposed of, and nothing else is touched."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from file_writer import FileWriter
from inspector.core.settings import Settings
from inspector.ports import Blocked, Claimed, Entry
from inspector.shell import claims as module
from inspector.shell.archive import Archive
from inspector.shell.claims import Claims
from inspector_fakes import candidate, drop, entry

STOP = threading.Event()


class Appender(threading.Event):
    """A stop event that is never set; while it is waited on, the file grows, so many times."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__()
        self.path = path
        self.times = times

    def wait(self, timeout: float | None = None) -> bool:
        if self.times:
            self.times -= 1
            with self.path.open("ab") as file:
                file.write(b"+")
        return False


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def claims(archive: Archive | None = None, **settings: Any) -> Claims:
    return Claims(Settings(**({"settle_milliseconds": 0} | settings)), archive)


def archiving(root: Path) -> Claims:
    return claims(Archive(root.parent / "archive"))


def archived(root: Path) -> list[str]:
    return sorted(path.name for path in (root.parent / "archive").iterdir())


def claim(keeper: Claims, root: Path, path: str) -> Claimed:
    claimed = keeper.claim(candidate(root, path), STOP)
    assert claimed
    return claimed


def settled(claimed: Claimed, seq: int = 1) -> Entry:
    return replace(entry(seq, claimed.source), path=claimed.identity.path)


def test_claim(root: Path) -> None:
    """A claimed file lies in .claimed beside its place, and what was in it is read."""
    drop(root / "top" / "a.jpg", b"content")
    before = candidate(root, "top/a.jpg")
    claimed = archiving(root).claim(before, STOP)
    assert claimed
    assert claimed.source.parents[1] == root / "top" / ".claimed"
    assert claimed.source.read_bytes() == claimed.data == b"content"
    assert not (root / "top" / "a.jpg").exists()
    identity = claimed.identity
    assert (identity.path, identity.mtime_ns, identity.size_bytes) == ("top/a.jpg", before.mtime_ns, 7)
    assert identity.sha256 == sha256(b"content").hexdigest()


def test_leave(root: Path) -> None:
    """With AfterInspection leave a file is read where it is and stays there."""
    drop(root / "a.jpg", b"content")
    leaving = claims(after_inspection="leave")
    claimed = claim(leaving, root, "a.jpg")
    assert (claimed.source, claimed.data) == (root / "a.jpg", b"content")
    assert leaving.settle(settled(claimed)) is True
    assert (root / "a.jpg").read_bytes() == b"content"


def test_delete(root: Path) -> None:
    """With AfterInspection delete a file is gone once it is settled, and so is the directory of claims."""
    drop(root / "a.jpg", b"content")
    deleting = claims(after_inspection="delete")
    assert deleting.settle(settled(claim(deleting, root, "a.jpg"))) is False
    assert list(root.iterdir()) == []


def test_archive(root: Path) -> None:
    """With AfterInspection archive a file goes into the archive, under its sequence number and name."""
    drop(root / "a.jpg", b"content")
    keeper = archiving(root)
    assert keeper.settle(settled(claim(keeper, root, "a.jpg"), seq=12)) is False
    assert list(root.iterdir()) == []
    assert (root.parent / "archive" / "000000000012-00000000-a.jpg").read_bytes() == b"content"


@pytest.mark.parametrize("after", ["archive", "delete"])
def test_newer_file(root: Path, after: str) -> None:
    """A newer file under the same name is untouched by what becomes of the claimed one."""
    drop(root / "latest.jpg", b"older")
    archive = Archive(root.parent / "archive") if after == "archive" else None
    keeper = claims(archive, after_inspection=after)
    claimed = claim(keeper, root, "latest.jpg")
    drop(root / "latest.jpg", b"newer")
    newer = claim(keeper, root, "latest.jpg")
    keeper.settle(settled(claimed, 1))
    assert (newer.data, newer.source.read_bytes()) == (b"newer", b"newer")
    keeper.settle(settled(newer, 2))
    assert list(root.iterdir()) == []


def test_vanished(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that vanished before it was claimed is nothing to inspect, and one log line."""
    drop(root / "a.jpg", b"content")
    gone = candidate(root, "a.jpg")
    (root / "a.jpg").unlink()
    for after in ("leave", "archive"):
        caplog.clear()
        assert claims(after_inspection=after).claim(gone, STOP) is None
        assert [record.getMessage() for record in caplog.records] == ["file left alone"]


@pytest.mark.parametrize("after", ["leave", "archive"])
def test_became_something_else(root: Path, caplog: pytest.LogCaptureFixture, after: str) -> None:
    """A file that has become a symlink or a FIFO is not followed or read."""
    drop(root.parent / "secret", b"secret")
    for name, make in (("a.jpg", os.mkfifo), ("b.jpg", lambda path: path.symlink_to(root.parent / "secret"))):
        drop(root / name, b"content")
        found = candidate(root, name)
        (root / name).unlink()
        make(root / name)
        assert claims(after_inspection=after).claim(found, STOP) is None
    assert [record.getMessage() for record in caplog.records] == ["file left alone"] * 2
    assert (root.parent / "secret").read_bytes() == b"secret"


def test_changed_since_it_settled(root: Path) -> None:
    """A file that was written to after it was found is read as it is once it is stable."""
    drop(root / "a.jpg", b"half ")
    found = candidate(root, "a.jpg")
    with (root / "a.jpg").open("ab") as file:
        file.write(b"and half")
    claimed = archiving(root).claim(found, STOP)
    assert claimed
    assert (claimed.data, claimed.identity.size_bytes) == (b"half and half", 13)


def test_written_after_the_claim(root: Path) -> None:
    """A writer that goes on after the claim is waited for, and nothing that it replaced is read."""
    drop(root / "a.jpg", b"1")
    found = replace(candidate(root, "a.jpg"), mtime_ns=1)
    writer = (root / "a.jpg").open("r+b")

    class Rewriter(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if not writer.closed:
                writer.write(b"2222")
                writer.close()
            return False

    claimed = archiving(root).claim(found, Rewriter())
    assert claimed
    assert claimed.data == claimed.source.read_bytes() == b"2222"
    assert claimed.identity.sha256 == sha256(b"2222").hexdigest()


@pytest.mark.parametrize("after", ["archive", "leave"])
@pytest.mark.parametrize("flags", [0, os.O_TRUNC], ids=["as it was", "truncated"])
def test_opened_just_before_the_claim(root: Path, after: str, flags: int) -> None:
    """A writer that has opened a file between its settling and its claim is waited for, also while it pauses."""
    drop(root / "a.jpg", b"1")
    found = candidate(root, "a.jpg")

    class Pauses(threading.Event):
        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            if self.waits == 3:
                writer.write(b"2222")
                writer.close()
            return False

    archive = Archive(root.parent / "archive")
    with FileWriter(root / "a.jpg", flags) as writer:
        claimed = claims(archive, after_inspection=after).claim(found, Pauses())
    assert claimed
    assert claimed.data == claimed.source.read_bytes() == b"2222"
    assert claimed.identity.size_bytes == 4


def test_never_closed(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A claimed file whose writer never closes it holds the line up only for a while, and one line says so."""

    class NoPause(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout
            return False

    drop(root / "a.jpg", b"1")
    with FileWriter(root / "a.jpg"):
        claimed = archiving(root).claim(candidate(root, "a.jpg"), NoPause())
    assert claimed
    (record,) = caplog.records
    assert (record.path, record.cause) == ("a.jpg", "it is open for writing")  # type: ignore[attr-defined]
    assert "close each file" in record.fix  # type: ignore[attr-defined]


def test_grows_while_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that grew while it was read, and was then overwritten, nothing older is read."""
    drop(root / "a.jpg", b"1")
    found, fstat, looks = replace(candidate(root, "a.jpg"), mtime_ns=1), os.fstat, []

    def overwrite(content: bytes) -> None:
        with next((root / ".claimed").glob("*/a.jpg")).open("r+b") as file:
            file.write(content)

    def fstat_then_grow(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        looks.append(status)
        if len(looks) == 2:  # its size, just before it is read
            overwrite(b"1111")
        return status

    class Overwriter(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            overwrite(b"9999")
            tick = looks[-1].st_mtime_ns  # the file system's clock has not moved on
            os.utime(next((root / ".claimed").glob("*/a.jpg")), ns=(tick, tick))
            return False

    monkeypatch.setattr(module.os, "fstat", fstat_then_grow)
    claimed = archiving(root).claim(found, Overwriter())
    assert claimed
    assert claimed.data == b"9999"


def test_never_stable(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is written to without end is taken as it is after a while, with a log line."""
    drop(root / "a.jpg", b"1")
    leaving = claims(after_inspection="leave")
    found = replace(candidate(root, "a.jpg"), mtime_ns=1)
    claimed = leaving.claim(found, Appender(root / "a.jpg", 1_000))
    assert claimed
    assert claimed.data
    assert [record.getMessage() for record in caplog.records] == ["file still written to, taken as it is"]


def test_stopped_while_it_settles(root: Path) -> None:
    """Told to stop, a claim doesn't take a file that is still written to: it stays claimed for the next run."""
    drop(root / "a.jpg", b"half")
    stop = threading.Event()
    stop.set()
    found = replace(candidate(root, "a.jpg"), size_bytes=1)
    assert archiving(root).claim(found, stop) is None
    (claimed,) = (root / ".claimed").glob("*/a.jpg")
    assert claimed.read_bytes() == b"half"


def test_claim_that_was_undone(root: Path) -> None:
    """A file that is no longer where it was claimed to, but where it came from, is a candidate again."""
    drop(root / "top" / "a.jpg", b"content")
    before = candidate(root, "top/a.jpg")
    keeper = archiving(root)
    entry = settled(claim(keeper, root, "top/a.jpg"))
    assert keeper.unclaimed(entry) is None
    entry.source.rename(root / "top" / "a.jpg")
    assert keeper.unclaimed(entry) == before
    drop(root / "top" / "a.jpg", b"another one")
    assert keeper.unclaimed(entry) is None
    (root / "top" / "a.jpg").unlink()
    assert keeper.unclaimed(entry) is None


def test_left_file_has_no_claim_to_undo(root: Path) -> None:
    """A file that was left in place is not claimed when it is finished later, nor is what is in its place."""
    drop(root / "a.jpg", b"content")
    leaving = claims(after_inspection="leave")
    entry = settled(claim(leaving, root, "a.jpg"))
    assert leaving.unclaimed(entry) is None
    (root / "a.jpg").unlink()
    assert leaving.unclaimed(entry) is None


def test_too_large(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above MaxImageMegabytes is claimed, and not read."""
    drop(root / "a.jpg", b"x" * 1_001)
    drop(root / "b.jpg", b"x" * 1_000)
    keeper = claims(Archive(root.parent / "archive"), max_image_megabytes=0.001)
    assert claim(keeper, root, "b.jpg").data == b"x" * 1_000
    monkeypatch.setattr(module.os, "fdopen", lambda *arguments, **_: Unreadable(arguments[0]))
    claimed = claim(keeper, root, "a.jpg")
    assert (claimed.data, claimed.identity.size_bytes, claimed.identity.sha256) == (None, 1_001, "")


class Unreadable:
    """An open file that must not be read, or fails with ``error``."""

    error: Exception = AssertionError("it was read")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __enter__(self) -> Unreadable:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def fileno(self) -> int:
        return self.descriptor

    def seek(self, position: int) -> None:
        pass

    def read(self, size: int) -> bytes:
        raise self.error


class BadSector(Unreadable):
    error = OSError(errno.EIO, "Input/output error")


def test_bad_sector(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose content the disk doesn't give is claimed, with the fault in place of the content."""
    drop(root / "a.jpg", b"x")
    monkeypatch.setattr(module.os, "fdopen", lambda *arguments, **_: BadSector(arguments[0]))
    claimed = claim(archiving(root), root, "a.jpg")
    assert claimed.data is None
    assert claimed.fault
    assert claimed.fault.code == "unreadable"


def test_no_right_to_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is its own fault, and says what to do; the others go on."""
    drop(root / "a.jpg", b"x")

    def denied(path: Path) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))

    monkeypatch.setattr(module, "open_regular", denied)
    claimed = claim(archiving(root), root, "a.jpg")
    assert claimed.data is None
    assert "Permission denied; give the component's user the right" in str(claimed.fault)


def test_directory_not_writable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory out of which nothing can be renamed blocks work, naming the file and the fix."""
    drop(root / "a.jpg", b"x")

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(Blocked, match=r"a\.jpg: Read-only file system; .*set AfterInspection to leave"):
        claims().claim(candidate(root, "a.jpg"), STOP)


def test_claimed_is_a_symlink(root: Path) -> None:
    """Nothing is moved where somebody's symlink in place of .claimed leads."""
    drop(root / "a.jpg", b"x")
    (root.parent / "elsewhere").mkdir()
    (root / ".claimed").symlink_to(root.parent / "elsewhere")
    with pytest.raises(Blocked, match=r"\.claimed: it is a symlink; remove it"):
        archiving(root).claim(candidate(root, "a.jpg"), STOP)
    assert list((root.parent / "elsewhere").iterdir()) == []


def test_names_that_are_not_utf8(root: Path) -> None:
    """What is said of a file with a name that is not UTF-8 can be put into a message."""
    drop(root / os.fsdecode(b"\xff.jpg"), b"x")
    (root / ".claimed").symlink_to(root)
    with pytest.raises(Blocked) as blocked:
        archiving(root).claim(candidate(root, os.fsdecode(b"\xff.jpg")), STOP)
    assert str(blocked.value).encode()


def test_settled_before(root: Path) -> None:
    """To settle what an earlier run had settled, before it could say so, does nothing but tidy up."""
    drop(root / "a.jpg", b"x")
    keeper = archiving(root)
    claimed = settled(claim(keeper, root, "a.jpg"))
    claimed.source.rename(root.parent / "archive" / "000000000001-00000000-a.jpg")
    assert keeper.settle(claimed) is False
    assert archived(root) == ["000000000001-00000000-a.jpg"]
    assert list(root.iterdir()) == []


def test_read_only_by_the_time_it_is_settled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of claims that cannot be removed stays, and does no harm to a file that is settled."""
    drop(root / "a.jpg", b"x")
    keeper = archiving(root)
    claimed = settled(claim(keeper, root, "a.jpg"))

    def read_only(self: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", os.fspath(self))

    monkeypatch.setattr(Path, "rmdir", read_only)
    assert keeper.settle(claimed) is False
    assert archived(root) == ["000000000001-00000000-a.jpg"]


def test_claimed_then_configured_to_leave(root: Path) -> None:
    """A file claimed before the configuration was changed to leave is put back, not deleted."""
    drop(root / "a.jpg", b"content")
    claimed = claim(claims(), root, "a.jpg")
    assert claims(after_inspection="leave").settle(settled(claimed)) is True
    assert [path.name for path in root.iterdir()] == ["a.jpg"]
    assert (root / "a.jpg").read_bytes() == b"content"


def test_put_back_over_nothing_newer(root: Path) -> None:
    """What is put back never replaces a newer file: it stays claimed."""
    drop(root / "a.jpg", b"older")
    claimed = claim(claims(), root, "a.jpg")
    drop(root / "a.jpg", b"newer")
    claims(after_inspection="leave").settle(settled(claimed))
    assert (root / "a.jpg").read_bytes() == b"newer"
    assert claimed.source.read_bytes() == b"older"


@pytest.mark.parametrize("newer", [None, b"newer"])
def test_put_back_without_hard_links(
    root: Path, monkeypatch: pytest.MonkeyPatch, newer: bytes | None
) -> None:
    """On a file system that has no hard links a file is put back as well, where its name is free."""
    drop(root / "a.jpg", b"older")
    claimed = claim(claims(), root, "a.jpg")
    if newer:
        drop(root / "a.jpg", newer)

    def none_here(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", none_here)
    assert claims(after_inspection="leave").settle(settled(claimed)) is True
    assert (root / "a.jpg").read_bytes() == (newer or b"older")
    assert claimed.source.exists() == bool(newer)


@pytest.mark.parametrize(
    ("after", "call", "fix"),
    [("delete", "unlink", "right to remove it"), ("leave", "hardlink_to", "out of .claimed")],
)
def test_cannot_be_settled(
    root: Path, monkeypatch: pytest.MonkeyPatch, after: str, call: str, fix: str
) -> None:
    """A claimed file that cannot be removed or put back blocks work, with the fix for just that."""
    drop(root / "a.jpg", b"x")
    claimed = claim(claims(), root, "a.jpg")

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, call, read_only)
    with pytest.raises(Blocked, match=rf"a\.jpg: .*Read-only file system; .*{fix}"):
        claims(after_inspection=after).settle(settled(claimed))


def test_archive_gone(root: Path) -> None:
    """An archive that was removed while the component runs blocks work; the file stays claimed."""
    keeper = archiving(root)
    drop(root / "a.jpg", b"content")
    claimed = claim(keeper, root, "a.jpg")
    (root.parent / "archive").rmdir()
    with pytest.raises(Blocked, match=r"a\.jpg: .*No such file.*; make room, or mend ArchiveDirectory"):
        keeper.settle(settled(claimed))
    assert claimed.source.read_bytes() == b"content"


def test_claim_while_another_thread_settles(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No claim is lost to a directory that another thread finds empty, and removes, while it is being made."""
    keeper, mkdir = claims(after_inspection="delete"), Path.mkdir
    drop(root / "a.jpg", b"x")
    drop(root / "b.jpg", b"x")
    gone = settled(claim(keeper, root, "a.jpg"))
    keeper.settle(gone)
    settler = threading.Thread(target=keeper.settle, args=(gone,))

    def mkdir_and_settle(self: Path, *arguments: Any, **options: Any) -> None:
        mkdir(self, *arguments, **options)
        if self.name == ".claimed":
            settler.start()
            settler.join(0.05)  # it must wait for the claim: it has the time to do harm if it doesn't

    monkeypatch.setattr(Path, "mkdir", mkdir_and_settle)
    claimed = claim(keeper, root, "b.jpg")
    settler.join()
    keeper.settle(settled(claimed))
    assert list(root.iterdir()) == []
