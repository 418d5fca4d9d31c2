"""What was received -> rows, notices and a summary. No MQTT and no terminal in here."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable
from datetime import datetime
from math import ceil

from station.event import Event, Gap, Heard, Notice, Row, Summary
from station.message import Received, Result, Status
from station.sequence import Sequence

REMEMBERED = 200_000
"""Identities (two a result) and latencies held in memory, so that watching for months doesn't fill it."""


class Tally:
    """Takes messages in the order they arrive.

    Images captured before ``since`` belong to an earlier run: they count for the sequence but give no row.
    """

    def __init__(self, since: datetime | None = None) -> None:
        self._since = since
        self._contents: OrderedDict[Hashable, bytes] = OrderedDict()
        self._sequences: dict[tuple[str, str], Sequence] = {}
        self._standings: dict[str, Notice] = {}
        self._latencies_ms: deque[float] = deque(maxlen=REMEMBERED)
        self._counts: Counter[str] = Counter()

    def receive(self, received: Received) -> list[Event]:
        """Take one message; return what to show of it."""
        message = received.message
        if isinstance(message, Result):
            return self._take_result(message, received)
        return [*self._take_status(message), Heard(message, received.line)]

    def refuse(self, topic: str, why: str) -> Notice:
        """Take a payload that is no message."""
        self._counts["malformed"] += 1
        return Notice("warning", f"malformed message on {topic}: {why}")

    def verdicts(self) -> dict[str, int]:
        """How many of each verdict."""
        return {verdict: self._counts[verdict] for verdict in ("pass", "fail", "review")}

    def summary(self) -> Summary:
        """Everything so far, in numbers."""
        counts = self._counts
        ordered = sorted(self._latencies_ms)
        return Summary(
            images=counts["images"],
            verdicts=self.verdicts(),
            kept=counts["kept"],
            latency_p50_ms=_percentile(ordered, 0.50),
            latency_p99_ms=_percentile(ordered, 0.99),
            gaps=self._gaps(),
            repeated=counts["repeated"],
            earlier=counts["earlier"],
            conflicts=counts["conflicts"],
            malformed=counts["malformed"],
        )

    def _gaps(self) -> tuple[Gap, ...]:
        return tuple(Gap(*key, *gap) for key, sequence in self._sequences.items() for gap in sequence.missing)

    def _take_result(self, result: Result, received: Received) -> list[Event]:
        if (known := self._recognise(result, received)) is not None:
            return known
        ledger = (result.thing, result.ledger)
        events = _gap(ledger, self._sequence(ledger, result.seq).receive(result.seq))
        if self._since and result.captured_at < self._since:
            self._counts["earlier"] += 1
            return events
        self._count(result)
        return [*events, Row(result, received.line)]

    def _recognise(self, result: Result, received: Received) -> list[Event] | None:
        """What to show of a result that is known: nothing, or a contradiction; None for a new one."""
        digest = hashlib.sha256(received.content).digest()
        known = [
            self._remember((result.thing, result.id), digest),
            self._remember((result.thing, result.ledger, result.seq), digest),
        ]
        if known == [None, None]:
            return None
        if known == [digest, digest]:
            self._counts["repeated"] += 1
            return []
        self._counts["conflicts"] += 1
        which = f"id {result.id}" if known[0] else f"seq {result.seq} of ledger {result.ledger[:8]}"
        return [
            Notice("alarm", f"{result.thing} sent {which} again with different content ({result.image.path})")
        ]

    def _remember(self, identity: Hashable, digest: bytes) -> bytes | None:
        known = self._contents.get(identity)
        if known is None:
            self._contents[identity] = digest
            if len(self._contents) > REMEMBERED:
                self._contents.popitem(last=False)
        return known

    def _count(self, result: Result) -> None:
        self._counts.update(["images", result.verdict, *(["kept"] if result.kept else [])])
        if result.total_latency_ms is not None:
            self._latencies_ms.append(result.total_latency_ms)

    def _sequence(self, ledger: tuple[str, str], start: int) -> Sequence:
        return self._sequences.setdefault(ledger, Sequence(start))

    def _take_status(self, status: Status) -> list[Event]:
        events = self._reach(status)
        standing = _standing(status)
        if self._standings.get(status.thing) != standing:
            self._standings[status.thing] = standing
            events.append(standing)
        return events

    def _reach(self, status: Status) -> list[Event]:
        """The gap that a status opens which says that more was sent than arrived."""
        if status.ledger is None or status.last_seq is None:
            return []
        ledger = (status.thing, status.ledger)
        sequence = self._sequence(ledger, status.last_seq)
        everything_was_sent = status.outbox == 0 and status.parked == 0
        return _gap(ledger, sequence.reach(status.last_seq)) if everything_was_sent else []


def _gap(ledger: tuple[str, str], numbers: tuple[int, int] | None) -> list[Event]:
    if numbers is None:
        return []
    return [Notice("warning", f"gap: {Gap(*ledger, *numbers)} not received so far")]


def _standing(status: Status) -> Notice:
    """What a person wants to know of a status, said again only when it changes."""
    model = status.model
    with_model = f", model {model.name} {model.version} {model.precision}" if model else ""
    errors = "".join(f"; setting refused: {error}" for error in status.settings_errors)
    alarms = f"; alarm: {', '.join(status.alarms)}" if status.alarms else ""
    because = f": {status.reason}" if status.reason else ""
    healthy = status.state == "running" and not status.settings_errors and not status.alarms
    return Notice(
        "info" if healthy else "warning",
        f"{status.thing} is {status.state}{because}{with_model}{alarms}{errors}",
    )


def _percentile(ordered: list[float], share: float) -> float | None:
    """Nearest rank: the smallest value that at least ``share`` of all do not exceed."""
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None
