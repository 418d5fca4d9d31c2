"""Commands, and what is wrong with those that are none."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.command import MAX_RESEND, Resend, StatusRequest, parse, request_of

RESEND = {"command": "resend", "ledger": "b81e", "first": 7, "last": 9}
SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schema" / "command.json").read_text())


@pytest.mark.parametrize(
    ("document", "command"),
    [
        ({"command": "status"}, StatusRequest()),
        ({"command": "status", "request": "r-1"}, StatusRequest(request="r-1")),
        (RESEND, Resend(ledger="b81e", first=7, last=9)),
        (RESEND | {"request": "r-2"}, Resend(ledger="b81e", first=7, last=9, request="r-2")),
        (RESEND | {"last": 7}, Resend(ledger="b81e", first=7, last=7)),
        (RESEND | {"last": 6 + MAX_RESEND}, Resend(ledger="b81e", first=7, last=6 + MAX_RESEND)),
    ],
)
def test_a_command_is_parsed_and_is_valid_by_its_published_schema(document, command) -> None:
    """What the documentation allows is what is understood."""
    assert parse(json.dumps(document).encode()) == command
    jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "truncated"),
        (b"status", "malformed"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b"7", "Expected `object`, got `int`"),
        (b'"status"', "Expected `object`, got `str`"),
        (b"\xff\xfe not JSON", "malformed"),
        (b'{"command":"status"} and more', "trailing characters"),
        (b'{"command":"sta', "truncated"),
        (b'{"command":null}', "Expected `str` - at `$.command`"),
        (b'{"command":["status"]}', "Expected `str` - at `$.command`"),
        (b'{"command":"status","request":"\\ud800"}', "truncated"),
        (b"{}", "missing required field `command`"),
        (b'{"command":"reboot"}', "Invalid value 'reboot'"),
        (b'{"command":"status","reqest":"1"}', "unknown field `reqest`"),
        (b'{"command":"status","request":7}', "Expected `str | null`, got `int` - at `$.request`"),
        (b'{"command":"status","request":"\xff"}', "UTF-8"),
        (json.dumps({"command": "status", "request": "x" * 129}).encode(), "length <= 128 - at `$.request`"),
        (json.dumps(RESEND | {"first": 0}).encode(), ">= 1 - at `$.first`"),
        (json.dumps(RESEND | {"first": "7"}).encode(), "Expected `int`, got `str` - at `$.first`"),
        (json.dumps(RESEND | {"last": 6}).encode(), "first to last must be 1 to 1000 results"),
        (json.dumps(RESEND | {"last": 7 + MAX_RESEND}).encode(), "first to last must be 1 to 1000 results"),
        (json.dumps(RESEND | {"first": 2**63, "last": 2**63}).encode(), "<= 9007199254740991 - at `$.first`"),
        (json.dumps(RESEND | {"first": -1}).encode(), ">= 1 - at `$.first`"),
        (json.dumps(RESEND | {"first": 7.0}).encode(), "Expected `int`, got `float` - at `$.first`"),
        (json.dumps(RESEND | {"first": True}).encode(), "Expected `int`, got `bool` - at `$.first`"),
        (json.dumps(RESEND | {"first": 10**30}).encode(), "<= 9007199254740991 - at `$.first`"),
        (
            b'{"command":"resend","ledger":"b81e","first":' + b"9" * 5_000 + b',"last":9}',
            "out of range - at `$.first`",
        ),
        (b'{"command":"resend","ledger":"b81e","first":7,"last":1e400}', "out of range - at `$.last`"),
        (json.dumps(RESEND | {"ledger": None}).encode(), "Expected `str`, got `null` - at `$.ledger`"),
        (json.dumps(RESEND | {"ledger": 7}).encode(), "Expected `str`, got `int` - at `$.ledger`"),
        (json.dumps(RESEND | {"target": "topic"}).encode(), "unknown field `target`"),
        (json.dumps({"command": "status", "first": 7}).encode(), "unknown field `first`"),
        (b'{"command":"resend","first":7,"last":9}', "missing required field `ledger`"),
        (b'{"command":"resend","ledger":"b81e","first":7}', "missing required field `last`"),
        (b'{"x":' + b"[" * 4_500 + b"]" * 4_500 + b',"command":"status"}', "nested"),
        (b'{"command":"status"}' + b" " * 1_000_000, "at most 10000 bytes, this one has 1000020"),
    ],
)
def test_what_is_wrong_with_a_command_can_be_read(payload, complaint) -> None:
    """The answer names the field and the fault."""
    with pytest.raises(msgspec.DecodeError) as caught:
        parse(payload)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (json.dumps(RESEND | {"last": 0, "request": "r-3"}).encode(), "r-3"),
        (b'{"command":"reboot","request":"r-4"}', "r-4"),
        (b'{"request":"r-5","more":[{}]}', "r-5"),
        (b'{"command":"status","request":7}', None),
        (b'{"command":"status"', None),
        (b"[]", None),
        (b'{"command":"status","request":"r-6"}' + b" " * 10_000, None),
    ],
)
def test_a_wrong_command_is_known_by_its_request(payload, expected) -> None:
    """Who asked finds the answer by it, wherever it can be read."""
    assert request_of(payload) == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_a_decode_error(payload) -> None:
    """Nothing that arrives on the topic can raise anything else."""
    request_of(payload)
    try:
        parse(payload)
    except msgspec.DecodeError as error:
        assert str(error)
