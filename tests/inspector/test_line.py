"""Three threads, a few frames apart: bounded, stoppable, and never silent when one of them fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from inspector.core.frame import Frame
from inspector.core.settings import Settings
from inspector.examiner import Judged, Taken
from inspector.line import GROUP, READ_AHEAD, Line
from inspector.pipeline import HungError
from inspector.ports import Blocked, Candidate, Claimed, Decision, Entry
from inspector.shell.claims import claimed_before
from inspector_bench import Bench
from inspector_fakes import DEADLINE_S, drop, eventually, picture, rows

IN_FLIGHT = READ_AHEAD + 2
"""One is being inferred, some wait for it, and one waits to wait."""


class Gate:
    """Holds the detector up until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(DEADLINE_S)


@pytest.fixture(autouse=True)
def stops_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a watcher may take to see that it is to stop."""
    monkeypatch.setattr("inspector.shell.watcher._WAKE_S", 0.02)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, audit_share=0)


@pytest.fixture
def gate(bench: Bench) -> Iterator[Gate]:
    gate = Gate()
    bench.detector.before = gate
    yield gate
    gate.opened.set()


def fill(bench: Bench, count: int) -> None:
    for number in range(count):
        drop(bench.images / f"{number:03}.jpg", picture(number))


def stop(line: Line) -> threading.Thread:
    """Begin to stop a line."""
    stopper = threading.Thread(target=line.stop)
    stopper.start()
    eventually(line._stop.is_set)
    return stopper


def ended(bench: Bench, stopper: threading.Thread) -> None:
    stopper.join(DEADLINE_S)
    assert not stopper.is_alive()
    bench.ledger.close()


def test_bounded_read_ahead(bench: Bench, gate: Gate) -> None:
    """What arrives faster than it is inferred or recorded stays on disk, but for a few; all are inspected."""
    most = 0

    def count() -> None:
        nonlocal most
        gate()
        most = max(most, len(bench.claimed()))

    bench.detector.before = count
    fill(bench, 90)
    line = bench.line()
    line.start()
    eventually(lambda: len(bench.claimed()) == IN_FLIGHT)
    assert len(bench.waiting()) == 90 - IN_FLIGHT
    gate.opened.set()
    eventually(bench.is_idle)
    line.stop()
    bench.ledger.close()
    assert most <= IN_FLIGHT + 2 * GROUP
    assert [result["image"]["name"] for result in bench.results()] == [f"{n:03}.jpg" for n in range(90)]


def test_stop_finishes_what_is_under_way(bench: Bench, gate: Gate) -> None:
    """To stop is to finish the one frame that is being inferred, however slow the model is; those that wait stay
    claimed, and the next start inspects them, blaming none for a crash."""
    fill(bench, 60)
    line = bench.line()
    line.start()
    eventually(lambda: len(bench.claimed()) == IN_FLIGHT)
    stopper = stop(line)
    assert stopper.is_alive()
    gate.opened.set()
    ended(bench, stopper)
    assert len(bench.results()) == 1
    assert len(bench.claimed()) == IN_FLIGHT - 1
    assert len(bench.waiting()) == 60 - IN_FLIGHT
    assert bench.failures == []


def test_second_start(bench: Bench) -> None:
    """A second start inspects what is new, and nothing again."""
    fill(bench, 5)
    bench.run(inspections=5)
    ids = [result["id"] for result in bench.results()]
    fill(bench, 1)
    bench.run(inspections=6)
    assert [result["id"] for result in bench.results()][:5] == ids


def test_stop_of_an_idle_line(bench: Bench) -> None:
    """A line that waits for files stops too, more than once if need be."""
    line = bench.line()
    line.start()
    line.stop()
    line.stop()
    bench.ledger.close()
    assert bench.failures == []


def test_report(bench: Bench) -> None:
    """Each inspection is reported once its entry is on record."""
    reported: list[tuple[str, int]] = []

    def report(judged: Judged) -> None:
        reported.append((judged.verdict.name, bench.ledger.last_seq()))

    bench.report = report
    fill(bench, 3)
    bench.run(inspections=3)
    assert [name for name, _ in reported] == ["fail"] * 3
    assert all(last_seq >= number for number, (_, last_seq) in enumerate(reported, start=1))


def test_taking_fails(bench: Bench) -> None:
    """An exception in the thread that takes reaches the component; what was taken is concluded."""
    fill(bench, 3)
    line = bench.line()
    line.start()
    eventually(lambda: bench.ledger.last_seq() == 3)
    bench.images.rename(bench.work / "elsewhere")
    eventually(lambda: bench.failures)
    line.stop()
    bench.ledger.close()
    (error,) = bench.failures
    assert isinstance(error, Blocked)
    assert str(bench.images) in str(error)


def test_recording_fails(bench: Bench) -> None:
    """An exception in the thread that records reaches the component, and the line still stops; no file is lost."""

    def fail(judged: Judged) -> None:
        raise RuntimeError("nobody expected this")

    bench.report = fail
    fill(bench, 30)
    line = bench.line()
    line.start()
    eventually(lambda: bench.failures)
    line.stop()
    bench.ledger.close()
    assert [str(error) for error in bench.failures] == ["nobody expected this"]
    bench.failures.clear()
    bench.report = lambda judged: None
    bench.run(inspections=30)
    assert len({result["id"] for result in bench.results()}) == 30


def test_unsettled_fails(bench: Bench) -> None:
    """What an earlier run left undone and cannot be done now is a failure like any other."""

    class Unlucky:
        def __iter__(self) -> Iterator[object]:
            raise Blocked("ledger", "it is gone", "look for it")

    line = bench.line()
    line._unsettled = Unlucky()  # type: ignore[assignment]
    line.start()
    eventually(lambda: bench.failures)
    line.stop()
    bench.ledger.close()
    bench.watcher._inotify.close()
    assert isinstance(bench.failures[0], Blocked)


def test_suspects_go_alone(bench: Bench, gate: Gate) -> None:
    """While a frame is inspected over which an earlier run may have died, no other is taken."""
    bench.open()
    suspects = []
    for number in range(2):
        drop(bench.images / ".claimed" / f"1-{number}" / f"{number}.jpg", picture(number))
    for found in claimed_before(bench.images, Settings()):
        taken = bench.pipeline.take(found, threading.Event())
        assert taken
        suspects.append(taken.id)
    bench.kill()
    fill(bench, 10)
    line = bench.line()
    waits, wait = threading.Event(), line._taken.wait_until_finished

    def tell_and_wait() -> None:
        waits.set()
        wait()

    line._taken.wait_until_finished = tell_and_wait  # type: ignore[method-assign]
    line.start()
    assert gate.reached.wait(DEADLINE_S)
    assert waits.wait(DEADLINE_S)
    attempts = "SELECT id, count(*) FROM attempts GROUP BY id ORDER BY count(*) DESC"
    assert rows(bench.work / "ledger.sqlite", attempts) == [(suspects[0], 2), (suspects[1], 1)]
    assert len(bench.waiting()) == 10
    gate.opened.set()
    eventually(lambda: bench.ledger.last_seq() == 12 and bench.is_idle())
    line.stop()
    bench.ledger.close()
    assert {result["verdict"] for result in bench.results()} == {"fail"}


def test_one_poison_image_spoils_no_other(tmp_path: Path) -> None:
    """Of many images one kills the process whenever it is inferred: it alone ends as crashed."""
    bench = Bench(tmp_path, audit_share=0)
    fill(bench, 8)
    runs = 1
    while not survives(bench, "003.jpg"):
        bench.failures.clear()
        runs += 1
    reasons = {result["image"]["name"]: result["reasons"] for result in bench.results()}
    assert reasons == {f"{n:03}.jpg": ["crashed"] if n == 3 else ["defect"] for n in range(8)}
    assert runs == 3


class Death(Exception):
    """Ends a line's threads; the test then sees to it that nothing more is put on record."""


def survives(bench: Bench, poison: str) -> bool:
    """Run until everything is inspected, or until the process dies over an image, its read-ahead full."""
    line = bench.line()
    judge = bench.pipeline.judge

    def judge_or_die(taken: Taken) -> Judged:
        if taken.claimed.identity.name == poison and isinstance(taken.frame, Frame):
            eventually(lambda: len(line._taken._items) == READ_AHEAD or taken.is_suspect)
            raise Death
        return judge(taken)

    bench.pipeline.judge = judge_or_die  # type: ignore[method-assign]
    line.start()
    eventually(lambda: bench.failures or (bench.ledger.last_seq() == 8 and bench.is_idle()))
    line.stop()
    if bench.failures:
        bench.kill()
        return False
    bench.ledger.close()
    return True


def test_verdicts_gather_while_one_is_flushed(bench: Bench, gate: Gate) -> None:
    """What is judged while the disk is slow is decided in one transaction, in order."""
    bench.detector.before = lambda: None
    groups: list[int] = []
    line = bench.line()
    decide = bench.ledger.decide

    def slow(decisions: Sequence[Decision], decided_at: float) -> list[Entry]:
        groups.append(len(decisions))
        if len(groups) == 1:
            gate()
        return decide(decisions, decided_at)

    bench.ledger.decide = slow  # type: ignore[method-assign]
    fill(bench, 6)
    line.start()
    assert gate.reached.wait(DEADLINE_S)
    eventually(lambda: sum(groups) + len(line._judged._items) == 6)
    gate.opened.set()
    eventually(bench.is_idle)
    line.stop()
    bench.ledger.close()
    assert sum(groups) == 6 and len(groups) <= 2
    assert [result["image"]["name"] for result in bench.results()] == [f"{n:03}.jpg" for n in range(6)]


def test_large_frames_wait_on_disk(bench: Bench, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large pictures fewer are read ahead, so that memory stays flat whatever arrives."""
    pixels_bytes = 48 * 64 * 3
    monkeypatch.setattr("inspector.line.READ_AHEAD_BYTES", 3 * pixels_bytes)
    fill(bench, 30)
    line = bench.line()
    line.start()
    in_flight = 1 + 2 + 1  # with its file, a third is above the limit
    eventually(lambda: len(bench.claimed()) == in_flight)
    stopper = stop(line)
    gate.opened.set()
    ended(bench, stopper)
    assert len(bench.waiting()) == 30 - in_flight


def test_a_hung_frame_is_told_and_put_on_record(tmp_path: Path) -> None:
    """Its id is on record before the process is replaced; the next run makes it a review, timeout, and blames none of
    those that waited behind it."""
    bench = Bench(tmp_path, audit_share=0, frame_timeout_seconds=1)
    opened = threading.Event()
    bench.detector.before = lambda: opened.wait(DEADLINE_S)
    fill(bench, 5)
    line = bench.line()
    line.start()
    eventually(lambda: len(bench.claimed()) == 5)
    with pytest.raises(HungError, match="judge takes longer than 1 s"):
        eventually(line.look)
    bench.kill()
    opened.set()
    for thread in line._threads:
        thread.join(DEADLINE_S)
    bench.failures.clear()
    bench.detector.before = lambda: None
    bench.run(inspections=5)
    reasons = [result["reasons"] for result in bench.results()]
    assert reasons == [["timeout"], *[["defect"]] * 4]


def test_a_frame_that_hangs_while_the_line_stops(tmp_path: Path) -> None:
    """Does not keep it from stopping for ever."""
    bench = Bench(tmp_path, audit_share=0, frame_timeout_seconds=1)
    bench.detector.before = gate = Gate()
    fill(bench, 1)
    line = bench.line()
    line.start()
    assert gate.reached.wait(DEADLINE_S)
    with pytest.raises(HungError):
        line.stop()
    gate.opened.set()
    line.stop()
    bench.ledger.close()


def test_a_file_system_that_hangs_is_told(tmp_path: Path) -> None:
    """A claim that takes long cannot be cut off, and another process would only hang in its turn."""
    bench = Bench(tmp_path, audit_share=0, frame_timeout_seconds=1)
    opened = threading.Event()
    line = bench.line()
    claim = bench.pipeline._claims.claim

    def hang(found: Candidate, stop: threading.Event) -> Claimed | None:
        opened.wait(DEADLINE_S)
        return claim(found, stop)

    bench.pipeline._claims.claim = hang  # type: ignore[method-assign]
    fill(bench, 1)
    line.start()
    eventually(line.look)
    opened.set()
    eventually(bench.is_idle)
    eventually(lambda: not line.look())
    line.stop()
    bench.ledger.close()
