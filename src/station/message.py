"""MQTT payload -> what the station needs of a message.

A consumer is lenient where a producer is strict: unknown fields are ignored, so that a newer component
still shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class MalformedError(Exception):
    """A payload that is no message of an inspector; the text says why, in one line."""


class Image(msgspec.Struct, frozen=True):
    """The image that was judged; ``path`` is relative to the inspector's image directory."""

    path: str


class Model(msgspec.Struct, frozen=True):
    """The model that judged."""

    name: str
    version: str
    precision: str


class Defect(msgspec.Struct, frozen=True):
    """One defect that the model saw."""

    label: str
    confidence: float


class Result(msgspec.Struct, frozen=True):
    """The verdict on one image."""

    id: str
    ledger: str
    seq: Annotated[int, msgspec.Meta(ge=1)]
    thing: str
    captured_at: Moment
    inspected_at: Moment
    image: Image
    verdict: Literal["pass", "fail", "review"]
    reasons: tuple[str, ...]
    detections: tuple[Defect, ...]
    detections_total: Count
    kept: tuple[str, ...]
    latency_ms: dict[str, float | None]

    @property
    def total_latency_ms(self) -> float | None:
        """The sum over the stages that were reached, or None where none was."""
        reached = [stage for stage in self.latency_ms.values() if stage is not None]
        return sum(reached) if reached else None


class Status(msgspec.Struct, frozen=True):
    """How an inspector is; what it reads from its ledger is null while that is not open."""

    thing: str
    state: Literal["running", "blocked", "stopped"]
    reason: str | None
    ledger: str | None
    last_seq: Count | None
    outbox: Count | None
    parked: Count | None
    model: Model | None
    settings_errors: tuple[str, ...]
    alarms: tuple[str, ...] = ()
    """None of a component that knows no alarms."""


Message: TypeAlias = Result | Status
SCHEMAS: dict[str, type[Result] | type[Status]] = {
    "edge-inspector/result/1": Result,
    "edge-inspector/status/1": Status,
}


@dataclass(frozen=True, slots=True)
class Received:
    """A message, the JSON it came as (one line) and its content in canonical form, to compare two of them."""

    message: Message
    line: str
    content: bytes


def read(topic: str, payload: bytes) -> Received:
    """Read what arrived on ``<prefix>/<thing>/<kind>``.

    Raises MalformedError, also where the message claims to come from another thing than its topic's.
    """
    try:
        fields = msgspec.json.decode(payload)
        message = msgspec.convert(fields, _schema(fields))
        line = msgspec.json.format(payload, indent=-1).decode()
        content = msgspec.json.encode(fields, order="sorted")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(str(error)) from error
    if topic.split("/")[-2] != message.thing:
        raise MalformedError(f"it speaks for thing {message.thing!r}, whose topic this is not")
    return Received(message, line, content)


def _schema(fields: Any) -> type[Result] | type[Status]:
    name = fields.get("schema") if isinstance(fields, dict) else None
    if not isinstance(name, str) or name not in SCHEMAS:
        raise MalformedError(f"its schema is {name!r}; this station reads {', '.join(SCHEMAS)}")
    return SCHEMAS[name]
