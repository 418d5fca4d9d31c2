"""What is trimmed and what is never, what is remembered of it, and that the file gives back its room."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.shell import outbox, schema, trimming
from inspector.shell.ledger import SqliteLedger
from inspector_fakes import decision, inspection_id, rows

pytestmark = pytest.mark.usefixtures("nothing_is_recent")

EVER = 1e12
NO_LIMIT = 10**12
BOTH = ("topic", "iot_core")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(path)
    yield ledger
    ledger.close()


def finish(ledger: SqliteLedger, *numbers: int, decided_at: float = 1_000.0, size_bytes: int = 10) -> None:
    """Decide, publish and settle: nothing is left to be done."""
    decisions = [decision(each, targets=BOTH, compose=lambda seq: b"x" * size_bytes) for each in numbers]
    entries = ledger.decide(decisions, decided_at)
    for entry in entries:
        ledger.mark_settled(entry, remains=True)
    for target in BOTH:
        ledger.mark_published([entry.seq for entry in entries], target)


def seqs(path: Path) -> list[int]:
    return [int(seq) for (seq,) in rows(path, "SELECT seq FROM inspections ORDER BY seq")]  # type: ignore[call-overload]


def fill(path: Path, count: int) -> None:
    """A great many finished inspections with messages of an ordinary size."""
    ledger = SqliteLedger(path)
    for first in range(0, count, 1_000):
        numbers = range(first, min(first + 1_000, count))
        ledger.decide(
            [decision(each, targets=BOTH, compose=lambda _: b"m" * 900) for each in numbers], 1_000.0
        )
    with ledger._db.change() as db:
        db.execute("UPDATE inspections SET settled = 1")
        db.execute("UPDATE outbox SET state = 'published', changed_at = 1.0")
    ledger.close()


def test_by_age(ledger: SqliteLedger, path: Path) -> None:
    """What was decided before a time goes, with its outbox; what was decided later stays."""
    finish(ledger, 1, 2, decided_at=100.0)
    finish(ledger, 3, decided_at=200.0)
    assert ledger.trim(200.0, NO_LIMIT) == 2
    assert seqs(path) == [3]
    assert rows(path, "SELECT DISTINCT seq FROM outbox") == [(3,)]
    assert ledger.trim(200.0, NO_LIMIT) == 0


@pytest.mark.parametrize("max_bytes", [0, NO_LIMIT])
def test_never(ledger: SqliteLedger, path: Path, max_bytes: int) -> None:
    """Whatever the limits: not what waits or is parked for any target, not what is unsettled or still to be kept."""
    finish(ledger, 1, 2, 3, 4, 5, 6, 7)
    ledger.resend(1, 1, "topic")
    ledger.resend(2, 2, "iot_core")
    ledger.park(3, "topic", "refused")
    with ledger._db.change() as db:
        db.execute("UPDATE inspections SET settled = 0 WHERE seq = 4")
        db.execute("UPDATE inspections SET image = 'due' WHERE seq = 5")
        db.execute("UPDATE inspections SET image = 'stored' WHERE seq = 6")
    assert ledger.trim(EVER, max_bytes) == 2
    assert ledger.trim(EVER, max_bytes) == 0
    assert seqs(path) == [1, 2, 3, 4, 5]
    assert rows(path, "SELECT count(*) FROM outbox") == [(10,)]


def test_what_may_have_to_be_published_again_stays(
    ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the ledger is: the nucleus may lose what it took a moment ago."""
    monkeypatch.setattr(outbox, "RECENT_S", 60.0)
    finish(ledger, 1, 2)
    assert ledger.trim(EVER, 0) == 0
    assert ledger.republish(outbox.RECENT_S) == 4
    ledger.mark_published([1], "topic")
    ledger.mark_published([1], "iot_core")
    monkeypatch.setattr(outbox, "RECENT_S", -1.0)
    assert ledger.trim(EVER, 0) == 1
    assert seqs(path) == [2]


def test_for_no_target(ledger: SqliteLedger, path: Path) -> None:
    """What was queued for nobody goes when it is settled."""
    (entry,) = ledger.decide([decision(1, targets=())], 0.0)
    assert ledger.trim(EVER, NO_LIMIT) == 0
    ledger.mark_settled(entry, remains=False)
    assert ledger.trim(EVER, NO_LIMIT) == 1
    assert seqs(path) == []


def test_what_went_is_remembered(ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges, as few as there can be, whatever the order; seq, id and counts go on as if nothing had gone."""
    monkeypatch.setattr(trimming, "STEP", 2)
    finish(ledger, *range(1, 11))
    ledger.resend(4, 4, "topic")
    ledger.resend(8, 8, "topic")
    while ledger.trim(EVER, NO_LIMIT):
        pass
    assert rows(path, "SELECT * FROM trimmed ORDER BY first") == [(1, 3), (5, 7), (9, 10)]
    ledger.mark_published([8], "topic")
    while ledger.trim(EVER, NO_LIMIT) or seqs(path) != [4]:
        pass
    assert rows(path, "SELECT * FROM trimmed ORDER BY first") == [(1, 3), (5, 10)]
    ledger.mark_published([4], "topic")
    while seqs(path):
        ledger.trim(EVER, NO_LIMIT)
    assert rows(path, "SELECT * FROM trimmed") == [(1, 10)]
    assert ledger.verdicts()["pass"] == ledger.last_seq() == 10
    finish(ledger, 11)
    assert seqs(path) == [11]


def test_everything_went_and_the_ledger_goes_on(path: Path) -> None:
    """A ledger with no row left, opened again, still knows its last seq, its counts and what was inspected."""
    first = SqliteLedger(path)
    finish(first, 1, 2, 3)
    assert first.trim(EVER, NO_LIMIT) == 3
    first.close()
    second = SqliteLedger(path)
    assert (second.last_seq(), second.verdicts()["pass"], second.id) == (3, 3, first.id)
    assert second.is_inspected("x.jpg", 3, 10)
    second.close()


def test_attempts_go_too(ledger: SqliteLedger, path: Path) -> None:
    """A run that began what was decided meanwhile leaves nothing behind once the inspection is trimmed."""
    finish(ledger, 1)
    ledger.attempt(inspection_id(1), decision(1).claimed)
    ledger.attempt(inspection_id(2), decision(2).claimed)
    ledger.trim(EVER, NO_LIMIT)
    assert rows(path, "SELECT id FROM attempts") == [(inspection_id(2),)]


def test_by_size(path: Path) -> None:
    """Above the limit the oldest go until it is met, and no more; the files on the disk are as small then."""
    fill(path, 3_000)
    ledger = SqliteLedger(path)
    limit = ledger.size_bytes() // 2
    gone = []
    while removed := ledger.trim(0.0, limit):
        gone.append(removed)
    left = seqs(path)
    assert left == list(range(3_001 - len(left), 3_001))
    assert 1_200 < len(left) < 1_800
    assert limit * 0.8 < ledger.size_bytes() <= limit
    while ledger._db.number("PRAGMA freelist_count"):
        ledger.trim(0.0, limit)
    rows(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    on_disk = sum(
        each.stat().st_size for each in path.parent.glob("ledger.sqlite*") if each.suffix != ".sqlite-shm"
    )
    assert on_disk <= limit + 65_536
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    ledger.close()


def test_age_is_passed_over_for_size(
    ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the ledger grows too large, the oldest go, also where a look for old ones had passed them."""
    monkeypatch.setattr(trimming, "LOOK", 3)
    monkeypatch.setattr(trimming, "STEP", 3)
    finish(ledger, *range(1, 11))
    assert [ledger.trim(0.0, NO_LIMIT) for _ in range(2)] == [0, 0]
    assert ledger.trim(0.0, 0) == 3
    assert seqs(path) == list(range(4, 11))


def test_those_in_front_are_passed_over(
    ledger: SqliteLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More unpublished rows than a step looks at do not keep those behind them from going."""
    monkeypatch.setattr(trimming, "LOOK", 3)
    finish(ledger, *range(1, 13))
    ledger.resend(1, 8, "topic")
    for _ in range(5):
        ledger.trim(EVER, NO_LIMIT)
    assert seqs(path) == list(range(1, 9))
    ledger.mark_published(range(1, 9), "topic")
    for _ in range(5):
        ledger.trim(EVER, NO_LIMIT)
    assert seqs(path) == []


@pytest.mark.parametrize("waiting", [0, 40_000])
def test_a_step_is_short(path: Path, waiting: int) -> None:
    """Among 50,000 inspections a step takes the processor a moment, also where most of them cannot go."""
    fill(path, 50_000)
    ledger = SqliteLedger(path)
    with ledger._db.change() as db:
        db.execute("UPDATE outbox SET state = 'waiting' WHERE target = 'topic' AND seq <= ?", (waiting,))
    took_s, gone = [], 0
    for _ in range(50):
        began_s = time.process_time()
        gone += ledger.trim(EVER, NO_LIMIT)
        took_s.append(time.process_time() - began_s)
    assert gone >= 5_000
    assert statistics.median(took_s) < 0.1
    ledger.close()


def test_the_log_stays_small(path: Path) -> None:
    """The write-ahead log is cut to some megabytes, also after a change that was larger."""
    fill(path, 20_000)
    ledger = SqliteLedger(path)
    log = path.with_name("ledger.sqlite-wal")
    with ledger._db.change() as db:
        db.execute("UPDATE inspections SET message = zeroblob(901)")
    assert log.stat().st_size > 8_000_000
    finish(ledger, 100_001)
    finish(ledger, 100_002)
    assert log.stat().st_size < 5_000_000
    ledger.close()


def test_a_file_that_cannot_shrink_yet(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trimmed counts as gone though the file keeps its size: no more goes than must."""
    rows(path, "CREATE TABLE something (x)")
    rows(path, "DROP TABLE something")
    monkeypatch.setattr(schema, "_let_shrink", lambda *_: None)
    ledger = SqliteLedger(path)
    assert rows(path, "PRAGMA auto_vacuum") == [(0,)]
    finish(ledger, *range(500), size_bytes=2_000)
    limit = ledger.size_bytes() // 2
    while ledger.trim(0.0, limit):
        pass
    assert 100 < len(seqs(path)) < 400
    ledger.close()
