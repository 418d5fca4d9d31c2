"""What the ledger promises: nothing twice, nothing missing, nothing half, across runs and threads."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.ports import Attempt, Blocked, Entry
from inspector.shell import outbox
from inspector.shell.ledger import SqliteLedger
from inspector_fakes import decision, inspection_id, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


class Clock:
    """The time of day, and the time since the machine was started."""

    wall_s = 1_795_000_000.0
    monotonic_s = 1_000.0

    def time(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.monotonic_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clocks as the ledger sees them."""
    clock = Clock()
    monkeypatch.setattr(outbox, "time", clock)
    return clock


def kill(ledger: SqliteLedger) -> None:
    """End as a killed process does: nothing is said, what is open is rolled back."""
    ledger._db.close()


def decide(ledger: SqliteLedger, *numbers: int, **fields: Any) -> Entry:
    """Decide made-up files one by one; return the entry of the last."""
    for number in numbers:
        (entry,) = ledger.decide([decision(number, **fields)], 1_000.0 + number)
    return entry


def attempt(ledger: SqliteLedger, number: int) -> int:
    """Begin a made-up inspection; return how many runs have."""
    return ledger.attempt(inspection_id(number), decision(number).claimed).runs


def test_sequence(path: Path) -> None:
    """Sequence numbers rise by one from 1, across restarts and kills; the ledger's id stays."""
    ledger = SqliteLedger(path)
    assert ledger.last_seq() == 0
    decide(ledger, 10, 11)
    kill(ledger)
    again = SqliteLedger(path)
    decide(again, 12)
    again.close()
    last = SqliteLedger(path)
    assert last.id == again.id == ledger.id
    assert last.last_seq() == 3
    assert rows(path, "SELECT seq, id FROM inspections ORDER BY seq") == [
        (seq, inspection_id(9 + seq)) for seq in (1, 2, 3)
    ]
    last.close()


def test_ids_differ(tmp_path: Path) -> None:
    """Each new ledger has an id of its own."""
    ledgers = [SqliteLedger(tmp_path / f"{number}.sqlite") for number in range(3)]
    assert len({ledger.id for ledger in ledgers}) == 3
    for ledger in ledgers:
        ledger.close()


def test_no_gap_after_a_failure(path: Path) -> None:
    """A message that cannot be composed leaves nothing behind: no row, no publish, no gap in seq."""

    def fail(seq: int) -> bytes:
        raise ValueError("it does not fit")

    ledger = SqliteLedger(path)
    attempt(ledger, 2)
    decide(ledger, 1)
    with pytest.raises(ValueError, match="it does not fit"):
        decide(ledger, 2, compose=fail)
    assert ledger.find(inspection_id(2)) is None
    assert ledger.count("waiting") == 1
    assert attempt(ledger, 2) == 1
    decide(ledger, 3)
    assert ledger.last_seq() == 2
    ledger.close()


def test_killed_while_deciding(path: Path) -> None:
    """A run that is killed within the transaction has decided nothing."""

    class Killed(BaseException):
        pass

    ledger = SqliteLedger(path)

    def die(seq: int) -> bytes:
        kill(ledger)
        raise Killed

    with pytest.raises((Killed, Blocked)):
        decide(ledger, 1, compose=die)
    again = SqliteLedger(path)
    assert again.last_seq() == 0
    decide(again, 2)
    assert again.last_seq() == 1
    again.close()


def test_message_carries_its_seq(path: Path) -> None:
    """The message is composed with the sequence number that its row has."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, 2)
    entry = ledger.find(inspection_id(2))
    assert entry
    assert (entry.seq, entry.message) == (2, b'{"seq":2}')
    ledger.close()


def test_decided_once(path: Path) -> None:
    """What was decided stays as it is when it is decided again."""
    ledger = SqliteLedger(path)
    first = decide(ledger, 1)
    second = decide(ledger, 1, compose=lambda seq: b"another")
    assert second == first
    assert (ledger.last_seq(), ledger.count("waiting")) == (1, 1)
    ledger.close()


def test_a_group(path: Path) -> None:
    """Verdicts that are decided together get their numbers in order; what was decided before, or twice, gets one."""
    ledger = SqliteLedger(path)
    before = decide(ledger, 1)
    attempt(ledger, 1)
    entries = ledger.decide([decision(number) for number in (2, 1, 3, 2)], 0.0)
    assert [entry.seq for entry in entries] == [2, 1, 3, 2]
    assert entries[1] == before
    assert [entry.message for entry in entries] == [b'{"seq":%d}' % entry.seq for entry in entries]
    assert (ledger.last_seq(), ledger.count("waiting"), ledger.verdicts()["pass"]) == (3, 3, 3)
    assert rows(path, "SELECT count(*) FROM attempts") == [(0,)]
    assert ledger.decide([], 0.0) == []
    ledger.close()


def test_a_group_with_a_failure(path: Path) -> None:
    """If one message cannot be composed, nothing of its group is on record."""

    def fail(seq: int) -> bytes:
        raise ValueError("it does not fit")

    ledger = SqliteLedger(path)
    attempt(ledger, 1)
    with pytest.raises(ValueError, match="it does not fit"):
        ledger.decide([decision(1), decision(2, compose=fail), decision(3)], 0.0)
    assert (ledger.last_seq(), ledger.count("waiting"), ledger.verdicts()["pass"]) == (0, 0, 0)
    assert rows(path, "SELECT count(*) FROM attempts") == [(1,)]
    assert [entry.seq for entry in ledger.decide([decision(3), decision(1)], 0.0)] == [1, 2]
    ledger.close()


def test_for_whom(path: Path) -> None:
    """An inspection says for which targets it was queued."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, targets=("topic", "iot_core"))
    decide(ledger, 2, targets=())
    assert rows(path, "SELECT targets FROM inspections ORDER BY seq") == [("topic,iot_core",), ("",)]
    ledger.close()


def test_an_entry_comes_back_whole(path: Path) -> None:
    """What a decision says is what the entry says, also of names that are not UTF-8."""
    ledger = SqliteLedger(path)
    source = Path("/images/.claimed/\udcff/a\nb.jpg")
    entry = decide(ledger, 7, path="\udcff/a\nb.jpg", source=source, keep=("uncertain", "audit"))
    assert entry == ledger.find(inspection_id(7)) == ledger.unsettled()[0]
    assert (entry.path, entry.source, entry.keep) == ("\udcff/a\nb.jpg", source, ("uncertain", "audit"))
    assert (entry.mtime_ns, entry.size_bytes, entry.is_stored, entry.is_settled) == (7, 10, False, False)
    assert ledger.raw(entry.seq) == b"[]"
    ledger.close()


def test_attempts_count_runs(path: Path) -> None:
    """An attempt counts once in a run however often it is recorded, and again in the next run."""
    for runs in (1, 2, 3):
        ledger = SqliteLedger(path)
        assert attempt(ledger, 1) == runs
        assert attempt(ledger, 1) == runs
        kill(ledger)


def test_attempts_name_their_file(path: Path) -> None:
    """Of an inspection that began and was not decided it is on record which file it was of."""
    ledger = SqliteLedger(path)
    claimed = decision(1, path="\udcff.jpg", source=Path("/images/.claimed/\udcff.jpg")).claimed
    assert ledger.attempt(inspection_id(1), claimed) == Attempt(runs=1, has_timed_out=False)
    assert rows(path, "SELECT path, source FROM attempts") == [(b"\xff.jpg", b"/images/.claimed/\xff.jpg")]
    ledger.close()


def test_time_out(path: Path) -> None:
    """A run that ends because it hangs blames that inspection, and none of the others that it had begun."""
    earlier = SqliteLedger(path)
    attempt(earlier, 2)
    kill(earlier)
    hung = SqliteLedger(path)
    for number in (1, 2, 3):
        attempt(hung, number)
    hung.time_out(inspection_id(1))
    kill(hung)
    again = SqliteLedger(path)
    found = [again.attempt(inspection_id(number), decision(number).claimed) for number in (1, 2, 3)]
    assert found == [Attempt(2, True), Attempt(2, False), Attempt(1, False)]
    decide(again, 1)
    assert again.attempt(inspection_id(1), decision(1).claimed) == Attempt(1, False)
    again.close()


def test_orderly_close_withdraws_attempts(path: Path) -> None:
    """A run that ends in order leaves no attempt of its own; those of runs that were killed stay."""
    killed = SqliteLedger(path)
    attempt(killed, 1)
    kill(killed)
    orderly = SqliteLedger(path)
    assert attempt(orderly, 1) == 2
    orderly.close()
    last = SqliteLedger(path)
    assert attempt(last, 1) == 2
    last.close()


def test_deciding_ends_the_attempts(path: Path) -> None:
    """What is decided has no attempts any more; others keep theirs."""
    ledger = SqliteLedger(path)
    attempt(ledger, 1)
    attempt(ledger, 2)
    decide(ledger, 1)
    assert rows(path, "SELECT id FROM attempts") == [(inspection_id(2),)]
    ledger.close()


def test_close_of_a_ledger_that_fails(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A ledger that cannot be written any more closes all the same, with a log line."""
    ledger = SqliteLedger(path)
    ledger._db._connection.execute("PRAGMA query_only = 1")
    ledger.close()
    assert [record.getMessage() for record in caplog.records] == ["attempts not withdrawn"]
    with pytest.raises(sqlite3.ProgrammingError):
        ledger._db._connection.execute("SELECT 1")


def test_fingerprints(path: Path) -> None:
    """A version that remains in place is known as inspected, across restarts; another version is not."""
    ledger = SqliteLedger(path)
    entry = decide(ledger, 5, path="\udcff.jpg")
    assert not ledger.is_inspected("\udcff.jpg", 5, 10)
    ledger.mark_settled(entry, remains=True)
    ledger.close()
    again = SqliteLedger(path)
    assert again.is_inspected("\udcff.jpg", 5, 10)
    assert not again.is_inspected("\udcff.jpg", 6, 10)
    assert not again.is_inspected("\udcff.jpg", 5, 11)
    assert not again.is_inspected("x.jpg", 5, 10)
    again.mark_settled(decide(again, 6, path="\udcff.jpg"), remains=True)
    assert rows(path, "SELECT mtime_ns FROM fingerprints") == [(6,)]
    again.close()


def test_no_fingerprint_of_what_is_gone(path: Path) -> None:
    """A version that does not remain in place is inspected again should it come again."""
    ledger = SqliteLedger(path)
    ledger.mark_settled(decide(ledger, 5), remains=False)
    assert not ledger.is_inspected("x.jpg", 5, 10)
    assert ledger.unsettled() == []
    ledger.close()


def test_unsettled(path: Path) -> None:
    """What a killed run had decided and not settled comes back in order, with what is still to be kept."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, 2, 3, keep=("uncertain",))
    first, second, _ = ledger.unsettled()
    ledger.mark_stored(first)
    ledger.mark_settled(first, remains=False)
    ledger.mark_stored(second)
    kill(ledger)
    again = SqliteLedger(path)
    assert [(entry.seq, entry.is_stored) for entry in again.unsettled()] == [(2, True), (3, False)]
    again.close()


def test_stored_and_evicted(path: Path) -> None:
    """An image is due, then stored, then evicted when the keeper says so, at once too."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, 2, keep=("uncertain",))
    decide(ledger, 3)
    first, second, _ = ledger.unsettled()
    ledger.mark_stored(first)
    ledger.mark_evicted([first.id, second.id])
    ledger.mark_stored(second)
    assert rows(path, "SELECT image FROM inspections ORDER BY seq") == [("evicted",), ("evicted",), ("none",)]
    ledger.close()


def test_an_eviction_is_not_taken_back(path: Path) -> None:
    """An image that the keeper gave up before it could say that it had it stays given up."""
    ledger = SqliteLedger(path)
    entry = decide(ledger, 1, keep=("audit",))
    ledger.mark_evicted([entry.id])
    ledger.mark_stored(entry)
    assert ledger.image_states([entry.id]) == {entry.id: "evicted"}
    ledger.close()


def test_image_states(path: Path) -> None:
    """Of each inspection what has become of its image; of others nothing."""
    ledger = SqliteLedger(path)
    decide(ledger, 1)
    decide(ledger, 2, 3, 4, keep=("audit",))
    ledger.mark_stored(ledger.unsettled()[2])
    ledger.mark_evicted([inspection_id(4), inspection_id(99)])
    ids = [inspection_id(number) for number in (1, 2, 3, 4, 99)]
    assert ledger.image_states(ids) == dict(zip(ids, ("none", "due", "stored", "evicted"), strict=False))
    ledger.close()


def test_forget(path: Path) -> None:
    """A file that has left is inspected again when it comes again; the others are not."""
    ledger = SqliteLedger(path)
    for number, name in enumerate(("a.jpg", "b/c.jpg", "\udcff.jpg")):
        ledger.mark_settled(decide(ledger, number, path=name), remains=True)
    assert ledger.fingerprinted("", 2) == ["a.jpg", "b/c.jpg"]
    assert ledger.fingerprinted("b/c.jpg", 2) == ["\udcff.jpg"]
    ledger.forget(["\udcff.jpg", "a.jpg", "unknown.jpg"])
    assert ledger.fingerprinted("", 10) == ["b/c.jpg"]
    assert not ledger.is_inspected("a.jpg", 0, 10)
    assert ledger.is_inspected("b/c.jpg", 1, 10)
    ledger.close()


def test_outbox(path: Path) -> None:
    """Each target has its own outbox, oldest first, and within a range; published is no longer waiting."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, 2, 3, targets=("topic", "iot_core"))
    assert ledger.waiting("topic", after=0) == [(1, b'{"seq":1}')]
    ledger.mark_published([1], "topic")
    assert ledger.waiting("topic", after=0) == [(2, b'{"seq":2}')]
    assert ledger.waiting("iot_core", after=0) == [(1, b'{"seq":1}')]
    assert ledger.waiting("iot_core", after=1, upto=2) == [(2, b'{"seq":2}')]
    assert ledger.waiting("iot_core", after=2, upto=2) == []
    assert [seq for seq, _ in ledger.waiting("iot_core", after=1, limit=9)] == [2, 3]
    assert [seq for seq, _ in ledger.waiting("iot_core", after=0, limit=2)] == [1, 2]
    ledger.mark_published([2, 3], "topic")
    assert ledger.waiting("topic", after=0) == []
    assert (ledger.count("waiting"), ledger.count("published"), ledger.count("parked")) == (3, 3, 0)
    ledger.close()


def test_no_target(path: Path) -> None:
    """Without a target nothing waits."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, targets=())
    assert ledger.count("waiting") == 0
    ledger.close()


def test_parked(path: Path) -> None:
    """What is parked does not wait, says why, and waits again when it is unparked."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, 2)
    ledger.park(1, "iot_core", "no policy")
    assert ledger.waiting("iot_core", after=0) == [(2, b'{"seq":2}')]
    assert rows(path, "SELECT error FROM outbox WHERE state = 'parked'") == [("no policy",)]
    assert ledger.unpark() == 1
    assert ledger.waiting("iot_core", after=0) == [(1, b'{"seq":1}')]
    assert ledger.unpark() == 0
    ledger.close()


def test_republish(path: Path, clock: Clock) -> None:
    """What was published in the last so many seconds waits again, at every target."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, 2, 3, targets=("topic", "iot_core"))
    for seq in (1, 2, 3):
        ledger.mark_published([seq], "topic")
        ledger.mark_published([seq], "iot_core")
        clock.monotonic_s += 30
    assert ledger.republish(60.0) == 4
    assert ledger.waiting("topic", after=0) == []
    assert ledger.waiting("topic", after=0, was_published=True) == [(2, b'{"seq":2}')]
    assert ledger.waiting("iot_core", after=2, was_published=True) == [(3, b'{"seq":3}')]
    ledger.close()


@pytest.mark.parametrize("jump_s", [-3_600, 3_600, -1e9, 1e9])
def test_republish_after_the_clock_jumped(path: Path, clock: Clock, jump_s: float) -> None:
    """A wall clock that jumps, in a run or between two, and a boot change nothing of what the last minute is."""
    first = SqliteLedger(path)
    decide(first, 1, 2, 3, 4)
    first.mark_published([1], "iot_core")
    clock.wall_s += jump_s
    clock.monotonic_s += 100
    first.mark_published([2], "iot_core")
    kill(first)
    clock.wall_s += jump_s
    clock.monotonic_s = 5.0
    second = SqliteLedger(path)
    clock.monotonic_s += 50
    second.mark_published([3], "iot_core")
    assert second.republish(60.0) == 2
    again = second.waiting("iot_core", after=0, limit=10, was_published=True)
    assert [seq for seq, _ in again] == [2, 3]
    second.close()


def test_resend(path: Path) -> None:
    """A range waits again at the target that asked, whatever its state; the answer is how many there are."""
    ledger = SqliteLedger(path)
    decide(ledger, 1, 2, 3, 4, targets=("topic", "iot_core"))
    for seq in (1, 2, 3, 4):
        ledger.mark_published([seq], "topic")
        ledger.mark_published([seq], "iot_core")
    ledger.park(3, "iot_core", "refused")
    assert ledger.resend(2, 3, "iot_core") == 2
    assert ledger.resend(4, 1_000, "iot_core") == 1
    assert ledger.resend(5, 6, "iot_core") == 0
    assert ledger.waiting("iot_core", after=0, was_published=True) == [(2, b'{"seq":2}')]
    assert (ledger.waiting("topic", after=0), ledger.count("waiting")) == ([], 3)
    ledger.close()


def test_verdicts(path: Path) -> None:
    """The counts by verdict name every verdict."""
    ledger = SqliteLedger(path)
    assert ledger.verdicts() == {"pass": 0, "fail": 0, "review": 0}
    decide(ledger, 1, 2)
    assert ledger.verdicts() == {"pass": 2, "fail": 0, "review": 0}
    ledger.close()


def corrupt(path: Path) -> None:
    path.write_bytes(b"this is no database, and long enough to be taken for one" * 100)


def later(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (corrupt, "file is not a database; none needed"),
        (later, r"written by a later version \(schema 99\); deploy that version again"),
        (Path.mkdir, "unable to open database file; make room on the disk and see that the work directory"),
    ],
)
def test_cannot_be_opened(path: Path, spoil: Callable[[Path], None], message: str) -> None:
    """A ledger that cannot be used blocks work, naming the file, the cause and the fix, and is not changed."""
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(Blocked, match=message) as blocked:
        SqliteLedger(path)
    assert str(path) in str(blocked.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_no_directory(tmp_path: Path) -> None:
    """A work directory that is missing blocks work."""
    with pytest.raises(Blocked, match=r"missing/ledger\.sqlite: unable to open database file"):
        SqliteLedger(tmp_path / "missing" / "ledger.sqlite")


def test_read_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that cannot be written blocks work."""
    ledger = SqliteLedger(path)
    decide(ledger, 1)
    ledger.close()
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda file, **options: connect(f"file:{file}?mode=ro", uri=True, **options)
    )
    read_only = SqliteLedger(path)
    with pytest.raises(Blocked, match="attempt to write a readonly database; make room"):
        decide(read_only, 2)
    read_only.close()


def test_disk_full(path: Path) -> None:
    """A disk that is full blocks work; what could not be recorded leaves no trace."""
    ledger = SqliteLedger(path)
    decide(ledger, 1)
    pages = ledger._db._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._db._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Blocked, match="database or disk is full; make room on the disk"):
        decide(ledger, 2, compose=lambda seq: b"x" * 100_000)
    assert ledger.last_seq() == 1
    ledger._db._connection.execute("PRAGMA max_page_count = 1000000")
    decide(ledger, 3)
    assert ledger.last_seq() == 2
    ledger.close()


def levels(ledger: SqliteLedger, change: Callable[[], object]) -> list[int]:
    """What ``PRAGMA synchronous`` was at each commit of a change: 2, it waits for the disk; 1, it does not."""
    found, traced = [], ledger._db._connection

    def look(statement: str) -> None:
        if statement == "COMMIT":
            traced.set_trace_callback(None)
            found.append(traced.execute("PRAGMA synchronous").fetchone()[0])
            traced.set_trace_callback(look)

    traced.set_trace_callback(look)
    change()
    traced.set_trace_callback(None)
    return found


def test_what_waits_for_the_disk(path: Path) -> None:
    """A group of verdicts waits for the disk once, and so does an eviction; nothing else does."""
    ledger = SqliteLedger(path)
    assert ledger._db.row("PRAGMA journal_mode") == ("wal",)
    decisions = [decision(number, keep=("audit",)) for number in range(10)]
    claimed = decisions[0].claimed
    assert levels(ledger, lambda: ledger.attempt(inspection_id(1), claimed)) == [1]
    assert levels(ledger, lambda: ledger.decide(decisions, 0.0)) == [2]
    entry = ledger.unsettled()[0]
    for change in (
        lambda: ledger.mark_stored(entry),
        lambda: ledger.mark_settled(entry, remains=True),
        lambda: ledger.mark_published([1, 2], "iot_core"),
        lambda: ledger.park(3, "iot_core", "refused"),
        ledger.unpark,
        lambda: ledger.republish(60.0),
        lambda: ledger.resend(1, 2, "iot_core"),
        lambda: ledger.time_out(inspection_id(1)),
        lambda: ledger.forget(["x.jpg"]),
        lambda: ledger.trim(0.0, 10**9),
    ):
        assert levels(ledger, change) == [1]
    assert levels(ledger, lambda: ledger.mark_evicted([entry.id])) == [2]
    assert levels(ledger, lambda: ledger.decide([decision(99)], 0.0)) == [2]
    ledger.close()


def test_where_to_look(path: Path) -> None:
    """What is asked often reads an index of just those rows, and nothing of what was ever published."""
    ledger = SqliteLedger(path)
    asked: list[str] = []
    ledger._db._connection.set_trace_callback(asked.append)
    ledger.waiting("iot_core", after=0)
    ledger.count("waiting")
    ledger.count("parked")
    ledger.unpark()
    ledger.republish(60.0)
    ledger.unsettled()
    ledger.verdicts()
    ledger._db._connection.set_trace_callback(None)
    queries = [each for each in asked if each.startswith(("SELECT", "UPDATE"))]
    plans = [
        " / ".join(row[3] for row in ledger._db.rows("EXPLAIN QUERY PLAN " + query)) for query in queries
    ]
    indexes = ("waiting", "waiting", "parked", "parked", "published", "unsettled", "verdicts")
    assert len(plans) == len(indexes)
    for plan, index in zip(plans, indexes, strict=True):
        assert index in plan
        assert "SCAN inspections" not in plan.replace("SCAN inspections USING INDEX unsettled", "")
    ledger.close()


def test_count_of_no_state(path: Path) -> None:
    """There are three states, and no other is asked for."""
    ledger = SqliteLedger(path)
    with pytest.raises(ValueError, match="there is no state lost"):
        ledger.count("lost")
    ledger.close()


def test_many_threads(path: Path) -> None:
    """Threads that decide, publish and ask at once get every sequence number once, and lose nothing."""
    ledger = SqliteLedger(path)
    errors: list[Exception] = []

    def work(thread: int) -> None:
        try:
            for number in range(40):
                made = thread * 1_000 + number
                attempt(ledger, made)
                entry = decide(ledger, made)
                ledger.mark_published([entry.seq], "iot_core")
                ledger.mark_settled(entry, remains=True)
                assert ledger.find(entry.id)
                assert ledger.last_seq() >= entry.seq
        except Exception as error:  # noqa: BLE001  # asserted on below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ledger.last_seq() == 160
    assert rows(path, "SELECT count(DISTINCT seq), max(seq) FROM inspections") == [(160, 160)]
    assert (ledger.count("published"), ledger.unsettled()) == (160, [])
    ledger.close()
