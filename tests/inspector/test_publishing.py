"""The ledger and its couriers together: what is parked, resent and published again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from inspector import courier
from inspector.core.command import Resend
from inspector.core.settings import Settings
from inspector.office import Office
from inspector.ports import Disconnected, Refused
from inspector_fakes import FakePublish, decision, eventually

pytestmark = pytest.mark.usefixtures("nothing_is_recent")


class Bench:
    """An office with fakes of both targets."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.topic, self.iot_core = FakePublish(), FakePublish()
        self.office: Office | None = None

    def open(self, **settings: object) -> Office:
        greengrass = SimpleNamespace(publish_to_topic=self.topic, publish_to_iot_core=self.iot_core)

        def failed(error: Exception) -> None:
            raise error

        every = Settings(backlog_per_second=1_000, **settings)  # type: ignore[arg-type]
        self.office = Office(self.work, "line-3", every, greengrass, failed)  # type: ignore[arg-type]
        return self.office

    def restart(self) -> Office:
        self.close()
        return self.open()

    def close(self) -> None:
        if self.office:
            self.office.close()

    def decide(self, count: int) -> None:
        assert self.office
        first = self.office.ledger.last_seq() + 1
        targets = ("topic", "iot_core")
        each = [decision(number, targets=targets) for number in range(first, first + count)]
        self.office.ledger.decide(each, time.time())
        self.office.wake()

    def settled(self, state: str, count: int) -> None:
        assert self.office
        ledger = self.office.ledger
        eventually(lambda: ledger.count(state) == count and not ledger.count("waiting"), f"{count} {state}")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def refuse(_: bytes) -> Exception:
    return Refused("too bad")


def change_policy(bench: Bench) -> None:
    assert bench.office
    bench.office.retry_parked()


@pytest.mark.parametrize("event", [change_policy, Bench.restart], ids=["change", "restart"])
def test_parked_results_are_tried_again(bench: Bench, event: Callable[[Bench], object]) -> None:
    """After a change of configuration, and after a restart: once, and parked again if that was in vain."""
    bench.iot_core.judge = refuse
    bench.open()
    bench.decide(3)
    bench.settled("parked", 3)
    tries = bench.iot_core.tries
    event(bench)
    eventually(lambda: bench.iot_core.tries == 2 * tries)
    bench.settled("parked", 3)
    bench.iot_core.judge = lambda _: None
    event(bench)
    bench.settled("published", 6)
    assert len(set(bench.iot_core.published)) == 3


def resend(bench: Bench, first: int, last: int) -> int:
    assert bench.office
    return bench.office.resend(Resend(ledger=bench.office.ledger.id, first=first, last=last))


def test_a_range_is_resent(bench: Bench) -> None:
    """To AWS IoT Core alone, byte for byte, oldest first."""
    bench.open()
    bench.decide(9)
    bench.settled("published", 18)
    before = bench.iot_core.published.copy()
    assert resend(bench, 3, 7) == 5
    eventually(lambda: len(bench.iot_core.published) == 14)
    assert bench.iot_core.published[9:] == sorted(before)[2:7]
    assert bench.topic.tries == 9


def test_what_is_parked_is_resent(bench: Bench) -> None:
    """Who asks for a result that was given up gets another try of it."""
    bench.iot_core.judge = refuse
    bench.open()
    bench.decide(2)
    bench.settled("parked", 2)
    bench.iot_core.judge = lambda _: None
    assert resend(bench, 1, 2) == 2
    bench.settled("published", 4)


def test_what_waits_is_not_resent_twice(bench: Bench) -> None:
    """It comes anyway; it is counted, for it will be published."""
    bench.iot_core.is_held = True
    bench.open()
    bench.decide(2)
    eventually(lambda: bench.iot_core.tries == 2)
    assert resend(bench, 1, 2) == 2
    bench.iot_core.is_held = False
    bench.iot_core.answer_all()
    bench.settled("published", 4)
    assert bench.iot_core.tries == 2


def test_of_results_that_were_trimmed_it_says_how_many_it_has(bench: Bench) -> None:
    """The count is of what will come, not of what was asked for."""
    office = bench.open()
    bench.decide(6)
    bench.settled("published", 12)
    for entry in office.ledger.unsettled()[:4]:
        office.ledger.mark_settled(entry, remains=False)
    assert office.ledger.trim(time.time() + 60, 10**9) == 4
    assert (resend(bench, 1, 4), resend(bench, 3, 5), resend(bench, 1, 1_000)) == (0, 1, 2)


def test_another_ledger_is_refused(bench: Bench) -> None:
    """The numbers of another ledger mean other results: nothing is published, and both ledgers are named."""
    office = bench.open()
    bench.decide(1)
    with pytest.raises(ValueError, match=rf"ledger 0123 is not here; this one is {office.ledger.id}"):
        office.resend(Resend(ledger="0123", first=1, last=1))
    bench.settled("published", 2)
    assert [json.loads(each)["seq"] for each in bench.iot_core.published] == [1]


def test_a_new_connection_ends_the_pause_and_repeats_the_last_minute(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the nucleus had accepted may be lost with it, and what waited need not wait longer."""
    monkeypatch.setattr(courier, "FIRST_PAUSE_S", 600.0)
    monkeypatch.setattr(courier, "LAST_PAUSE_S", 600.0)
    office = bench.open()
    bench.decide(1)
    bench.settled("published", 2)
    bench.iot_core.errors = [Disconnected("hung up")]
    bench.decide(1)
    eventually(lambda: bench.topic.tries == 2 and bench.iot_core.tries == 2)
    office.reconnected()
    eventually(lambda: len(bench.iot_core.published) == 3)
    bench.settled("published", 4)
    seqs = [json.loads(each)["seq"] for each in bench.iot_core.published]
    assert (seqs.count(1), seqs.count(2)) == (2, 1)
