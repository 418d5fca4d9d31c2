"""What may be asked of the component on ``<prefix>/<thing>/commands``, and how it answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

MAX_RESEND = 1_000
MAX_BYTES = 10_000
"""Of a command: far more than any takes."""

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


class _Addressed(msgspec.Struct, frozen=True):
    """What can be told of a command that is wrong otherwise."""

    request: RequestId | None = None


def parse(payload: bytes) -> Command:
    """Parse a command; raise ``msgspec.DecodeError`` that says what is wrong with it."""
    command: Command = _decode(payload, Command)
    return command


def request_of(payload: bytes) -> str | None:
    """The ``request`` of a command that may be wrong otherwise, where it can be read."""
    try:
        addressed: _Addressed = _decode(payload, _Addressed)
    except msgspec.DecodeError:
        return None
    return addressed.request


def _decode(payload: bytes, kind: Any) -> Any:
    if len(payload) > MAX_BYTES:
        raise msgspec.DecodeError(f"a command has at most {MAX_BYTES} bytes, this one has {len(payload)}")
    try:
        return msgspec.json.decode(payload, type=kind)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"a command is UTF-8: {error}") from error
    except RecursionError as error:
        raise msgspec.DecodeError("a command is not nested so deeply") from error
