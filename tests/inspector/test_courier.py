"""What waits is published: live first, at a bearable rate, through every failure, and never forgotten."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector import courier as module
from inspector.courier import BUSY_S, DENIED_PAUSE_S, DENIED_TRIES, IDLE_S, LAST_PAUSE_S, Courier
from inspector.ports import TIMEOUT_S, Denied, Disconnected, Refused, Unreachable
from inspector.shell.ledger import SqliteLedger
from inspector.suspects import STRIKES
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


def work_off(sender: Courier) -> float:
    """Do what is to be done now; return how long nothing is to be done then, in seconds."""
    while not (pause_s := sender._work()):
        pass
    return pause_s


def seqs(publish: FakePublish) -> list[int]:
    return list(map(seq_of, publish.published))


def seq_of(payload: bytes) -> int:
    return int(payload[7:-1])


def states(ledger: SqliteLedger) -> dict[str, int]:
    """How many results there are in each state, where there are any."""
    counts = {state: ledger.count(state) for state in ("waiting", "published", "parked")}
    return {state: count for state, count in counts.items() if count}


def test_publishes_what_was_decided(ledger: SqliteLedger, clock: Clock) -> None:
    """Each message goes out once, as it was composed, to the topic, in order; then nothing waits."""
    publish = FakePublish()
    sender = courier(ledger, publish)
    decide(ledger, 3)
    work(sender, clock, 1.0)
    assert publish.published == [b'{"seq":1}', b'{"seq":2}', b'{"seq":3}']
    assert (ledger.count("waiting"), ledger.count("published")) == (0, 3)
    assert work_off(sender) == IDLE_S


def test_live_results_do_not_wait(ledger: SqliteLedger, clock: Clock) -> None:
    """Live results go out as they come, without a pause between them."""
    publish = FakePublish()
    sender = courier(ledger, publish, rate=0.1)
    decide(ledger, 50)
    assert work_off(sender) == IDLE_S
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
    work_off(sender)
    decide(ledger, 2)
    work(sender, clock, 1.0)
    assert seqs(publish) == [1, 4, 5, 2, 3]


def test_what_was_never_published_goes_before_what_was(ledger: SqliteLedger, clock: Clock) -> None:
    """After a restart the last minute is published again, and holds nothing up that nobody has heard of."""
    decide(ledger, 6)
    ledger.mark_published([1, 2, 3, 5], "iot_core")
    assert ledger.republish(60.0) == 4
    publish = FakePublish()
    work(courier(ledger, publish), clock, 1.0)
    assert seqs(publish) == [4, 6, 1, 2, 3, 5]


def test_live_results_without_a_gap_do_not_starve_the_backlog(ledger: SqliteLedger, clock: Clock) -> None:
    """Where there is always another live result, the backlog follows all the same: one after every tenth."""
    decide(ledger, 3)
    publish = FakePublish()
    sender = courier(ledger, publish, rate=1_000)
    while len(publish.published) < 34:
        decide(ledger, 1)
        assert sender._work() == 0.0
        clock.now_s += 0.001
    backlog = [index for index, seq in enumerate(seqs(publish)) if seq <= 3]
    assert backlog == [10, 21, 32]


def test_live_results_without_a_gap_do_not_hurry_the_backlog(ledger: SqliteLedger, clock: Clock) -> None:
    """It keeps to its rate then too."""
    decide(ledger, 30)
    publish = FakePublish()
    sender = courier(ledger, publish, rate=10)
    for _ in range(200):
        decide(ledger, 1)
        assert sender._work() == 0.0
        clock.now_s += 0.005
    assert len([seq for seq in seqs(publish) if seq <= 30]) == 10


def test_ten_are_under_way_at_a_time(
    ledger: SqliteLedger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A courier does not wait for one reply to publish the next; while the target has no room it looks again soon.
    What was published meanwhile is marked in one go."""
    marked = []
    mark = ledger.mark_published
    monkeypatch.setattr(ledger, "mark_published", lambda *done: (marked.append(done), mark(*done)))
    publish = FakePublish()
    publish.is_held = True
    sender = courier(ledger, publish)
    decide(ledger, 12)
    assert sender._work() == 0.0
    assert work_off(sender) == BUSY_S
    assert (list(map(seq_of, publish.tried)), marked) == (list(range(1, 11)), [])
    publish.answer_all()
    assert work_off(sender) == TIMEOUT_S
    assert marked == [(list(range(1, 11)), "iot_core")]
    assert list(map(seq_of, publish.tried)) == list(range(1, 13))
    assert states(ledger) == {"waiting": 2, "published": 10}


def test_no_reply(ledger: SqliteLedger, clock: Clock) -> None:
    """A publish without a reply is given up after ten seconds, and tried again."""
    publish = FakePublish()
    publish.is_held = True
    sender = courier(ledger, publish)
    decide(ledger, 1)
    sender._work()
    clock.now_s += TIMEOUT_S - 0.1
    assert sender._work() == pytest.approx(0.1)
    ((_, reply),) = publish.under_way
    assert not reply.done()
    clock.now_s += 0.1
    assert 0 < sender._work() < 1
    assert reply.cancelled()
    publish.is_held = False
    work(sender, clock, 1.0)
    assert states(ledger) == {"published": 1}


def test_failure_makes_a_backlog(ledger: SqliteLedger, clock: Clock) -> None:
    """What waits when a publish fails is backlog; what is decided later is live, and goes first."""
    publish = FakePublish([None, DOWN])
    sender = courier(ledger, publish, rate=1)
    decide(ledger, 4)
    work_off(sender)
    decide(ledger, 2)
    work(sender, clock, 10.0)
    assert seqs(publish) == [1, 5, 6, 2, 3, 4]


def pauses(sender: Courier, publish: FakePublish, clock: Clock, count: int) -> list[float]:
    """How long it is from one try to the next, so many times."""
    found = []
    for _ in range(count):
        tries, began_s = publish.tries, clock.now_s
        while publish.tries == tries:
            clock.now_s += sender._work()
        found.append(clock.now_s - began_s)
    return found


def test_backs_off(ledger: SqliteLedger, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure doubles the pause, up to the longest; a success resets it."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    publish = FakePublish([DOWN] * 10 + [None, DOWN, DOWN])
    sender = courier(ledger, publish, rate=1_000)
    decide(ledger, 4)
    found = pauses(sender, publish, clock, 11)
    assert found == pytest.approx([0, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60])
    assert len(publish.published) == 1
    found = pauses(sender, publish, clock, 3)
    assert found == pytest.approx([0, 0, 0.5], abs=0.01)  # the first of these fails alone


def test_one_pause_for_all_that_was_under_way(ledger: SqliteLedger, clock: Clock) -> None:
    """Ten that fail together are one failure: the pause doubles once. The next try is a single one, and of another
    result."""
    publish = FakePublish([DOWN] * 11)
    publish.is_held = True
    sender = courier(ledger, publish)
    decide(ledger, 12)
    sender._work()
    work_off(sender)
    publish.answer_all()
    pause_s = sender._work()
    assert 0.25 <= pause_s <= 0.5
    clock.now_s += pause_s
    work_off(sender)
    assert list(map(seq_of, publish.tried)) == [*range(1, 11), 11]
    publish.answer_all()
    assert 0.5 <= sender._work() <= 1.0


def test_a_success_ends_the_single_tries(ledger: SqliteLedger, clock: Clock) -> None:
    """When one gets through, as many follow as the target bears; those that failed go one by one, oldest first."""
    publish = FakePublish([DOWN] * 10)
    publish.is_held = True
    sender = courier(ledger, publish, rate=1_000)
    decide(ledger, 20)
    work_off(sender)
    publish.answer_all()
    publish.is_held = False
    work(sender, clock, 2.0)
    assert seqs(publish) == [11, *range(1, 11), *range(12, 21)]
    assert states(ledger) == {"published": 20}


def test_what_failed_goes_alone(ledger: SqliteLedger, clock: Clock) -> None:
    """It waits until nothing else is under way, and until its reply nothing follows it, live results included."""
    publish = FakePublish([DOWN])
    sender = courier(ledger, publish, rate=1_000)
    decide(ledger, 2)
    clock.now_s += work_off(sender)  # the first has failed
    publish.is_held = True
    work_off(sender)
    publish.answer_all()
    clock.now_s += work_off(sender)  # the second has got through
    work_off(sender)
    decide(ledger, 2)
    work_off(sender)
    assert list(map(seq_of, publish.tried)) == [1, 2, 1]
    publish.answer_all()
    work_off(sender)
    assert list(map(seq_of, publish.tried)) == [1, 2, 1, 3, 4]


def test_what_failed_waits_for_what_is_under_way(ledger: SqliteLedger, clock: Clock) -> None:
    """What is under way is not taken down with it, should it break the connection."""
    publish = FakePublish([DOWN])
    sender = courier(ledger, publish, rate=1_000)
    decide(ledger, 2)
    clock.now_s += work_off(sender)  # the first has failed
    publish.is_held = True
    work_off(sender)
    decide(ledger, 2)
    publish.answer_all()  # the second has got through
    work_off(sender)
    clock.now_s += 1.0
    work_off(sender)
    assert list(map(seq_of, publish.tried)) == [1, 2, 3, 4]
    publish.answer_all()
    work_off(sender)
    assert list(map(seq_of, publish.tried)) == [1, 2, 3, 4, 1]


def test_jitter(ledger: SqliteLedger, clock: Clock) -> None:
    """No two devices keep step: pauses differ, between half and the whole of what is due."""
    publish = FakePublish([DOWN] * 201)
    sender = courier(ledger, publish)
    decide(ledger, 2)
    found = pauses(sender, publish, clock, 201)[1:]
    assert len(set(found)) > 190
    assert all(LAST_PAUSE_S / 2 <= pause <= LAST_PAUSE_S + 1e-6 for pause in found[10:])


def test_an_outage_of_days(ledger: SqliteLedger, clock: Clock) -> None:
    """An outage may last as long as it likes: nothing is parked, and all follows."""
    publish = FakePublish([DOWN] * 3_000)
    sender = courier(ledger, publish)
    decide(ledger, 50)
    work(sender, clock, 3_001 * LAST_PAUSE_S)
    assert states(ledger) == {"published": 50}


def test_new_results_do_not_cut_a_pause_short(ledger: SqliteLedger, clock: Clock) -> None:
    """While publishing fails, results that come in are not each a further try."""
    publish = FakePublish([DOWN] * 100)
    sender = courier(ledger, publish)
    decide(ledger, 1)
    work_off(sender)
    for _ in range(20):
        decide(ledger, 1)
        sender.wake()
        assert sender._work() > 0
    assert publish.tries == 1


@pytest.mark.parametrize("reason", ["retry", "reconnected"])
def test_retry_cuts_a_pause_short(ledger: SqliteLedger, clock: Clock, reason: str) -> None:
    """When the connection is back, or a policy is mended, the next try is made at once."""
    publish = FakePublish([DOWN])
    sender = courier(ledger, publish)
    decide(ledger, 1)
    work_off(sender)
    getattr(sender, reason)()
    work_off(sender)
    assert seqs(publish) == [1]


def test_denied(ledger: SqliteLedger, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A publish that is denied is tried again slowly, also while results come in; then it is parked."""
    publish = FakePublish([Denied("no policy")] * DENIED_TRIES)
    sender = courier(ledger, publish)
    decide(ledger, 1)
    found = pauses(sender, publish, clock, DENIED_TRIES)
    assert found == [0.0] + [DENIED_PAUSE_S] * (DENIED_TRIES - 1)
    assert ledger.count("parked") == 0
    work_off(sender)
    assert (ledger.count("parked"), publish.published) == (1, [])
    assert caplog.records[-1].getMessage() == "result parked"
    assert caplog.records[-1].cause == "no policy"  # type: ignore[attr-defined]


def test_denied_then_the_rest(ledger: SqliteLedger, clock: Clock) -> None:
    """Once one is parked the rest follow without delay; the first success makes the courier patient again."""
    publish = FakePublish([Denied("no policy")] * (DENIED_TRIES + 2) + [None, Denied("no policy")])
    sender = courier(ledger, publish)
    decide(ledger, 5)
    work(sender, clock, (DENIED_TRIES - 1) * DENIED_PAUSE_S)
    assert states(ledger) == {"waiting": 5}
    work(sender, clock, 1.0)
    assert states(ledger) == {"waiting": 1, "published": 1, "parked": 3}
    work(sender, clock, DENIED_PAUSE_S + 1)
    assert states(ledger) == {"published": 2, "parked": 3}


def test_ten_denied_together_are_one_denial(ledger: SqliteLedger, clock: Clock) -> None:
    """All that was under way when the policy went is denied at once: nothing is parked for that."""
    publish = FakePublish([Denied("no policy")] * 10)
    publish.is_held = True
    sender = courier(ledger, publish)
    decide(ledger, 10)
    work_off(sender)
    publish.answer_all()
    publish.is_held = False
    work(sender, clock, 2 * DENIED_PAUSE_S)
    assert states(ledger) == {"published": 10}


def test_authorization_restarts(ledger: SqliteLedger, clock: Clock) -> None:
    """Where authorization was only being restarted nothing is parked."""
    publish = FakePublish([Denied("starting")] * (DENIED_TRIES - 1))
    sender = courier(ledger, publish)
    decide(ledger, 2)
    work(sender, clock, DENIED_PAUSE_S * DENIED_TRIES)
    assert seqs(publish) == [1, 2]
    assert ledger.count("parked") == 0


def poison(*refused: int) -> Callable[[bytes], Exception | None]:
    """These results fail, each time; the others do not."""
    return lambda payload: Unreachable("too bad") if seq_of(payload) in refused else None


def test_one_that_fails_while_others_get_through_is_parked(
    ledger: SqliteLedger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not hold up the others meanwhile, and is parked after a few tries, ten seconds apart."""
    publish = FakePublish(judge=poison(3))
    sender = courier(ledger, publish)
    decide(ledger, 20)
    work(sender, clock, 3.0)
    assert states(ledger) == {"waiting": 1, "published": 19}
    for _ in range(80):
        decide(ledger, 1)
        work(sender, clock, 1.0)
    assert states(ledger) == {"published": 99, "parked": 1}
    assert [seq_of(each) for each in publish.tried].count(3) <= STRIKES + 2
    record = next(each for each in caplog.records if each.getMessage() == "result parked")
    assert (record.levelname, record.seq) == ("ERROR", 3)  # type: ignore[attr-defined]
    assert "failed 5 times while others got through: too bad" in record.cause  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [8, 40])
def test_several_that_fail_while_others_get_through(ledger: SqliteLedger, clock: Clock, count: int) -> None:
    """Each is parked, and none of the others, nor do those wait for them."""
    bad = range(5, 5 + 5 * count, 5)
    publish = FakePublish(judge=poison(*bad))
    sender = courier(ledger, publish)
    decide(ledger, 250)
    for _ in range(60):
        decide(ledger, 1)
        work(sender, clock, 2.0)
    assert len(publish.published) == 310 - count
    for _ in range(5 * count):
        decide(ledger, 1)
        work(sender, clock, 2.0)
    assert states(ledger) == {"published": 310 + 5 * count - count, "parked": count}


def test_a_bad_hour_parks_nothing(ledger: SqliteLedger, clock: Clock) -> None:
    """A nucleus that refuses two in three at random is no reason to park: what fails is at random too."""
    chance = random.Random(7)
    publish = FakePublish(judge=lambda _: DOWN if chance.random() < 2 / 3 and clock.now_s < 4_600 else None)
    sender = courier(ledger, publish)
    for _ in range(400):
        decide(ledger, 1)
        work(sender, clock, 10.0)
    assert states(ledger) == {"published": 400}


def test_a_spool_that_is_full_most_of_the_time_parks_nothing(ledger: SqliteLedger, clock: Clock) -> None:
    """Where one in ten seconds is let through, whatever it is, it is nobody's fault."""
    publish = FakePublish(judge=lambda _: DOWN if clock.now_s % 10 > 1 and clock.now_s < 4_600 else None)
    sender = courier(ledger, publish)
    for _ in range(400):
        decide(ledger, 1)
        work(sender, clock, 10.0)
    assert states(ledger) == {"published": 400}


class Line:
    """A connection that some results break; while it is broken nothing gets through."""

    def __init__(self, *deadly: int) -> None:
        self.deadly = deadly
        self.is_open = True
        self.breaks = 0

    def judge(self, payload: bytes) -> Exception | None:
        if self.is_open and seq_of(payload) in self.deadly:
            self.is_open = False
            self.breaks += 1
            return Disconnected("StreamClosedError()")
        return None if self.is_open else Disconnected("not connected")


@pytest.mark.parametrize("others", [0, 1, 60])
def test_one_that_breaks_the_connection_is_parked(ledger: SqliteLedger, clock: Clock, others: int) -> None:
    """A message that Greengrass Lite hangs up on takes those that are under way with it; it alone ends up parked,
    also where there is no other that could get through."""
    line = Line(4)
    publish = FakePublish(judge=line.judge)
    publish.is_held = True
    sender = courier(ledger, publish)
    decide(ledger, 4)
    work_off(sender)
    publish.answer_all()
    publish.is_held = False
    for second in range(150):
        if second < others:
            decide(ledger, 1)
        work(sender, clock, 1.0)
        if second % 3 == 2 and not line.is_open:
            line.is_open = True
            sender.reconnected()
    assert states(ledger) == {"published": 3 + others, "parked": 1}
    assert line.breaks <= STRIKES + 2


def test_a_connection_that_breaks_by_itself_parks_nothing(ledger: SqliteLedger, clock: Clock) -> None:
    """However often the nucleus restarts."""
    line = Line()
    publish = FakePublish(judge=line.judge)
    publish.is_held = True
    sender = courier(ledger, publish)
    for _ in range(50):
        decide(ledger, 10)
        work_off(sender)
        line.is_open = False
        publish.answer_all()
        work(sender, clock, 2.0)
        publish.is_held = False
        line.is_open = True
        sender.reconnected()
        work(sender, clock, 1.0)
        publish.is_held = True
    publish.is_held = False
    publish.answer_all()
    work(sender, clock, 60.0)
    assert states(ledger) == {"published": 500}


def test_refused(ledger: SqliteLedger, clock: Clock) -> None:
    """What is refused is parked at once, and the next goes out."""
    publish = FakePublish([Refused("too long")])
    sender = courier(ledger, publish)
    decide(ledger, 2)
    assert work_off(sender) == IDLE_S
    assert seqs(publish) == [2]
    assert states(ledger) == {"published": 1, "parked": 1}


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
            work_off(sender)
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


def test_what_is_under_way_at_the_stop(ledger: SqliteLedger) -> None:
    """It has a moment: what is answered in it is marked, the rest is given up and waits for the next run."""
    publish = FakePublish()
    publish.is_held = True
    sender = courier(ledger, publish)
    decide(ledger, 2)
    stop = threading.Event()
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()
    eventually(lambda: publish.tries == 2)
    stop.set()
    sender.wake()
    (first, second) = publish.under_way
    publish.answer(*first)
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert second[1].cancelled()
    assert states(ledger) == {"waiting": 1, "published": 1}
    assert sender._ledger.waiting("iot_core", after=0) == [(2, b'{"seq":2}')]


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


def test_an_error_that_no_retry_mends_ends_the_courier(ledger: SqliteLedger) -> None:
    """What is neither refused, denied nor unreachable reaches the component; what else is under way is given up, and
    what was published is marked."""

    class TokenRefusedError(Exception):
        pass

    publish = FakePublish([None, TokenRefusedError()])
    publish.is_held = True
    sender = courier(ledger, publish)
    decide(ledger, 3)
    work_off(sender)
    for each in publish.under_way[:2]:
        publish.answer(*each)
    with pytest.raises(TokenRefusedError):
        sender.run(threading.Event())
    assert publish.under_way[2][1].cancelled()
    assert states(ledger) == {"waiting": 2, "published": 1}
