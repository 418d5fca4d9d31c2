"""JSON as Greengrass Lite reads and writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.lite import json_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-(2**62), "-4611686018427387904"),
        (1.5, "1.5000000000000000"),
        (0.7, "0.69999999999999996"),
        (1.0, "1.0000000000000000"),
        (0.0, "0.0000000000000000"),
        (-0.0, "-0.0000000000000000"),
        (1e16, "10000000000000000."),
        (1e17, "1.0000000000000000e+17"),
        (1e-4, "0.00010000000000000000"),
        (1e-5, "1.0000000000000001e-05"),
        (1795320717.110412, "1795320717.1104119"),
        ("", '""'),
        ('say "\\"', '"say \\"\\\\\\""'),
        ("é 日本 \x7f /", '"é 日本 \x7f /"'),
        ("\n\x1f\x00", '"\\u000A\\u001F\\u0000"'),
        ([], "[]"),
        ({}, "{}"),
        ([1, [2]], "[1,[2]]"),
        ({"b": 1, "a": {"é": None}}, '{"b":1,"a":{"é":null}}'),
    ],
)
def test_json_is_written_as_lite_writes_it(value: Any, text: str) -> None:
    """Compact, floats with 17 digits, keys in their order."""
    assert json_text.write(value) == text


# From 10^16 to 10^17 Lite's floats end in a point, which is not JSON.
floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not 9e15 < abs(value) < 1e17)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | floats
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_json_written_is_read_again(value: Any) -> None:
    """Any value comes back as it was, and as any other reader of JSON reads it."""
    text = json_text.write(value).encode()
    assert json_text.read(text) == json.loads(text) == value


def test_keys_come_sorted_and_the_first_counts() -> None:
    """At every depth, as Lite's reader leaves them."""
    read = json_text.read(b'{"b": {"z": 1, "a": 2}, "a": 1, "b": 3}')
    assert json_text.write(read) == '{"a":1,"b":{"a":2,"z":1}}'


@pytest.mark.parametrize(("value", "fits"), [([0] * 255, True), ([0] * 256, False)])
def test_values_have_room_for_so_many(value: Any, fits: bool) -> None:
    """255 elements; a pair takes as much as two of them, less a byte."""
    text = json.dumps(value).encode()
    if fits:
        assert json_text.read(text) == value
    else:
        with pytest.raises(ValueError, match="take 2816 bytes of memory, and there are 2805"):
            json_text.read(text)


@pytest.mark.parametrize(
    "text",
    [
        b"9223372036854775808",
        b"-9223372036854775809",
        b"1e400",
        b"-1e400",
        b"NaN",
        b"Infinity",
        rb'"\ud800"',
        rb'{"\udc00": 1}',
        b"[" * 5_000 + b"]" * 5_000,
        b'"\xff"',
        b"1 2",
        b"",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_refused(text: bytes) -> None:
    """Numbers that 64 bits can't hold, half a surrogate pair, what is too deep or no JSON at all."""
    with pytest.raises(ValueError, match=r".+"):
        json_text.read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"1e308", 1e308),
        (rb'"\ud83d\ude00"', "😀"),
    ],
)
def test_what_is_just_taken(text: bytes, value: Any) -> None:
    """The last that fit, and a whole surrogate pair."""
    assert json_text.read(text) == value
