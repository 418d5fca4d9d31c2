"""Archived files are named apart, never half there, and go in the order in which they came."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.ports import Blocked
from inspector.shell import files as module
from inspector.shell.archive import Archive
from inspector_fakes import drop, entry, inspection_id


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def put(archive: Archive, tmp_path: Path, number: int, seq: int | None = None, name: str = "a.jpg") -> None:
    """Archive a file of 100 bytes; its inspection's id is made of ``number``."""
    decided = entry(number, drop(tmp_path / name, b"x" * 100))
    archive.add(replace(decided, id=inspection_id(number)[::-1], seq=number if seq is None else seq))


def names(archive: Archive) -> list[str]:
    return sorted(path.name for path in archive.directory.iterdir())


def archived(*numbers: int) -> list[str]:
    return [f"{number:012d}-{inspection_id(number)[::-1][:8]}-a.jpg" for number in numbers]


def test_the_oldest_go_first(directory: Path, tmp_path: Path) -> None:
    """So many go that the excess is gone, also of those of an earlier run, and no more."""
    archive = Archive(directory)
    for number in (1, 2, 3):
        put(archive, tmp_path, number)
    assert (archive.count, archive.size_bytes) == (3, 300)
    assert archive.shed(0, at_most=9) == 0
    assert archive.shed(50, at_most=9) == 1
    assert names(archive) == archived(2, 3)
    again = Archive(directory)
    put(again, tmp_path, 4)
    assert again.shed(101, at_most=9) == 2
    assert names(again) == archived(4)
    assert (again.count, again.size_bytes) == (1, 100)


def test_a_step_is_limited(directory: Path, tmp_path: Path) -> None:
    """At most so many files go at once, and never more than there are."""
    archive = Archive(directory)
    for number in (1, 2, 3):
        put(archive, tmp_path, number)
    assert archive.shed(10_000, at_most=2) == 2
    assert archive.shed(10_000, at_most=2) == 1
    assert archive.shed(10_000, at_most=2) == 0
    assert names(archive) == []


def test_a_new_ledger_overwrites_nothing(directory: Path, tmp_path: Path) -> None:
    """Where the numbers begin anew, older files stay, and still go first."""
    archive = Archive(directory)
    put(archive, tmp_path, 8, seq=1)
    put(archive, tmp_path, 9, seq=2)
    archive = Archive(directory)
    put(archive, tmp_path, 3, seq=1)
    assert len(names(archive)) == 3
    again = Archive(directory)
    again.shed(200, at_most=9)
    assert names(again) == [f"000000000001-{inspection_id(3)[::-1][:8]}-a.jpg"]


def test_archived_over_itself(directory: Path, tmp_path: Path) -> None:
    """The same version of the same file, delivered and archived again, takes its room once."""
    archive = Archive(directory)
    for number in (1, 2, 1, 1):
        put(archive, tmp_path, number)
    assert names(archive) == archived(1, 2)
    assert archive.size_bytes == 200
    archive.shed(1, at_most=9)
    assert names(archive) == archived(1)  # it came in again after the other


def test_removed_by_somebody_else(directory: Path, tmp_path: Path) -> None:
    """A file that a person removed is no trouble, and no longer counts."""
    archive = Archive(directory)
    put(archive, tmp_path, 1)
    (directory / archived(1)[0]).unlink()
    assert archive.shed(1, at_most=9) == 1
    assert archive.size_bytes == 0


def test_foreign_files(directory: Path, tmp_path: Path) -> None:
    """What the component has not archived is neither counted nor removed, whatever it is."""
    drop(directory / "accounts.xls", b"x" * 1_000)
    drop(directory / ".000000000001-notours.part", b"x" * 1_000)
    (directory / "000000000007-directory").mkdir()
    archive = Archive(directory)
    put(archive, tmp_path, 2)
    assert (archive.count, archive.size_bytes) == (1, 100)
    archive.shed(10_000, at_most=9)
    assert names(archive) == [".000000000001-notours.part", "000000000007-directory", "accounts.xls"]


def test_of_an_earlier_version(directory: Path) -> None:
    """Files that are named without an id count, and go."""
    drop(directory / "000000000001-a.jpg", b"x" * 100)
    archive = Archive(directory)
    assert archive.size_bytes == 100
    archive.shed(1, at_most=9)
    assert names(archive) == []


@pytest.mark.parametrize(
    "name", ["y" * 251 + ".jpg", "ä" * 125 + ".jpg", "two\nlines.jpg", os.fsdecode(b"\xff.jpg")]
)
def test_names(directory: Path, tmp_path: Path, name: str) -> None:
    """A file is archived whatever its name; of one that would become too long the end is kept."""
    archive = Archive(directory)
    put(archive, tmp_path, 1, name=name)
    (found,) = names(archive)
    assert found.startswith("000000000001-10000000-")
    assert os.fsencode(found)[22:] == os.fsencode(name)[-233:]
    Archive(directory).shed(1, at_most=9)
    assert names(archive) == []


def test_cannot_be_made(directory: Path) -> None:
    """An archive that cannot be made blocks work, naming it."""
    directory.write_bytes(b"a file")
    with pytest.raises(Blocked, match=f"archive directory {directory}: .*mend ArchiveDirectory"):
        Archive(directory)


def test_cannot_be_shed(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be removed blocks, with the fix, and still counts."""
    archive = Archive(directory)
    put(archive, tmp_path, 1)

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(Blocked, match=r"archive: Read-only file system; .*mend ArchiveDirectory"):
        archive.shed(1, at_most=9)
    assert archive.size_bytes == 100


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on another file system; where there is none, one that refuses renames into it."""
    if Path("/dev/shm").is_dir() and Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev:
        directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    else:
        directory = tmp_path / "other"
        directory.mkdir()
        rename = Path.rename

        def across(self: Path, target: Path) -> Path:
            if self.parent != directory and target.parent == directory:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", across)
    yield directory
    shutil.rmtree(directory)


def test_on_another_file_system(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is copied under another name and made durable before it is removed from its place."""
    archive = Archive(elsewhere)
    source = drop(tmp_path / "a.jpg", b"content")
    os.utime(source, ns=(5_000_000_000, 5_000_000_000))
    source.chmod(0o777)
    target, fsync, synced = elsewhere / "000000000001-00000000-a.jpg", os.fsync, []

    def record(descriptor: int) -> None:
        assert source.exists()
        synced.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")), target.exists()))
        fsync(descriptor)

    monkeypatch.setattr(module.os, "fsync", record)
    archive.add(entry(1, source))
    assert synced == [(elsewhere / ".000000000001-00000000.part", False), (elsewhere, True)]
    assert target.read_bytes() == b"content"
    assert (target.stat().st_mtime_ns, target.stat().st_mode & 0o777) == (5_000_000_000, 0o640)
    assert not source.exists()


def test_a_copy_cut_short(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves nothing under any name, a crash half a copy under its own: the next start removes it."""
    archive = Archive(elsewhere)
    source = drop(tmp_path / "a.jpg", b"content")
    with monkeypatch.context() as patch:

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(module.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            archive.add(entry(1, source))
    assert names(archive) == []
    half = elsewhere / ".000000000001-00000000.part"
    half.write_bytes(b"a longer half than the whole")
    archive.add(entry(1, source))
    assert names(archive) == ["000000000001-00000000-a.jpg"]
    assert (elsewhere / names(archive)[0]).read_bytes() == b"content"
    half.write_bytes(b"half")
    assert Archive(elsewhere).count == 1
    assert names(archive) == ["000000000001-00000000-a.jpg"]


def test_no_symlink_is_followed_across_file_systems(elsewhere: Path, tmp_path: Path) -> None:
    """A file that somebody replaced by a symlink is not copied."""
    decided = entry(1, drop(tmp_path / "a.jpg", b"content"))
    decided.source.unlink()
    decided.source.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic link"):
        Archive(elsewhere).add(decided)
    assert list(elsewhere.iterdir()) == []
