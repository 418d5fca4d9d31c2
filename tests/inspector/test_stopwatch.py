"""Which stage takes too long."""

from __future__ import annotations

import pytest

from inspector.stopwatch import Overdue, Stopwatch


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr("inspector.stopwatch.time.monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def look(clock: Clock, stopwatch: Stopwatch, seconds: int) -> list[Overdue]:
    """Look twice a second for so long; return what the last look told, with a limit of 5 s."""
    found: list[Overdue] = []
    for _ in range(2 * seconds):
        clock.now_s += 0.5
        found = stopwatch.overdue(5.0)
    return found


def test_overdue(clock: Clock) -> None:
    """A stage is overdue when it has taken longer than the limit, and no more when it has ended."""
    stopwatch = Stopwatch()
    with stopwatch.at("judge", "9f2c"):
        assert look(clock, stopwatch, 5) == []
        assert look(clock, stopwatch, 1) == [Overdue("judge", "9f2c")]
    assert look(clock, stopwatch, 1) == []


def test_each_frame_has_its_own_time(clock: Clock) -> None:
    """A busy line is not a slow one."""
    stopwatch = Stopwatch()
    for number in range(5):
        with stopwatch.at("judge", str(number)):
            assert look(clock, stopwatch, 3) == []


def test_a_halted_process_is_not_slow(clock: Clock) -> None:
    """A machine that slept, a process that was stopped: nobody looked meanwhile, and nothing worked either."""
    stopwatch = Stopwatch()
    with stopwatch.at("decode", "9f2c"):
        clock.now_s += 3_600
        assert stopwatch.overdue(5.0) == []


def test_a_stage_that_fails_is_over(clock: Clock) -> None:
    """It leaves no trace."""
    stopwatch = Stopwatch()
    with pytest.raises(ValueError, match="no"), stopwatch.at("decode", "9f2c"):
        raise ValueError("no")
    assert look(clock, stopwatch, 10) == []
