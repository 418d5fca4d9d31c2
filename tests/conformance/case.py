"""A row of the conformance table: a request, what it is answered, and what is heard afterwards.

Requests, answers and events are written as they are on the wire. ``com.me`` stands for the component that asks,
``com.other`` for another. What is expected comes from the nuclei's sources, from frames that AWS's programs wrote and
from the SDK's model classes, never from edgehost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CLASSIC, LITE = ("classic",), ("lite",)
BOTH = CLASSIC + LITE
Kind = Literal["success", "invalid", "denied", "failed", "unsupported"]
Payload = Mapping[str, Any]

EVERYTHING = {"everything": {"operations": ["*"], "resources": ["*"]}}
ALL_ALLOWED = {f"aws.greengrass.{service}": EVERYTHING for service in ("ipc.pubsub", "ipc.mqttproxy", "Cli")}
NOTHING_ALLOWED: Payload = {}
CONFIGURATION = {
    "Text": "hi",
    "Number": 10.5,
    "Nothing": None,
    "List": ["one", 2, {"three": 3}],
    "Nested": {"Inner": {"Deep": True}, "Other": 1},
    "Empty": {},
}
NOW_S, LATER_S, BEFORE_S = 1795320717.5, 1795320727.5, 1795320707.5
"""Seconds since 1970 in whose order updates are made."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and who makes it."""

    operation: str
    payload: Payload
    by: str = "com.me"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment of the component that asks, with configuration to merge.

    Each of ``replies`` is sent once one more event was heard, with that event's deploymentId in place of ``d``.
    """

    config: Payload = field(default_factory=dict)
    replies: tuple[Request, ...] = ()


Action = Request | Deployment


@dataclass(frozen=True, slots=True)
class Case:
    """One row.

    ``error`` names what it is refused with; a message that begins with … may be longer at either end. ``before`` and
    ``after`` are done before and after the request, and all of their requests succeed. ``events`` are heard on the
    request's stream, in this order, and no others are; a deploymentId in them is written ``d``. ``changes`` is what
    the caller's configuration holds in the end, by key, None for a key that isn't there. ``offline``: the broker is
    away when the request is made.
    """

    profiles: tuple[str, ...]
    kind: Kind
    operation: str
    request: Payload
    source: str
    answer: Payload = field(default_factory=dict)
    error: str = ""
    message: str | None = None
    access: Payload = field(default_factory=lambda: ALL_ALLOWED)
    configuration: Payload = field(default_factory=lambda: CONFIGURATION)
    by: str = "com.me"
    deployed: tuple[str, ...] = ()
    before: tuple[Action, ...] = ()
    after: tuple[Action, ...] = ()
    events: tuple[Payload, ...] = ()
    changes: Payload = field(default_factory=dict)
    offline: bool = False


Rows = Callable[..., Case]


def rows(operation: str, profiles: tuple[str, ...], source: str) -> tuple[Rows, Rows]:
    """What makes the rows of an operation: ``answers`` and ``refuses``."""

    def answers(request: Payload, answer: Payload | None = None, **more: Any) -> Case:
        return Case(profiles, "success", operation, request, source, answer or {}, **more)

    def refuses(kind: Kind, request: Payload, error: str, message: str | None = None, **more: Any) -> Case:
        return Case(profiles, kind, operation, request, source, error=error, message=message, **more)

    return answers, refuses
