"""Commands as the component answers them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from inspector.component import Component
from inspector.core.settings import Settings

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "response.json").read_text())
LEAST_MESSAGE_BYTES = 4_000


def ask(component: Component, monkeypatch: pytest.MonkeyPatch, payload: bytes) -> dict[str, Any]:
    """What a component that is connected answers to a command."""
    told: list[tuple[str, bytes]] = []
    monkeypatch.setattr(component._greengrass, "tell_iot_core", lambda *message: told.append(message))
    monkeypatch.setattr(component, "_is_connected", True)
    component._obey(payload)
    topic, answer = told[-1]
    assert topic == "inspect/line-3/commands/response"
    assert len(answer) <= LEAST_MESSAGE_BYTES
    response = json.loads(answer)
    jsonschema.validate(response, SCHEMA)
    return response | {"statuses": len(told) - 1}


RESEND = b'{"command":"resend","ledger":"b81e","first":1,"last":%s,"request":"r-1"}'


@pytest.mark.parametrize(
    ("payload", "error", "request_id"),
    [
        (b"", "truncated", None),
        (b"\xff\xfe", "malformed", None),
        (b"\x00" * 1_000_000, "at most 10000 bytes", None),
        (b'{"x":' + b"[" * 5_000, "nested", None),
        (b"[]", "Expected `object`", None),
        (b"null", "Expected `object`", None),
        (b'{"command":"explode","request":"r-1"}', "Invalid value 'explode'", "r-1"),
        (b'{"command":"status","more":1,"request":"r-1"}', "unknown field `more`", "r-1"),
        (b'{"command":"status","request":7}', "Expected `str | null`, got `int`", None),
        (b'{"command":"resend","ledger":"b81e","request":"r-1"}', "missing required field `first`", "r-1"),
        (RESEND % b"0", "Expected `int` >= 1 - at `$.last`", "r-1"),
        (RESEND.replace(b'"first":1', b'"first":9') % b"2", "first to last must be 1 to 1000", "r-1"),
        (RESEND % b"1001", "first to last must be 1 to 1000", "r-1"),
        (RESEND % (b"9" * 5_000), "out of range", "r-1"),
        (RESEND % b"2", "the ledger is not open: starting", "r-1"),
        (b'{"command":"' + b"\\u0001" * 1_500 + b'"}', "Invalid value", None),
        (
            b'{"command":"' + "\U0001f9ff".encode() * 1_500 + b'","request":"' + b"\\u0001" * 128 + b'"}',
            "Invalid value",
            "\x01" * 128,
        ),
    ],
)
def test_whatever_comes_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: bytes, error: str, request_id: str | None
) -> None:
    """The answer says what is wrong, and to whom, and fits into the smallest message there may be."""
    response = ask(Component(tmp_path, "line-3"), monkeypatch, payload)
    assert error in response["error"]
    assert (response["request"], response["results"], response["statuses"]) == (request_id, 0, 0)


@pytest.mark.parametrize("payload", [RESEND % b"2", b'{"command":"status","request":"r-1"}'])
def test_where_nothing_is_published_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: bytes
) -> None:
    """With PublishToIoTCore off a command is answered all the same, with the setting that is in the way."""
    component = Component(tmp_path, "line-3")
    monkeypatch.setattr(component, "_settings", Settings(publish_to_iot_core=False))
    response = ask(component, monkeypatch, payload)
    assert "PublishToIoTCore" in response["error"]
    assert (response["request"], response["results"], response["statuses"]) == ("r-1", 0, 0)


def test_a_status_is_sent_and_the_command_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the status, then the answer to who asked for it."""
    response = ask(Component(tmp_path, "line-3"), monkeypatch, b'{"command":"status","request":"r-1"}')
    assert (response["error"], response["request"], response["statuses"]) == (None, "r-1", 1)
