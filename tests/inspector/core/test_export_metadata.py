"""What an ONNX file says of its classes is read, never evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.export_metadata import MAX_CHARACTERS, parse_labels, parse_size


@given(st.lists(st.text(max_size=20), min_size=1, max_size=20))
def test_any_names_are_read_as_python_writes_them(names: list[str]) -> None:
    """Ultralytics writes the ``repr`` of a dictionary."""
    assert parse_labels(repr(dict(enumerate(names)))) == tuple(names)


def test_a_label_may_hold_what_looks_like_more() -> None:
    assert parse_labels("{0: 'a', 1: 'b}', 2: \"it's (2: '}')\"}") == ("a", "b}", "it's (2: '}')")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "{0: 'a'",
        "['a']",
        "{1: 'a'}",
        "{0: 'a', 2: 'b'}",
        "{0: a}",
        "{0: 'a' 'b'}",
        "{0: b'a'}",
        "{0: f'{1}'}",
        "{0: 'a', **{}}",
        "{0: '\\x'}",
        "{-1: 'a'}",
        "{0: __import__('os')}",
        "{" + "(" * 90_000 + "}",
        "{0: " + "-" * 90_000 + "1}",
        "{0: " + "[" * 40_000 + "]" * 40_000 + "}",
        "{0: " + "1+" * 40_000 + "1}",
        "{0: '" + "x" * MAX_CHARACTERS + "'}",
        "{" + " " * 90_000 + "}",
        "{" + "0" * 90_000 + "}",
    ],
    ids=lambda text: text[:12],
)
def test_anything_else_is_refused(text: str) -> None:
    """Also what would exhaust a parser that evaluates it."""
    with pytest.raises((ValueError, SyntaxError)):
        parse_labels(text)


def test_size() -> None:
    assert parse_size("[480, 640]") == (480, 640)
    for text in ("", "480", "[480]", "[1, 2, 3]", "[1e9, 1]", "[" * 90_000, "[100000, 1]"):
        with pytest.raises(ValueError):
            parse_size(text)
