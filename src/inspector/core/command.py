"""What may be asked of the component on ``<prefix>/<thing>/commands``, and how it answers."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

MAX_RESEND = 1_000


class Resend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="resend", tag_field="command"):
    """Publish the results ``first`` to ``last`` again: a consumer saw a gap."""

    ledger: str
    first: Annotated[int, msgspec.Meta(ge=1)]
    last: Annotated[int, msgspec.Meta(ge=1)]
    request: str | None = None
    """Comes back in the response."""

    def __post_init__(self) -> None:
        if not 0 <= self.last - self.first < MAX_RESEND:
            raise ValueError(f"first to last must be 1 to {MAX_RESEND} results")


class StatusRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="status", tag_field="command"
):
    """Publish the status now."""

    request: str | None = None


Command = Resend | StatusRequest


class Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer, on ``<prefix>/<thing>/commands/response``; ``error`` says what was wrong, null: nothing."""

    schema: Literal["edge-inspector/response/1"]
    thing: str
    request: str | None
    error: str | None
    results: int
    """How many results will be published again."""


def parse(payload: bytes) -> Command:
    """Parse a command; raise ``msgspec.DecodeError`` that says what is wrong with it."""
    command: Command = msgspec.json.decode(payload, type=Command)
    return command
