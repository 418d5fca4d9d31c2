"""The consumer: it deduplicates nothing away, sees a gap and asks for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge import subscribed
from mosquitto_broker import PROGRAM, Mosquitto, until
from torture import consumer as consumers
from torture.consumer import Consumer


class Line:
    """Plays the device: says what a test wants, hears what is asked."""

    def __init__(self, url: str, consumer: Consumer, client: Any) -> None:
        self.url, self.consumer = url, consumer
        self.commands: list[dict[str, Any]] = []
        self._client = client
        subscribed_ = threading.Event()
        client.on_subscribe = lambda *_: subscribed_.set()
        client.on_message = lambda _c, _d, message: self.commands.append(json.loads(message.payload))
        client.subscribe("inspect/line/commands", qos=1)
        assert subscribed_.wait(10)

    def says(self, kind: str, document: dict[str, Any]) -> None:
        self._client.publish(f"inspect/line/{kind}", json.dumps(document), qos=1).wait_for_publish(10)

    def result(self, seq: int, ledger: str = "a", verdict: str = "pass") -> None:
        image = {"path": f"top/{seq}.jpg", "sha256": f"sha-{seq}"}
        document = {"id": f"{ledger}{seq}", "ledger": ledger, "seq": seq, "image": image}
        self.says("results", {**document, "verdict": verdict, "reasons": []})


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    monkeypatch.setattr(consumers, "GRACE_S", 0.1)
    monkeypatch.setattr(consumers, "AGAIN_S", 0.1)
    monkeypatch.setattr(consumers, "LOOK_S", 0)
    broker = Mosquitto(tmp_path)
    broker.start()
    consumer = Consumer(broker.url, "line")
    with subscribed(broker.url) as client:
        line = Line(broker.url, consumer, client)
        line.says("status", {"ledger": None, "last_seq": None})
        until(lambda: bool(consumer.statuses), "the consumer hears")
        yield line
    consumer.close()
    broker.stop()


def test_gap_is_asked_for_until_it_is_filled(line: Line) -> None:
    """Again and again, and no more after it has come."""
    line.result(1)
    line.result(4)

    def asked(times: int) -> bool:
        line.consumer.look_after()
        return len(line.commands) >= times

    until(lambda: asked(2), "it asks twice")
    wanted = {"command": "resend", "ledger": "a", "first": 2, "last": 3}
    assert all({**each, "request": None} == {**wanted, "request": None} for each in line.commands)
    line.result(2)
    line.result(3)
    until(lambda: line.consumer.missing() == [], "nothing is missing")
    known = line.consumer.requests
    line.consumer.look_after()
    assert line.consumer.requests == known


def test_tail_is_told_by_the_status(line: Line) -> None:
    """What never was followed by anything is missed too; of another ledger nothing is asked."""
    line.result(7, ledger="old")
    line.says("status", {"ledger": "a", "last_seq": 3})
    until(lambda: line.consumer.missing() == [1, 2, 3], "the tail is missed")


def test_requests_are_limited(line: Line) -> None:
    """At most 1,000 at a time, the oldest first."""
    line.says("status", {"ledger": "a", "last_seq": 2_500})

    def asked() -> bool:
        line.consumer.look_after()
        return bool(line.commands)

    until(asked, "it asks")
    assert (line.commands[0]["first"], line.commands[0]["last"]) == (1, 1_000)


def test_every_delivery_is_on_record(line: Line) -> None:
    """Duplicates and conflicts are for the account to find, so nothing may be dropped here."""
    line.result(1)
    line.result(1)
    line.result(1, verdict="fail")
    until(lambda: len(line.consumer.deliveries) == 3, "all have arrived")
    assert len({each.content for each in line.consumer.deliveries}) == 2
    assert line.consumer.images() == {("top/1.jpg", "sha-1")}
