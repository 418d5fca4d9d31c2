"""What there is to show of what was received."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from station.message import Result, Status


@dataclass(frozen=True, slots=True)
class Row:
    """A verdict that is new to this station, and the JSON line it came as."""

    result: Result
    line: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A status message, and the JSON line it came as."""

    status: Status
    line: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should read; an alarm is loud."""

    level: Literal["info", "warning", "alarm"]
    text: str


Event: TypeAlias = Row | Heard | Notice


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers, both ends included, that have not arrived."""

    thing: str
    ledger: str
    first: int
    last: int

    def __str__(self) -> str:
        numbers = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"seq {numbers} of {self.thing} (ledger {self.ledger[:8]})"


@dataclass(frozen=True, slots=True)
class Summary:
    """All that was received, in numbers; latencies are of the whole way from decoding to verdict."""

    images: int
    verdicts: dict[str, int]
    kept: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    gaps: tuple[Gap, ...]
    repeated: int
    earlier: int
    conflicts: int
    malformed: int
