"""Images for relabelling are kept whole or not at all, and what goes first is told."""

from __future__ import annotations

import errno
import json
import os
import threading
from bisect import insort
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inspector.ports import Blocked, Entry, ImageGoneError
from inspector.shell import files as module
from inspector.shell import keeper as keeper_module
from inspector.shell.keeper import DirectoryKeeper
from inspector_fakes import entry, inspection_id


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
    keeper = DirectoryKeeper(tmp_path)
    keeper.keep(uncertain(1, image), b'[{"label":"scratch"}]', b"picture")
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
    DirectoryKeeper(tmp_path).keep(entry(1, image, keep=("error",)), b"[]", b"picture")
    assert kept(tmp_path, "quarantine") == sorted(pair(1))
    assert kept(tmp_path) == []


def test_read_again(tmp_path: Path, image: Path) -> None:
    """Without content at hand the file is read again, as a restart does."""
    DirectoryKeeper(tmp_path).keep(uncertain(1, image), b"[]", None)
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
        DirectoryKeeper(tmp_path).keep(decided, b"[]", None)
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
    DirectoryKeeper(tmp_path).keep(uncertain(1, image), b"[]", b"picture")
    one = ["fsync .part", "rename {}", "fsync "]
    assert events == [each.format(suffix) for suffix in (".jpg", ".json") for each in one]


def test_cut_short(tmp_path: Path, image: Path) -> None:
    """An image whose keeping was cut short before its sidecar is kept again, once."""
    work = tmp_path / "kept"
    DirectoryKeeper(tmp_path)
    (work / pair(1)[0]).write_bytes(b"pic")
    (work / (inspection_id(1) + ".part")).write_bytes(b"p")
    DirectoryKeeper(tmp_path).keep(uncertain(1, image), b"[]", b"picture")
    assert kept(tmp_path) == sorted(pair(1))
    assert (work / pair(1)[0]).read_bytes() == b"picture"


def used(work: Path) -> int:
    return sum(path.stat().st_size for path in (*work.glob("kept/*"), *work.glob("quarantine/*")))


def test_kept_twice(tmp_path: Path, image: Path) -> None:
    """To keep an image again changes nothing, and it counts once."""
    keeper = DirectoryKeeper(tmp_path)
    for _ in range(20):
        keeper.keep(uncertain(1, image), b"[]", b"picture")
    assert kept(tmp_path) == sorted(pair(1))
    assert (keeper.count, keeper.size_bytes) == (1, used(tmp_path))
    assert keeper.least(10_000, at_most=9) == (inspection_id(1),)


def test_kept_again_after_somebody_took_it_away(tmp_path: Path, image: Path) -> None:
    """As on a full disk, where the ledger could not say that it was kept, and somebody made room."""
    keeper = DirectoryKeeper(tmp_path)
    keeper.keep(uncertain(1, image), b"[]", b"picture")
    for name in kept(tmp_path):
        (tmp_path / "kept" / name).unlink()
    keeper.keep(uncertain(1, image), b"[]", b"picture")
    assert kept(tmp_path) == sorted(pair(1))
    assert (keeper.count, keeper.size_bytes) == (1, used(tmp_path))


def keep_some(keeper: DirectoryKeeper, image: Path) -> None:
    """Four images, the most informative first."""
    for number, reason in enumerate(("uncertain", "audit", "error", "uncertain"), 1):
        keeper.keep(entry(number, image, keep=(reason,)), b"[]", b"x" * 1_000)


def test_the_least_informative_first(tmp_path: Path, image: Path) -> None:
    """Errors, then audits, then the oldest uncertain ones, also of an earlier run; no more than are asked for."""
    keeper = DirectoryKeeper(tmp_path)
    keep_some(keeper, image)
    in_order = tuple(map(inspection_id, (3, 2, 1, 4)))
    for each in (keeper, DirectoryKeeper(tmp_path)):
        assert (each.count, each.size_bytes) == (4, used(tmp_path))
        assert each.least(100_000, at_most=9) == in_order
        assert each.least(100_000, at_most=2) == in_order[:2]
        assert each.least(1_001, at_most=9) == in_order[:1]
        assert each.least(0, at_most=9) == ()


def test_by_age_not_by_number(tmp_path: Path, image: Path) -> None:
    """With a new ledger numbers begin anew: what an older one numbered higher goes first all the same."""
    keeper = DirectoryKeeper(tmp_path)
    keeper.keep(uncertain(900, image), b"[]", b"picture")
    os.utime(tmp_path / "kept" / pair(900)[1], (1, 1))
    keeper.keep(uncertain(1, image), b"[]", b"picture")
    assert DirectoryKeeper(tmp_path).least(10_000, at_most=9) == (inspection_id(900), inspection_id(1))


def test_removed(tmp_path: Path, image: Path) -> None:
    """Image and sidecar go, from wherever they are, and no longer count; what is not there is no trouble."""
    keeper = DirectoryKeeper(tmp_path)
    keep_some(keeper, image)
    keeper.remove([inspection_id(3), inspection_id(1), inspection_id(7)])
    assert kept(tmp_path) == sorted(pair(2) + pair(4))
    assert kept(tmp_path, "quarantine") == []
    assert (keeper.count, keeper.size_bytes) == (2, used(tmp_path))
    assert keeper.least(10_000, at_most=9) == (inspection_id(2), inspection_id(4))


def test_leftovers(tmp_path: Path, image: Path) -> None:
    """What was being written when a run ended goes; half of a pair stays until somebody says that it may go."""
    keep_some(DirectoryKeeper(tmp_path), image)
    (tmp_path / "kept" / f"{inspection_id(9)}.part").write_bytes(b"half")
    (tmp_path / "kept" / pair(1)[1]).unlink()
    (tmp_path / "kept" / pair(2)[0]).unlink()
    keeper = DirectoryKeeper(tmp_path)
    assert kept(tmp_path) == sorted([pair(1)[0], pair(2)[1], *pair(4)])
    assert sorted(keeper.found()) == [inspection_id(number) for number in (1, 2, 3, 4)]
    assert sorted(keeper.loose()) == [inspection_id(1), inspection_id(2)]
    assert keeper.count == 2
    keeper.remove([inspection_id(1), inspection_id(2)])
    assert kept(tmp_path) == sorted(pair(4))


def test_kept_after_all(tmp_path: Path, image: Path) -> None:
    """Half of a pair that is kept again is whole."""
    DirectoryKeeper(tmp_path)
    (tmp_path / "kept" / pair(1)[0]).write_bytes(b"pic")
    keeper = DirectoryKeeper(tmp_path)
    keeper.keep(uncertain(1, image), b"[]", b"picture")
    assert keeper.loose() == ()
    keeper.remove([inspection_id(1)])
    assert kept(tmp_path) == []


def test_two_threads(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that removes an image while another is entering it into the books waits until it is there."""
    keeper = DirectoryKeeper(tmp_path)
    remover = threading.Thread(target=keeper.remove, args=([inspection_id(1)],))

    def enter_slowly(*arguments: Any, **options: Any) -> None:
        remover.start()
        remover.join(0.05)  # it must wait: it has the time to do harm if it doesn't
        insort(*arguments, **options)

    monkeypatch.setattr(keeper_module, "insort", enter_slowly)
    keeper.keep(uncertain(1, image), b"[]", b"picture")
    remover.join()
    assert (keeper.count, keeper.size_bytes, keeper.least(1, at_most=1)) == (0, 0, ())
    assert kept(tmp_path) == []


def cut(sidecar: Path) -> None:
    sidecar.write_bytes(sidecar.read_bytes()[:40])


def garble(sidecar: Path) -> None:
    sidecar.write_bytes(b"\xff\xfe")


def empty(sidecar: Path) -> None:
    sidecar.write_bytes(b"")


def lose_image(sidecar: Path) -> None:
    sidecar.with_suffix(".jpg").unlink()


def speak_of_another(sidecar: Path) -> None:
    sidecar.write_bytes(sidecar.read_bytes().replace(pair(1)[0].encode(), b"../../tag.jpg"))


@pytest.mark.parametrize("spoil", [cut, garble, empty, lose_image, speak_of_another])
def test_spoiled(
    tmp_path: Path, image: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A sidecar or image that somebody spoiled costs one log line, not the component; the others count."""
    keeper = DirectoryKeeper(tmp_path)
    for number in (1, 2):
        keeper.keep(uncertain(number, image), b"[]", b"x" * 1_000)
    spoil(tmp_path / "kept" / pair(1)[1])
    again = DirectoryKeeper(tmp_path)
    assert [record.getMessage() for record in caplog.records] == ["kept image not whole"]
    assert again.least(10_000, at_most=9) == (inspection_id(2),)
    assert again.loose() == (inspection_id(1),)
    again.remove([inspection_id(1)])
    assert kept(tmp_path) == sorted(pair(2))
    assert image.exists()


def test_foreign_files(tmp_path: Path, image: Path) -> None:
    """Files that the keeper has not made are neither read nor removed."""
    foreign = {"labels.json": b"{}", "*.json": b"{}", "notes.txt": b"x" * 5_000}
    DirectoryKeeper(tmp_path)
    for name, content in foreign.items():
        (tmp_path / "kept" / name).write_bytes(content)
    (tmp_path / "kept" / pair(9)[0]).mkdir()
    (tmp_path / "kept" / pair(9)[1]).symlink_to(image)
    keeper = DirectoryKeeper(tmp_path)
    keeper.keep(uncertain(1, image), b"[]", b"picture")
    assert keeper.found() == (inspection_id(1),)
    keeper.remove([inspection_id(1), inspection_id(9)])
    assert kept(tmp_path) == sorted([*foreign, *pair(9)])


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
    DirectoryKeeper(tmp_path).keep(uncertain(1, tmp_path / name), b"[]", b"picture")
    assert kept(tmp_path) == sorted(pair(1, suffix))
    assert (tmp_path / "kept" / pair(1, suffix)[0]).read_bytes() == b"picture"


def test_disk_full(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full blocks work, naming the image and the fix."""
    keeper = DirectoryKeeper(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(Blocked, match=r"kept image .*\.jpg: No space left on device; make room on the disk"):
        keeper.keep(uncertain(1, image), b"[]", b"picture")
    assert kept(tmp_path) == []


def test_cannot_be_made(tmp_path: Path) -> None:
    """A work directory that cannot hold the kept images blocks work."""
    (tmp_path / "kept").write_bytes(b"a file")
    with pytest.raises(Blocked, match=f"directory {tmp_path}: File exists; make room"):
        DirectoryKeeper(tmp_path)


def test_two_reasons(tmp_path: Path, image: Path) -> None:
    """An image with several reasons is worth its best."""
    keeper = DirectoryKeeper(tmp_path)
    keeper.keep(replace(uncertain(1, image), keep=("audit", "uncertain")), b"[]", b"x")
    keeper.keep(replace(uncertain(2, image), keep=("audit",)), b"[]", b"x")
    assert keeper.least(1, at_most=9) == (inspection_id(2),)


def test_kept_before(tmp_path: Path, image: Path) -> None:
    """What an earlier run kept, and could not put on record, stays kept though its file is gone by now."""
    due = uncertain(1, image)
    DirectoryKeeper(tmp_path).keep(due, b"[]", b"content")
    image.unlink()
    DirectoryKeeper(tmp_path).keep(due, b"[]", None)
    assert kept(tmp_path) == sorted(pair(1))
    with pytest.raises(ImageGoneError):  # of another verdict on it, the message would not be this
        DirectoryKeeper(tmp_path).keep(replace(due, message=b'{"seq":2}'), b"[]", None)
