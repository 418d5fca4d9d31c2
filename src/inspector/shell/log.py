"""One line an event, ``level event key=value …``; warnings and worse on standard error."""

from __future__ import annotations

import json
import logging
import sys

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


def _quote(value: object) -> str:
    text = str(value)
    is_plain = text and not any(letter in text for letter in ' "=\\') and text.isprintable()
    # A name that is not UTF-8 must not cost the line: standard output would refuse it.
    return (
        text
        if is_plain
        else json.dumps(text, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    )


def set_up(level: str) -> None:
    """Send events of ``level`` and above to standard output, warnings and worse to standard error."""
    quiet = logging.StreamHandler(sys.stdout)
    quiet.addFilter(lambda record: record.levelno < logging.WARNING)
    loud = logging.StreamHandler(sys.stderr)
    loud.setLevel(logging.WARNING)
    for handler in (quiet, loud):
        handler.setFormatter(KeyValueFormatter())
    logging.basicConfig(level=level, handlers=[quiet, loud], force=True)
    # The SDK logs what it also raises, and at DEBUG the token: our own lines say it once, and without.
    logging.getLogger("awsiot").setLevel(logging.CRITICAL)
