"""The parts of one work directory, where it does not let them work."""

import errno
from pathlib import Path

import pytest

from inspector.assembly import _keep_apart
from inspector.component import Component
from inspector.core.settings import Settings
from inspector.ports import Blocked, LedgerBlocked
from inspector.shell.greengrass import Greengrass
from inspector.works import Works
from small_disk import small_disk


def works(directory: Path) -> Works:
    return Works(directory, "line-3", Greengrass(lambda _: None), lambda _: None, lambda _: None)


def test_a_work_directory_that_cannot_be_written_blocks(tmp_path: Path) -> None:
    """The lock cannot be made: the component stays up and says which directory, why and what to do."""
    with pytest.raises(
        Blocked, match=r"work directory .*nowhere: No such file.*; let the component's user write"
    ):
        works(tmp_path / "nowhere").complete(Settings())


def test_a_second_inspector_waits_for_the_first(tmp_path: Path) -> None:
    """One work directory, one inspector."""
    first, second = works(tmp_path), works(tmp_path)
    settings = Settings(model_directory="nowhere")
    with pytest.raises(Blocked, match="model package"):
        first.complete(settings)
    with pytest.raises(Blocked, match="another inspector works in it"):
        second.complete(settings)
    first.close()


def test_a_work_directory_without_locks_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network mounts are."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("inspector.works.fcntl.flock", refuse)
    with pytest.raises(Blocked, match="cannot be locked: No locks available; put it on a local file system"):
        works(tmp_path).complete(Settings())


def test_links_in_a_circle_block(tmp_path: Path) -> None:
    """A model directory that leads nowhere is a missing model, not the end of the process."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    blocked = works(tmp_path)
    with pytest.raises(Blocked, match="model"):
        blocked.complete(Settings(model_directory="a"))
    blocked.close()


def test_what_is_put_away_is_never_inspected_again(tmp_path: Path) -> None:
    """An archive that lies in the image directory, if only by a link, blocks."""
    images, archive = tmp_path / "images", tmp_path / "archive"
    (images / "old").mkdir(parents=True)
    archive.symlink_to(images / "old")
    with pytest.raises(Blocked, match=r"archive lies in it; choose another"):
        _keep_apart(images, [archive])
    _keep_apart(images, [tmp_path / "elsewhere"])


def test_a_full_disk_is_made_room_on_while_the_ledger_is_closed(tmp_path: Path) -> None:
    """A ledger that cannot be opened for want of room is opened once the archive has given way; results are told."""
    settings = Settings(model_directory="nowhere", disk_low_megabytes=3, disk_full_megabytes=0)
    with small_disk(tmp_path / "disk", megabytes=10) as disk:
        archive = disk.path / "archive"
        archive.mkdir()
        for number in range(4):
            (archive / f"{number:012d}-a.jpg").write_bytes(b"x" * 1_000_000)
        component = Component(disk.path, "line-3")
        blocked = component._works
        with pytest.raises(Blocked, match="model package"):
            blocked.complete(settings)
        disk.fill()
        component._block(LedgerBlocked("ledger", "database or disk is full", "make room"))
        assert blocked.office is None
        while blocked.keep_house():
            pass
        assert len(list(archive.iterdir())) == 1
        assert str(blocked.alarms()["disk_low"]).endswith("3 MB wanted")
        with pytest.raises(Blocked, match="model package"):
            blocked.complete(settings)
        assert blocked.office
        blocked.close()


def test_a_ledger_that_was_set_aside_is_an_alarm_until_it_is_moved_away(tmp_path: Path) -> None:
    """That a ledger was lost is said until somebody has taken care of it."""
    blocked, settings = works(tmp_path), Settings(model_directory="nowhere")
    assert set(blocked.alarms().values()) == {None}
    (tmp_path / "ledger.sqlite").write_bytes(b"no ledger " * 1_000)
    with pytest.raises(Blocked, match="model package"):
        blocked.complete(settings)
    assert blocked.alarms()["ledger_replaced"] == f"a damaged one lies in {tmp_path}"
    for path in tmp_path.glob("*.damaged-*"):
        path.unlink()
    assert blocked.alarms()["ledger_replaced"] is None
    blocked.close()
