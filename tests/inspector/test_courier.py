"""What waits is published: live first, at a bearable rate, through every failure, and never forgotten."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector import courier as module
from inspector.courier import DENIED_PAUSE_S, DENIED_TRIES, IDLE_S, LAST_PAUSE_S, Courier
from inspector.ports import Denied, Refused, Unreachable
from inspector.shell.ledger import SqliteLedger
from inspector_fakes import DEADLINE_S, FakePublish, decision, eventually

DOWN = Unreachable("no connection")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def decide(ledger: SqliteLedger, count: int) -> None:
    first = ledger.last_seq() + 1
    for number in range(first, first + count):
        ledger.decide([decision(number)], 0.0)


def courier(ledger: SqliteLedger, publish: FakePublish, rate: float = 20.0) -> Courier:
    return Courier("iot_core", "inspect/line-3/results", publish, ledger, rate)


def work(sender: Courier, clock: Clock, seconds: float) -> None:
    """Do what ``run`` does for so long, without waiting."""
    end_s = clock.now_s + seconds
    while clock.now_s < end_s:
        clock.now_s += sender._work()


def seqs(publish: FakePublish) -> list[int]:
    return [int(payload[7:-1]) for payload in publish.published]


def test_publishes_what_was_decided(ledger: SqliteLedger, clock: Clock) -> None:
    """Each message goes out once, as it was composed, to the topic, in order; then nothing waits."""
    publish = FakePublish()
    sender = courier(ledger, publish)
    decide(ledger, 3)
    work(sender, clock, 1.0)
    assert publish.published == [b'{"seq":1}', b'{"seq":2}', b'{"seq":3}']
    assert (ledger.count("waiting"), ledger.count("published")) == (0, 3)
    assert sender._work() == IDLE_S


def test_live_results_do_not_wait(ledger: SqliteLedger, clock: Clock) -> None:
    """Live results go out as they come, without a pause between them."""
    publish = FakePublish()
    sender = courier(ledger, publish, rate=0.1)
    decide(ledger, 50)
    assert [sender._work() for _ in range(50)] == [0.0] * 50
    assert seqs(publish) == list(range(1, 51))


def test_backlog_follows_at_its_rate(ledger: SqliteLedger, clock: Clock) -> None:
    """What an earlier run left follows oldest first, at BacklogPerSecond, to the last one."""
    decide(ledger, 30)
    publish = FakePublish()
    sender = courier(ledger, publish, rate=10)
    work(sender, clock, 0.95)
    assert seqs(publish) == list(range(1, 11))
    work(sender, clock, 2.0)
    assert seqs(publish) == list(range(1, 31))


def test_live_goes_before_the_backlog(ledger: SqliteLedger, clock: Clock) -> None:
    """A live result overtakes the backlog, which goes on after it."""
    decide(ledger, 3)
    publish = FakePublish()
    sender = courier(ledger, publish)
    sender._work()
    decide(ledger, 2)
    work(sender, clock, 1.0)
    assert seqs(publish) == [1, 4, 5, 2, 3]


def test_failure_makes_a_backlog(ledger: SqliteLedger, clock: Clock) -> None:
    """What waits when a publish fails is backlog; what is decided later is live, and goes first."""
    publish = FakePublish([None, DOWN])
    sender = courier(ledger, publish, rate=1)
    decide(ledger, 4)
    assert [sender._work(), sender._work()] == [0.0, 0.0]
    decide(ledger, 2)
    work(sender, clock, 10.0)
    assert seqs(publish) == [1, 5, 6, 2, 3, 4]


def test_backs_off(ledger: SqliteLedger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure doubles the pause, up to the longest; a success resets it."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    publish = FakePublish([DOWN] * 10 + [None, DOWN, DOWN])
    sender = courier(ledger, publish)
    decide(ledger, 2)

    def pause() -> float:
        sender._work()
        pause_s = sender._work()
        clock.now_s += pause_s
        return pause_s

    assert [pause() for _ in range(10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert sender._work() == 0.0
    clock.now_s += 1
    assert [pause() for _ in range(2)] == [0.5, 1]


def test_jitter(ledger: SqliteLedger, clock: Clock) -> None:
    """No two devices keep step: pauses differ, between half and the whole of what is due."""
    publish = FakePublish([DOWN] * 200)
    sender = courier(ledger, publish)
    decide(ledger, 1)
    pauses = []
    for _ in range(200):
        sender._work()
        pauses.append(sender._work())
        clock.now_s += pauses[-1]
    assert len(set(pauses)) > 190
    assert all(LAST_PAUSE_S / 2 <= pause <= LAST_PAUSE_S for pause in pauses[10:])


def test_an_outage_of_days(ledger: SqliteLedger, clock: Clock) -> None:
    """An outage may last as long as it likes."""
    publish = FakePublish([DOWN] * 3_000)
    sender = courier(ledger, publish)
    decide(ledger, 1)
    work(sender, clock, 3_001 * LAST_PAUSE_S)
    assert seqs(publish) == [1]


def test_new_results_do_not_cut_a_pause_short(ledger: SqliteLedger, clock: Clock) -> None:
    """While publishing fails, results that come in are not each a further try."""
    publish = FakePublish([DOWN] * 100)
    sender = courier(ledger, publish)
    decide(ledger, 1)
    sender._work()
    for _ in range(20):
        decide(ledger, 1)
        sender.wake()
        assert sender._work() > 0
    assert publish.tries == 1


def test_retry_cuts_a_pause_short(ledger: SqliteLedger, clock: Clock) -> None:
    """When the connection is back the next try is made at once."""
    publish = FakePublish([DOWN])
    sender = courier(ledger, publish)
    decide(ledger, 1)
    sender._work()
    sender.retry()
    assert sender._work() == 0.0
    assert seqs(publish) == [1]


def test_denied(ledger: SqliteLedger, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A publish that is denied is tried again slowly, also while results come in; then it is parked."""
    publish = FakePublish([Denied("no policy")] * DENIED_TRIES)
    sender = courier(ledger, publish)
    decide(ledger, 1)
    for tries in range(1, DENIED_TRIES):
        assert sender._work() == 0.0
        assert publish.tries == tries
        assert sender._work() == DENIED_PAUSE_S
        clock.now_s += DENIED_PAUSE_S
    assert ledger.count("parked") == 0
    assert sender._work() == 0.0
    assert (ledger.count("parked"), publish.published) == (1, [])
    assert caplog.records[-1].getMessage() == "result parked"
    assert caplog.records[-1].cause == "no policy"  # type: ignore[attr-defined]


def test_denied_then_the_rest(ledger: SqliteLedger, clock: Clock) -> None:
    """Once one is parked the rest follow without delay; the first success makes the courier patient again."""
    publish = FakePublish([Denied("no policy")] * (DENIED_TRIES + 2) + [None, Denied("no policy")])
    sender = courier(ledger, publish)
    decide(ledger, 5)
    work(sender, clock, DENIED_PAUSE_S * (DENIED_TRIES - 1) + 1)
    assert ledger.count("parked") == 3
    assert seqs(publish) == [4]
    work(sender, clock, 1.0)
    assert (ledger.count("parked"), ledger.count("waiting")) == (3, 0)
    assert seqs(publish) == [4, 5]


def test_authorization_restarts(ledger: SqliteLedger, clock: Clock) -> None:
    """Where authorization was only being restarted nothing is parked."""
    publish = FakePublish([Denied("starting")] * (DENIED_TRIES - 1))
    sender = courier(ledger, publish)
    decide(ledger, 2)
    work(sender, clock, DENIED_PAUSE_S * DENIED_TRIES)
    assert seqs(publish) == [1, 2]
    assert ledger.count("parked") == 0


def test_refused(ledger: SqliteLedger, clock: Clock) -> None:
    """What is refused is parked at once, and the next goes out."""
    publish = FakePublish([Refused("too long")])
    sender = courier(ledger, publish)
    decide(ledger, 2)
    assert [sender._work(), sender._work()] == [0.0, 0.0]
    assert seqs(publish) == [2]
    assert (ledger.count("parked"), ledger.count("published")) == (1, 1)


def test_parked_results_wait_again(ledger: SqliteLedger, clock: Clock) -> None:
    """What was parked goes out after a restart, as backlog."""
    sender = courier(ledger, FakePublish([Refused("too long")] * 2))
    decide(ledger, 2)
    work(sender, clock, 1.0)
    ledger.unpark()
    publish = FakePublish()
    work(courier(ledger, publish), clock, 1.0)
    assert seqs(publish) == [1, 2]


def test_what_is_sent_again_is_no_live_result(ledger: SqliteLedger, clock: Clock) -> None:
    """Results that are published again after a reconnect, or resent, let live ones go first."""
    publish = FakePublish()
    sender = courier(ledger, publish, rate=10)
    decide(ledger, 4)
    work(sender, clock, 1.0)
    ledger.republish(60.0)
    decide(ledger, 2)
    work(sender, clock, 1.0)
    assert seqs(publish) == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]


def test_crash_between_publish_and_mark(
    ledger: SqliteLedger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between the publish and its mark publishes the same bytes again."""

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    publish = FakePublish()
    sender = courier(ledger, publish)
    decide(ledger, 1)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "mark_published", die)
        with pytest.raises(Killed):
            sender._work()
    work(courier(ledger, publish), clock, 1.0)
    first, second = publish.published
    assert first == second == b'{"seq":1}'
    assert ledger.count("waiting") == 0


def test_targets_do_not_wait_for_each_other(ledger: SqliteLedger, clock: Clock) -> None:
    """What one target refuses to take, the other gets."""
    publish = FakePublish()
    sender = Courier("topic", "t", publish, ledger, 20.0)
    blocked = courier(ledger, FakePublish([DOWN] * 100))
    ledger.decide([decision(1, targets=("topic", "iot_core"))], 0.0)
    work(blocked, clock, 10.0)
    work(sender, clock, 1.0)
    assert seqs(publish) == [1]
    assert ledger.waiting("iot_core", after=0) == [(1, b'{"seq":1}')]


def run(sender: Courier) -> tuple[threading.Thread, Any]:
    """The courier in its thread, and what ends it."""
    stop = threading.Event()
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()

    def end() -> None:
        stop.set()
        sender.wake()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()

    return thread, end


def test_run(ledger: SqliteLedger) -> None:
    """In its thread a courier publishes what is there and what it is woken for, until it is stopped."""
    decide(ledger, 1)
    publish = FakePublish()
    sender = courier(ledger, publish)
    _, end = run(sender)
    eventually(lambda: seqs(publish) == [1])
    for seq in range(2, 20):
        decide(ledger, 1)
        sender.wake()
        eventually(lambda: len(publish.published) == seq)  # noqa: B023  # it is called in this turn only
    end()
    assert ledger.count("waiting") == 0


def test_stop_during_a_pause(ledger: SqliteLedger) -> None:
    """A courier that pauses after failures stops at once when it is told to."""
    decide(ledger, 1)
    publish = FakePublish([DOWN] * 1_000)
    sender = courier(ledger, publish)
    sender._failures = 8
    _, end = run(sender)
    eventually(lambda: publish.tries)
    end()
    assert publish.tries == 1


def test_a_ledger_that_fails_ends_the_courier(tmp_path: Path) -> None:
    """What is no failure of a publish is not swallowed."""
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    decide(ledger, 1)
    sender = courier(ledger, FakePublish())
    ledger.close()
    with pytest.raises(Exception, match=r"ledger .*closed database"):
        sender.run(threading.Event())
