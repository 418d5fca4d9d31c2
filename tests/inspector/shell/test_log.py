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


def test_a_flood_of_warnings_is_counted_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Of one event a few lines a minute are written; the first of the next minute says how many were left out."""
    log.set_up("INFO")
    logger = logging.getLogger("inspector.test")
    for number in range(log.BURST + 5):
        logger.warning("image not inspected", extra={"number": number})
    logger.warning("another event")
    later = logger.makeRecord(logger.name, logging.WARNING, "", 0, "image not inspected", (), None)
    later.created += log.WINDOW_S + 1
    logger.handle(later)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == log.BURST + 2
    assert lines[-2:] == ["WARNING another event", "WARNING image not inspected left_out=5"]
