"""What lies on the disk stays within its bounds, and a full disk costs no image its verdict."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from inspector import housekeeping as module
from inspector.housekeeping import Housekeeping
from inspector.ports import Blocked, LedgerBlocked
from inspector.shell.keeper import DirectoryKeeper
from inspector_bench import Bench
from inspector_fakes import Killed, drop, eventually, picture, rows
from small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.usefixtures("nothing_is_recent")

UNCERTAIN = 0.4
MB = 1_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=40) as mounted:
        yield mounted


def work_on(disk: SmallDisk) -> Path:
    (disk.path / "work").mkdir()
    return disk.path / "work"


def large_picture(seed: int) -> bytes:
    """About a megabyte, and a little more."""
    pixels = np.random.default_rng(seed).integers(0, 256, (580, 580, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def inspect(bench: Bench, images: dict[str, bytes]) -> None:
    """Let images arrive, and have them inspected."""
    for name, data in images.items():
        drop(bench.images / name, data)
    bench.run(
        inspections=len(images) + len(bench.results() if (bench.work / "ledger.sqlite").exists() else [])
    )


def inspect_all_kinds(bench: Bench) -> None:
    """Eight images of a megabyte: three uncertain, then three confident, for audit, then two that nobody can read."""
    bench.detector.confidence = UNCERTAIN
    inspect(bench, {f"uncertain-{each}.png": large_picture(each) for each in range(3)})
    bench.detector.confidence = 0.9
    inspect(bench, {f"confident-{each}.png": large_picture(10 + each) for each in range(3)})
    inspect(bench, {f"broken-{each}.png": bytes([each]) * MB for each in range(2)})


def kept(bench: Bench) -> list[str]:
    """The kinds of the images that are kept, the least informative last; each whole, and no other there."""
    states = dict(rows(bench.work / "ledger.sqlite", "SELECT id, image FROM inspections"))
    kinds = {each["id"]: each["image"]["name"].split("-")[0] for each in bench.results()}
    names = [*bench.names("kept"), *bench.names("quarantine")]
    ids = {each for each, state in states.items() if state == "stored"}
    assert sorted(names) == sorted(f"{each}.{suffix}" for each in ids for suffix in ("json", "png"))
    return sorted((kinds[each] for each in ids), reverse=True)


def tidy(bench: Bench) -> None:
    """Turn until nothing is left to be done."""
    eventually(lambda: not bench.housekeeping.turn(), "the end of housekeeping")


def publish_all(bench: Bench) -> None:
    with closing(sqlite3.connect(bench.work / "ledger.sqlite")) as db, db:
        db.execute("UPDATE outbox SET state = 'published', changed_at = 0")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Eight images inspected; then the process has started anew, and nothing runs but housekeeping."""
    bench = Bench(tmp_path, audit_share=1.0)
    inspect_all_kinds(bench)
    yield bench
    bench.ledger.close()


def restart(bench: Bench, **settings: object) -> Housekeeping:
    for name, value in settings.items():
        bench.settings = type(bench.settings)(
            **{**{key: getattr(bench.settings, key) for key in bench.settings.__struct_fields__}, name: value}
        )
    bench.open()
    bench.watcher._inotify.close()
    return bench.housekeeping


def test_within_the_budgets(bench: Bench) -> None:
    """Above its size the archive loses the oldest, the kept images the least informative, and that is on record."""
    house = restart(bench, archive_max_megabytes=4, keep_max_megabytes=4)
    tidy(bench)
    assert [name[13:] for name in bench.archived()] == ["confident-2.png", "broken-0.png", "broken-1.png"]
    assert kept(bench) == ["uncertain"] * 3
    assert house.archive and house.archive.size_bytes <= 4 * MB
    assert house.keeper and house.keeper.size_bytes <= 4 * MB
    house.check()


def test_kept_images_that_somebody_took_away(bench: Bench) -> None:
    """They no longer count: none that came later gives way to them."""
    house = restart(bench, keep_max_megabytes=20)
    tidy(bench)
    for path in (bench.work / "kept").iterdir():
        path.unlink()
    bench.settings = replace(bench.settings, keep_max_megabytes=3)
    house._settings = bench.settings
    tidy(bench)
    assert house.keeper
    assert (house.keeper.count, len(bench.names("quarantine"))) == (2, 4)
    assert house.keeper.size_bytes == sum(
        path.stat().st_size for path in (bench.work / "quarantine").iterdir()
    )


def test_a_turn_is_short(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn removes no more than so many files, and says that there are more."""
    monkeypatch.setattr(module, "STEP", 2)
    house = restart(bench, archive_max_megabytes=3, keep_max_megabytes=3)
    counts = []
    while house.turn():
        counts.append((len(bench.archived()), len(kept(bench))))
    assert counts == [(4, 6), (2, 4), (2, 2)]


def test_order_of_shedding(disk: SmallDisk) -> None:
    """Where room is short the archive goes, then kept images, the least informative first; then it is said."""
    bench = Bench(work_on(disk), audit_share=1.0, disk_low_megabytes=15, disk_full_megabytes=8)
    inspect_all_kinds(bench)
    house = restart(bench)
    tidy(bench)
    assert house.disk_low() is None
    left = []
    for free_megabytes in (12.5, 7.5, 12.5, 12.5):
        disk.fill(int(free_megabytes * MB))
        tidy(bench)
        left.append((len(bench.archived()), len(kept(bench))))
        assert disk.free_bytes >= 15 * MB or left[-1] == (0, 0)
        house.check()
        assert "MB free, 15 MB wanted" in (house.disk_low() or "")
    assert left == [(5, 8), (0, 5), (0, 2), (0, 0)]
    disk.fill(int(7.5 * MB))
    tidy(bench)
    with pytest.raises(Blocked, match=r"disk of .*/work: full, [78] MB free, 8 MB wanted; make room there"):
        house.check()
    bench.ledger.close()


def test_the_most_informative_stay(disk: SmallDisk) -> None:
    """Of the kept images the uncertain ones are the last to go."""
    bench = Bench(work_on(disk), audit_share=1.0, disk_low_megabytes=15, after_inspection="delete")
    inspect_all_kinds(bench)
    restart(bench)
    found = []
    for _ in range(3):
        disk.fill(int(12.5 * MB))
        tidy(bench)
        found.append(kept(bench))
    assert found == [["uncertain"] * 3 + ["confident"] * 2, ["uncertain"] * 2, []]
    bench.ledger.close()


def test_full_and_free_again(disk: SmallDisk) -> None:
    """At the hard watermark work stops, with the figures, and goes on by itself; around it nothing flaps."""
    bench = Bench(work_on(disk), disk_low_megabytes=15, disk_full_megabytes=10)
    house = restart(bench)
    house.check()
    reasons = []
    for free_megabytes in (9.5, 5):
        disk.fill(int(free_megabytes * MB))
        house.turn()
        with pytest.raises(Blocked) as reason:
            house.check()
        reasons.append(str(reason.value))
    assert reasons[0] == reasons[1]  # else each second would be news
    disk.clear()
    disk.fill(int(10.5 * MB))
    house.turn()
    with pytest.raises(Blocked):
        house.check()
    disk.clear()
    disk.fill(int(11.5 * MB))
    house.turn()
    house.check()
    assert house.disk_low()
    disk.clear()
    house.turn()
    assert house.disk_low() is None
    bench.ledger.close()


def test_an_archive_on_another_disk(tmp_path: Path, disk: SmallDisk) -> None:
    """Each disk has its own watermarks: where the archive's is short, kept images stay."""
    work = tmp_path / "work"
    work.mkdir()
    archive = disk.path / "archive"
    bench = Bench(
        work, audit_share=1.0, archive_directory=str(archive), disk_low_megabytes=15, disk_full_megabytes=8
    )
    inspect_all_kinds(bench)
    house = restart(bench)
    disk.fill(7 * MB)
    tidy(bench)
    assert (list(archive.iterdir()), len(kept(bench))) == ([], 8)
    disk.fill(7 * MB)
    house.turn()
    with pytest.raises(Blocked, match=f"disk of {archive}: full"):
        house.check()
    disk.clear()
    house.turn()
    house.check()
    bench.ledger.close()


def test_an_archive_elsewhere_does_not_save_kept_images(tmp_path: Path, disk: SmallDisk) -> None:
    """Where the disk of the work directory is short, an archive on another one would make no room there: it stays."""
    work, archive = work_on(disk), tmp_path / "archive"
    bench = Bench(work, audit_share=1.0, archive_directory=str(archive), disk_low_megabytes=15)
    inspect_all_kinds(bench)
    restart(bench)
    disk.fill(int(12.5 * MB))
    tidy(bench)
    assert (len(list(archive.iterdir())), len(kept(bench))) == (8, 5)
    bench.ledger.close()


def cut_before_anything_is_removed(patch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise Killed

    patch.setattr(DirectoryKeeper, "remove", die)


def cut_after_the_first_file(patch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def unlink_and_die(self: Path, **options: bool) -> None:
        unlink(self, **options)
        raise Killed

    patch.setattr(Path, "unlink", unlink_and_die)


@pytest.mark.parametrize("cut", [cut_before_anything_is_removed, cut_after_the_first_file])
def test_evictions_cut_short(bench: Bench, monkeypatch: pytest.MonkeyPatch, cut) -> None:
    """What went on record as evicted before the process died is removed by the next, and nothing else."""
    house = restart(bench, keep_max_megabytes=4)
    with monkeypatch.context() as patch:
        cut(patch)
        with pytest.raises(Killed):
            house.turn()
    bench.ledger.close()
    restart(bench, keep_max_megabytes=1_000)
    assert len([*bench.names("kept"), *bench.names("quarantine")]) > 6
    tidy(bench)
    assert kept(bench) == ["uncertain"] * 3


def test_what_nobody_knows_stays(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Without a ledger that knows them images stay, and count; half of a pair stays too, and one line says so."""
    sidecar = next((bench.work / "kept").glob("*.json"))
    sidecar.unlink()
    (bench.work / "ledger.sqlite").rename(bench.work / "ledger.set-aside")
    house = restart(bench)
    tidy(bench)
    assert len(bench.names("kept")) == 11
    assert house.keeper and house.keeper.count == 7
    (record,) = [each for each in caplog.records if "sidecar" in each.getMessage()]
    assert (record.images, record.first) == (1, sidecar.stem)  # type: ignore[attr-defined]


def test_due_is_not_loose(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """An image whose keeping was cut short is left to the line, which keeps it again."""
    next((bench.work / "kept").glob("*.json")).unlink()
    with closing(sqlite3.connect(bench.work / "ledger.sqlite")) as db, db:
        db.execute("UPDATE inspections SET image = 'due'")
    restart(bench)
    tidy(bench)
    assert len(bench.names("kept")) == 11
    assert [each for each in caplog.records if "sidecar" in each.getMessage()] == []


def test_ledger(tmp_path: Path) -> None:
    """Published results go when their time is over; those that wait stay, and that they are too many is told."""
    bench = Bench(tmp_path, retention_days=1e-9)
    inspect(bench, {f"{each}.jpg": picture(each) for each in range(60)})
    house = restart(bench, ledger_max_megabytes=0.05)
    tidy(bench)
    assert len(bench.results()) == 60
    assert house.ledger_excess_bytes > 0
    publish_all(bench)
    house._settings = type(house._settings)(retention_days=1e-9)
    tidy(bench)
    assert bench.results() == []
    assert house.ledger_excess_bytes == 0
    bench.ledger.close()


def test_trouble_with_one_is_no_trouble_for_the_others(bench: Bench) -> None:
    """An archive that cannot be used blocks with its reason; meanwhile the rest is kept in order."""
    (bench.work / "file").write_bytes(b"where a directory should be")
    house = restart(bench, archive_directory="file", keep_max_megabytes=4)
    tidy(bench)
    assert kept(bench) == ["uncertain"] * 3
    with pytest.raises(Blocked, match=r"archive directory .*mend ArchiveDirectory"):
        house.check()
    (bench.work / "file").unlink()
    house.turn()
    house.check()


def test_without_a_ledger(bench: Bench) -> None:
    """While the ledger cannot be opened the archive makes room; kept images stay until it can be told."""
    house = restart(bench, archive_max_megabytes=1, keep_max_megabytes=1)
    house.ledger = None
    tidy(bench)
    assert (len(bench.archived()), len(kept(bench))) == (1, 8)


def test_a_ledger_that_fails_does_not_keep_the_archive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ledger fails the turn says so at its end, with the archive shed: that may make room for it."""
    house = restart(bench, archive_max_megabytes=1, keep_max_megabytes=1)

    def full(*_: object) -> None:
        raise LedgerBlocked("ledger", OSError(errno.ENOSPC, "database or disk is full"), "make room")

    monkeypatch.setattr(house.ledger, "mark_evicted", full)
    with pytest.raises(LedgerBlocked, match="disk is full"):
        house.turn()
    assert (len(bench.archived()), len(kept(bench))) == (1, 8)


def try_to_work(bench: Bench, inspections: int) -> list[Exception]:
    """As the component does after a fault: put the line together again, work until all is done or it fails."""
    bench.failures.clear()
    try:
        line = bench.line()
        bench.housekeeping.turn()
        bench.housekeeping.check()
    except Blocked as reason:
        return [reason]
    line.start()
    try:
        eventually(
            lambda: bench.failures or (bench.ledger.last_seq() >= inspections and bench.is_idle()), "the end"
        )
    finally:
        line.stop()
        bench.ledger.close()
        bench.watcher._inotify.close()  # a line that failed at once has not come to use it
    return list(bench.failures)


def test_a_disk_without_a_byte_left(disk: SmallDisk) -> None:
    """No space at all, told by no watermark: work stops and nothing is lost; with room again all is inspected."""
    bench = Bench(work_on(disk))
    bench.detector.confidence = UNCERTAIN
    drop(bench.images / "first.jpg", picture())
    bench.run(inspections=1)
    disk.fill(free_bytes=300_000)
    for number in range(30):
        drop(bench.images / f"{number:02}.jpg", picture(number))
    disk.fill()
    for _ in range(3):
        (failure,) = try_to_work(bench, 31)
        assert isinstance(failure, Blocked)
        assert "make room" in str(failure)
    disk.clear()
    assert try_to_work(bench, 31) == []
    results = bench.results()
    assert sorted(each["image"]["name"] for each in results) == sorted(
        ["first.jpg", *(f"{number:02}.jpg" for number in range(30))]
    )
    assert [each["seq"] for each in results] == list(range(1, 32))
    assert len(bench.names("kept")) == 62
    assert len(bench.archived()) == 31


def test_the_archive_makes_room_for_the_ledger(disk: SmallDisk) -> None:
    """Without a byte left, and an archive to give up, work goes on without anybody's help."""
    bench = Bench(work_on(disk), disk_low_megabytes=3)
    inspect(bench, {f"{each}.png": large_picture(each) for each in range(5)})
    for number in range(30):
        drop(bench.images / f"{number:02}.jpg", picture(number))
    disk.fill()
    eventually(lambda: try_to_work(bench, 35) == [], "all inspected")
    assert len(bench.results()) == 35
    assert len(bench.archived()) < 35


def test_what_is_known_of_files_that_are_gone(tmp_path: Path) -> None:
    """The ledger knows which files that were left in place were inspected, as long as they are there."""
    bench = Bench(tmp_path, after_inspection="leave")
    inspect(bench, {"gone.jpg": picture(1), "there.jpg": picture(2)})
    (bench.images / "gone.jpg").unlink()
    bench.open()
    tidy(bench)
    bench.ledger.close()
    bench.kill()
    known = rows(bench.work / "ledger.sqlite", "SELECT path FROM fingerprints")
    assert known == [(b"there.jpg",)]
