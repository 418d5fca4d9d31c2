"""One line an event, ``level event key=value …``; warnings and worse on standard error."""

from __future__ import annotations

import json
import logging
import sys

BURST = 20
WINDOW_S = 60.0

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "message",
    "asctime",
    "taskName",
}


class KeyValueFormatter(logging.Formatter):
    """Formats the ``extra`` of a record as ``key=value``, quoted as in JSON where a value needs it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback, if any, goes into ``traceback=`` so that the event stays one line."""
        parts = [record.levelname, record.getMessage()]
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            extra["traceback"] = self.formatException(record.exc_info)
        return " ".join(parts + [f"{key}={_quote(value)}" for key, value in extra.items()])


class Throttle(logging.Filter):
    """Lets through ``BURST`` records of an event every ``WINDOW_S``; the next one says how many were ``left_out``.

    A camera that delivers nothing but broken files must not fill the disk with log lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        started_s, count = self._windows.get(record.msg, (record.created, 0))
        if not 0 <= record.created - started_s < WINDOW_S:
            if count > BURST:
                record.left_out = count - BURST
            started_s, count = record.created, 0
        self._windows[record.msg] = (started_s, count + 1)
        return count < BURST


def _quote(value: object) -> str:
    text = str(value)
    is_plain = text and not any(letter in text for letter in ' "=\\') and text.isprintable()
    return text if is_plain else "".join(map(_escape, json.dumps(text, ensure_ascii=False)))


def _escape(letter: str) -> str:
    """What ends a line, moves the cursor, turns the writing direction or is not UTF-8, as JSON escapes it."""
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]


def set_up(level: str) -> None:
    """Send events of ``level`` and above to standard output, warnings and worse to standard error."""
    quiet = logging.StreamHandler(sys.stdout)
    quiet.addFilter(lambda record: record.levelno < logging.WARNING)
    loud = logging.StreamHandler(sys.stderr)
    loud.setLevel(logging.WARNING)
    for handler in (quiet, loud):
        handler.setFormatter(KeyValueFormatter())
    loud.addFilter(Throttle())
    logging.basicConfig(level=level, handlers=[quiet, loud], force=True)
    # The SDK logs what it also raises, and at DEBUG the token: our own lines say it once, and without.
    logging.getLogger("awsiot").setLevel(logging.CRITICAL)
