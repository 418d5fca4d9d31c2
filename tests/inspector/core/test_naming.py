"""What a file's name and time say."""

from datetime import datetime, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.naming import MAX_TEXT_BYTES, capture_time, is_left_alone, legible, part_of, rfc3339
from inspector.core.settings import Settings

CLOCK = r"^(?P<hour>\d\d)-(?P<minute>\d\d)-(?P<second>\d\d)-(?P<fraction>\d\d)-"
STAMP = (
    r"(?P<year>\d+)-?(?P<month>\d\d)-?(?P<day>\d\d)[T_]"
    r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?:\.(?P<fraction>\d+))?"
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


NOON = at("2026-11-22T12:00:00.500000")


@pytest.mark.parametrize(
    ("name", "pattern", "mtime", "expected"),
    [
        ("tag.jpg", "", NOON, NOON),
        ("tag.jpg", CLOCK, NOON, NOON),
        ("10-15-03-04-left-bottom.jpg", CLOCK, NOON, at("2026-11-22T10:15:03.040000")),
        ("23-59-58-75-left.jpg", CLOCK, at("2026-11-23T00:00:01"), at("2026-11-22T23:59:58.750000")),
        ("00-00-01-00-left.jpg", CLOCK, at("2026-11-22T23:59:59"), at("2026-11-23T00:00:01")),
        ("25-00-00-00-left.jpg", CLOCK, NOON, NOON),
        ("x_20260101T235959.jpg", STAMP, NOON, at("2026-01-01T23:59:59")),
        ("2026-01-01_000000.123456.jpg", STAMP, NOON, at("2026-01-01T00:00:00.123456")),
        ("20260230T000000.jpg", STAMP, NOON, NOON),
        ("00000101T000000.jpg", STAMP, NOON, NOON),
        ("99999999999999999999990101T000000.jpg", STAMP, NOON, NOON),
        ("day12.jpg", r"day(?P<day>\d+)", NOON, at("2026-11-12T12:00:00")),
        ("day31.jpg", r"day(?P<day>\d+)", NOON, NOON),
        ("f-abc.jpg", r"f-(?P<fraction>\w+)\.", NOON, NOON),
        ("x.jpg", r"(?P<hour>\d+)?x", NOON, at("2026-11-22T12:00:00")),
    ],
)
def test_the_capture_time_is_in_the_name_or_else_the_file_s(name, pattern, mtime, expected) -> None:
    """What the pattern finds counts; what it doesn't, or what is no real time, is taken from the file. A time of
    day without a date is on the file's side of midnight or the other, whichever is closer."""
    assert capture_time(name, mtime, pattern) == pytest.approx(expected, abs=1e-5)


@given(st.text(max_size=40), st.floats(-1e15, 1e15))
def test_no_name_and_no_time_is_too_strange(name, mtime_s) -> None:
    """Whatever file systems and clocks come up with, there is a capture time, and it can be written."""
    digits = r"(?P<year>\d+)?\D*(?P<day>\d+)?\D*(?P<second>\d+)?\D*(?P<fraction>.+)?"
    for pattern in (CLOCK, STAMP, digits):
        assert rfc3339(capture_time(name, mtime_s, pattern)).endswith("Z")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (at("2026-11-22T03:00:00.123000"), "2026-11-22T03:00:00.123Z"),
        (at("2026-11-22T03:00:00"), "2026-11-22T03:00:00.000Z"),
        (-1e18, "1970-01-01T00:00:00.000Z"),
        (-0.001, "1970-01-01T00:00:00.000Z"),
        (1e18, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_times_are_written_in_utc_with_milliseconds(seconds, text) -> None:
    """One form, sortable as text; a time beyond four-digit years is the nearest that has one."""
    assert rfc3339(seconds) == text


@pytest.mark.parametrize(
    ("name", "pattern", "part"),
    [
        ("tag-0412.jpg", "", None),
        ("tag-0412.jpg", r"\d{4}", "0412"),
        ("tag-0412.jpg", r"tag-(\d+)", "0412"),
        ("a7-tag-0412.jpg", r"^(\w+)-tag-(?P<part>\d+)", "0412"),
        ("photo.jpg", r"tag-(\d+)", None),
        ("tag-.jpg", r"tag-(\d+)?", None),
    ],
)
def test_the_part_is_what_the_pattern_finds(name, pattern, part) -> None:
    """Its group `part`, else its first group, else all of it; None where it finds nothing."""
    assert part_of(name, pattern) == part


@pytest.mark.parametrize(
    ("name", "is_alone"),
    [
        ("tag.jpg", False),
        ("tag", False),
        ("tag.part.jpg", False),
        ("a b\nc.png", False),
        (".tag.jpg", True),
        ("tag.jpg.tmp", True),
        ("tag.jpg.TMP", True),
        ("tag.part", True),
        ("labels.csv", True),
        ("Thumbs.DB", True),
        ("notes.txt", True),
    ],
)
def test_hidden_temporary_and_ignored_names_are_left_alone(name, is_alone) -> None:
    """Those, and nothing else: an unknown name is inspected, so that no part is missed."""
    assert is_left_alone(name, Settings().ignore_pattern) is is_alone


def test_without_a_pattern_only_hidden_and_temporary_names_are_left_alone() -> None:
    """An empty IgnorePattern finds nothing, rather than everything."""
    assert not is_left_alone("labels.csv", "")
    assert is_left_alone("labels.csv.tmp", "")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("top/tag 1.jpg", "top/tag 1.jpg"),
        ("übersicht/部品.png", "übersicht/部品.png"),
        (b"b\xe4d-\xff.jpg".decode("utf-8", "surrogateescape"), r"b\xe4d-\xff.jpg"),
        ("a\nb.jpg", "a\nb.jpg"),
        ("x" * MAX_TEXT_BYTES, "x" * MAX_TEXT_BYTES),
        ("y" + "x" * MAX_TEXT_BYTES, "…" + "x" * (MAX_TEXT_BYTES - 3)),
    ],
    ids=["plain", "unicode", "not UTF-8", "newline", "just fits", "too long"],
)
def test_a_path_is_legible(path, text) -> None:
    """Bytes that are not UTF-8 are spelled out; of a long path the end stays, where the name is."""
    assert legible(path) == text


@given(st.binary(max_size=1_500))
def test_any_bytes_of_a_path_fit_a_message(path) -> None:
    """As JSON it is valid, and no longer than a message has room for."""
    document = msgspec.json.encode(legible(path.decode("utf-8", "surrogateescape")))
    assert len(document) <= MAX_TEXT_BYTES + 2
    assert msgspec.json.decode(document) == legible(path.decode("utf-8", "surrogateescape"))
