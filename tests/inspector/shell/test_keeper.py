"""Images for relabelling are kept whole or not at all, within a budget."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.ports import Blocked, Entry, ImageGoneError
from inspector.shell import keeper as module
from inspector.shell.keeper import DirectoryKeeper
from inspector_fakes import entry, inspection_id

ROOM = 1_000_000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "tag.jpg"
    path.write_bytes(b"picture")
    return path


def kept(work: Path, directory: str = "kept") -> list[str]:
    return sorted(path.name for path in (work / directory).iterdir())


def uncertain(number: int, image: Path) -> Entry:
    return entry(number, image, keep=("uncertain",), message=b'{"verdict":"review"}')


def pair(number: int, suffix: str = ".jpg") -> list[str]:
    return [inspection_id(number) + suffix, inspection_id(number) + ".json"]


def test_image_and_sidecar(tmp_path: Path, image: Path) -> None:
    """A kept image stands beside a sidecar that holds its message and all that was detected."""
    keeper = DirectoryKeeper(tmp_path, ROOM)
    assert keeper.keep(uncertain(1, image), b'[{"label":"scratch"}]', b"picture") == ()
    assert kept(tmp_path) == sorted(pair(1))
    assert (tmp_path / "kept" / pair(1)[0]).read_bytes() == b"picture"
    assert json.loads((tmp_path / "kept" / pair(1)[1]).read_bytes()) == {
        "schema": "edge-inspector/kept/1",
        "id": inspection_id(1),
        "seq": 1,
        "reasons": ["uncertain"],
        "image": pair(1)[0],
        "result": {"verdict": "review"},
        "raw_detections": [{"label": "scratch"}],
    }
    assert image.exists()


def test_quarantine(tmp_path: Path, image: Path) -> None:
    """What could not be inspected goes into quarantine."""
    DirectoryKeeper(tmp_path, ROOM).keep(entry(1, image, keep=("error",)), b"[]", b"picture")
    assert kept(tmp_path, "quarantine") == sorted(pair(1))
    assert kept(tmp_path) == []


def test_read_again(tmp_path: Path, image: Path) -> None:
    """Without content at hand the file is read again, as a restart does."""
    DirectoryKeeper(tmp_path, ROOM).keep(uncertain(1, image), b"[]", None)
    assert (tmp_path / "kept" / pair(1)[0]).read_bytes() == b"picture"


def remove(image: Path) -> None:
    image.unlink()


def overwrite(image: Path) -> None:
    image.write_bytes(b"another picture")


def replace_by_symlink(image: Path) -> None:
    image.rename(image.with_name("other.jpg"))
    image.symlink_to(image.with_name("other.jpg"))


@pytest.mark.parametrize("spoil", [remove, overwrite, replace_by_symlink])
def test_gone(tmp_path: Path, image: Path, spoil: Callable[[Path], None]) -> None:
    """A file that is no longer what was inspected is not kept in its place."""
    decided = uncertain(1, image)
    spoil(image)
    with pytest.raises(ImageGoneError, match=r"tag\.jpg"):
        DirectoryKeeper(tmp_path, ROOM).keep(decided, b"[]", None)
    assert kept(tmp_path) == []


def test_durable_before_the_sidecar(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image and its name are on disk before the sidecar's name appears; no name shows half a file."""
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def record_fsync(descriptor: int) -> None:
        events.append("fsync " + Path(os.readlink(f"/proc/self/fd/{descriptor}")).suffix)
        fsync(descriptor)

    def record_rename(self: Path, target: Path) -> Path:
        events.append("rename " + target.suffix)
        return rename(self, target)

    monkeypatch.setattr(module.os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "rename", record_rename)
    DirectoryKeeper(tmp_path, ROOM).keep(uncertain(1, image), b"[]", b"picture")
    one = ["fsync .part", "rename {}", "fsync "]
    assert events == [each.format(suffix) for suffix in (".jpg", ".json") for each in one]


def test_cut_short(tmp_path: Path, image: Path) -> None:
    """An image whose keeping was cut short before its sidecar is kept again, once."""
    work = tmp_path / "kept"
    DirectoryKeeper(tmp_path, ROOM)
    (work / pair(1)[0]).write_bytes(b"pic")
    (work / (inspection_id(1) + ".part")).write_bytes(b"p")
    DirectoryKeeper(tmp_path, ROOM).keep(uncertain(1, image), b"[]", b"picture")
    assert kept(tmp_path) == sorted(pair(1))
    assert (work / pair(1)[0]).read_bytes() == b"picture"


def test_kept_twice(tmp_path: Path, image: Path) -> None:
    """To keep an image again changes nothing, and counts once against the budget."""
    keeper = DirectoryKeeper(tmp_path, 800)
    for _ in range(20):
        assert keeper.keep(uncertain(1, image), b"[]", b"picture") == ()
    assert kept(tmp_path) == sorted(pair(1))


def test_budget(tmp_path: Path, image: Path) -> None:
    """Over budget the least informative go first: errors, then audits, then the oldest uncertain ones."""
    keeper, content = DirectoryKeeper(tmp_path, 3_900), b"x" * 1_000
    assert keeper.keep(entry(1, image, keep=("uncertain",)), b"[]", content) == ()
    assert keeper.keep(entry(2, image, keep=("audit",)), b"[]", content) == ()
    assert keeper.keep(entry(3, image, keep=("error",)), b"[]", content) == ()
    evicted = [keeper.keep(entry(number, image, keep=("uncertain",)), b"[]", content) for number in (4, 5, 6)]
    assert evicted == [(inspection_id(3),), (inspection_id(2),), (inspection_id(1),)]
    assert kept(tmp_path) == sorted(pair(4) + pair(5) + pair(6))
    assert kept(tmp_path, "quarantine") == []


def test_larger_than_the_budget(tmp_path: Path, image: Path) -> None:
    """An image that doesn't fit at all is removed again, and that is said."""
    keeper = DirectoryKeeper(tmp_path, 100)
    assert keeper.keep(uncertain(1, image), b"[]", b"x" * 1_000) == (inspection_id(1),)
    assert kept(tmp_path) == []


def test_restart(tmp_path: Path, image: Path) -> None:
    """A restart counts what is there exactly as the run that kept it did."""
    content = b"x" * 1_000
    first = DirectoryKeeper(tmp_path, ROOM)
    for number in (1, 2):
        first.keep(uncertain(number, image), b"[]", content)
    used = sum(path.stat().st_size for path in (tmp_path / "kept").iterdir())
    exact = DirectoryKeeper(tmp_path, used + used // 2)
    assert exact.keep(uncertain(3, image), b"[]", content) == ()
    tight = DirectoryKeeper(tmp_path, used + used // 2 - 1)
    assert tight.keep(uncertain(3, image), b"[]", content) == (inspection_id(1),)
    assert kept(tmp_path) == sorted(pair(2) + pair(3))


def cut(sidecar: Path) -> None:
    sidecar.write_bytes(sidecar.read_bytes()[:40])


def garble(sidecar: Path) -> None:
    sidecar.write_bytes(b"\xff\xfe")


def empty(sidecar: Path) -> None:
    sidecar.write_bytes(b"")


def lose_image(sidecar: Path) -> None:
    sidecar.with_suffix(".jpg").unlink()


def make_directory(sidecar: Path) -> None:
    sidecar.unlink()
    sidecar.mkdir()


@pytest.mark.parametrize("spoil", [cut, garble, empty, lose_image, make_directory])
def test_spoiled(
    tmp_path: Path, image: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A sidecar or image that somebody spoiled costs one log line, not the component; the others count."""
    keeper = DirectoryKeeper(tmp_path, ROOM)
    for number in (1, 2):
        keeper.keep(uncertain(number, image), b"[]", b"x" * 1_000)
    spoil(tmp_path / "kept" / pair(1)[1])
    again = DirectoryKeeper(tmp_path, 2_000)
    assert [record.getMessage() for record in caplog.records] == ["kept image not whole"]
    assert again.keep(uncertain(3, image), b"[]", b"x" * 1_000) == (inspection_id(2),)


def test_foreign_files(tmp_path: Path, image: Path) -> None:
    """Files that the keeper has not made are neither read nor removed."""
    foreign = {"labels.json": b"{}", "*.json": b"{}", "notes.txt": b"x" * 5_000}
    DirectoryKeeper(tmp_path, ROOM)
    for name, content in foreign.items():
        (tmp_path / "kept" / name).write_bytes(content)
    keeper = DirectoryKeeper(tmp_path, 1_500)
    for number in (1, 2):
        keeper.keep(uncertain(number, image), b"[]", b"x" * 1_000)
    assert kept(tmp_path) == sorted([*foreign, *pair(2)])


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.PNG", ".png"),
        ("none", ".image"),
        ("a.b c", ".image"),
        ("a.\n", ".image"),
        ("x.json", ".image"),
        ("x.part", ".image"),
        ("a.toolongasuffix", ".image"),
        ("\udcff.\udcff", ".image"),
    ],
)
def test_suffix(tmp_path: Path, name: str, suffix: str) -> None:
    """The image keeps its extension where that is a plain one, and never takes the sidecar's name."""
    (tmp_path / name).write_bytes(b"picture")
    DirectoryKeeper(tmp_path, ROOM).keep(uncertain(1, tmp_path / name), b"[]", b"picture")
    assert kept(tmp_path) == sorted(pair(1, suffix))
    assert (tmp_path / "kept" / pair(1, suffix)[0]).read_bytes() == b"picture"


def test_disk_full(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full blocks work, naming the image and the fix."""
    keeper = DirectoryKeeper(tmp_path, ROOM)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(Blocked, match=r"kept image .*\.jpg: No space left on device; make room on the disk"):
        keeper.keep(uncertain(1, image), b"[]", b"picture")
    assert [name for name in kept(tmp_path) if not name.endswith(".part")] == []


def test_cannot_be_made(tmp_path: Path) -> None:
    """A work directory that cannot hold the kept images blocks work."""
    (tmp_path / "kept").write_bytes(b"a file")
    with pytest.raises(Blocked, match=f"directory {tmp_path}: File exists; make room"):
        DirectoryKeeper(tmp_path, ROOM)


def test_two_reasons(tmp_path: Path, image: Path) -> None:
    """An image with several reasons is worth its best."""
    keeper = DirectoryKeeper(tmp_path, 2_600)
    keeper.keep(replace(uncertain(1, image), keep=("audit", "uncertain")), b"[]", b"x" * 1_000)
    keeper.keep(replace(uncertain(2, image), keep=("audit",)), b"[]", b"x" * 1_000)
    assert keeper.keep(uncertain(3, image), b"[]", b"x" * 1_000) == (inspection_id(2),)


def test_kept_before(tmp_path: Path, image: Path) -> None:
    """What an earlier run kept, and could not put on record, stays kept though its file is gone by now."""
    due = uncertain(1, image)
    DirectoryKeeper(tmp_path, ROOM).keep(due, b"[]", b"content")
    image.unlink()
    assert DirectoryKeeper(tmp_path, ROOM).keep(due, b"[]", None) == ()
    assert kept(tmp_path) == sorted(pair(1))
    with pytest.raises(ImageGoneError):  # of another verdict on it, the message would not be this
        DirectoryKeeper(tmp_path, ROOM).keep(replace(due, message=b'{"seq":2}'), b"[]", None)
