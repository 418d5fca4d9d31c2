"""What may be asked of the component on ``<prefix>/<thing>/commands``, and how it answers."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

MAX_RESEND = 1_000

Seq = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
RequestId = Annotated[str, msgspec.Meta(max_length=128)]


class Resend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="resend", tag_field="command"):
    """Publish the results ``first`` to ``last`` again: a consumer saw a gap."""

    ledger: str
    first: Seq
    last: Seq
    request: RequestId | None = None
    """Comes back in the response."""

    def __post_init__(self) -> None:
        if not 0 <= self.last - self.first < MAX_RESEND:
            raise ValueError(f"first to last must be 1 to {MAX_RESEND} results")


class StatusRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="status", tag_field="command"
):
    """Publish the status now."""

    request: RequestId | None = None


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
    try:
        command: Command = msgspec.json.decode(payload, type=Command)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"a command is UTF-8: {error}") from error
    except RecursionError as error:
        raise msgspec.DecodeError("a command is not nested so deeply") from error
    return command
