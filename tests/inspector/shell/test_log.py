"""A log line is one event that a person and a program can read."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from inspector.shell import log


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def line(event: str, **extra: object) -> str:
    record = logging.makeLogRecord({"msg": event, "levelname": "WARNING", "name": "test"} | extra)
    return log.KeyValueFormatter().format(record)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        (3, "3"),
        ("two words", '"two words"'),
        ("", '""'),
        ('say "x"', r'"say \"x\""'),
        ("a=b", '"a=b"'),
        ("two\nlines", r'"two\nlines"'),
        ("back\\slash", r'"back\\slash"'),
        ("ä標", "ä標"),
        ("\udcff.jpg", r'"\udcff.jpg"'),
        ("\x1b[31m", r'"\u001b[31m"'),
    ],
)
def test_values(value: object, written: str) -> None:
    """A value is quoted as in JSON where it would be misread, and never breaks the line or the encoding."""
    assert line("event", key=value) == f"WARNING event key={written}"
    assert line("event", key=value).encode()


def test_several_values() -> None:
    """Values follow in the order in which they were given."""
    assert line("file left alone", path="a b.jpg", cause="it vanished") == (
        'WARNING file left alone path="a b.jpg" cause="it vanished"'
    )


def test_traceback_on_one_line() -> None:
    """A traceback is part of its event's line."""
    try:
        raise ValueError("why")
    except ValueError as error:
        written = line("failed", exc_info=(type(error), error, error.__traceback__))
    assert "\n" not in written
    assert "ValueError: why" in written


def test_streams(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings and worse go to standard error, the rest to standard output, what is below the level nowhere."""
    log.set_up("INFO")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("inspector.test").log(level, "event", extra={"n": level})
    written = capsys.readouterr()
    assert written.out == "INFO event n=20\n"
    assert written.err == "WARNING event n=30\nERROR event n=40\n"
