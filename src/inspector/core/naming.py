"""What a file's name and time say: the part it shows, when it was captured, whether it is an image at all."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST_S = 253_402_300_799.0  # the end of the year 9999
_TIME_GROUPS = ("year", "month", "day", "hour", "minute", "second")
_DATE_GROUPS = _TIME_GROUPS[:3]
_TEMPORARY = (".tmp", ".part")
_DAY_S = 86_400.0
MAX_TEXT_BYTES = 512
"""Of a path as JSON in a message; of a longer one the end is kept."""


def is_left_alone(name: str, ignore_pattern: str) -> bool:
    """Whether a file is none of ours: hidden, temporary (``.tmp``, ``.part``) or found by ``ignore_pattern``."""
    if name.startswith(".") or name.lower().endswith(_TEMPORARY):
        return True
    return bool(ignore_pattern) and re.search(ignore_pattern, name) is not None


def part_of(name: str, pattern: str) -> str | None:
    """What ``pattern`` finds in a file name: its group ``part``, else its first group, else the whole match."""
    found = re.search(pattern, name) if pattern else None
    if found is None:
        return None
    if "part" in found.groupdict():
        return found["part"]
    return found[1] if found.re.groups else found[0]


def capture_time(name: str, mtime_s: float, pattern: str) -> float:
    """When a file was captured, in seconds since the epoch.

    ``pattern`` may have groups ``year``, ``month``, ``day``, ``hour``, ``minute``, ``second`` and ``fraction``
    (digits after the decimal point), in UTC; what it lacks is taken from the modification time, of the date so
    that the two are closest, whichever side of midnight. Without a pattern, or where it finds nothing or no
    real time, it is the modification time.
    """
    found = re.search(pattern, name) if pattern else None
    if found is None:
        return mtime_s
    groups = {key: value for key, value in found.groupdict().items() if value}
    try:
        fields = {key: int(groups[key]) for key in _TIME_GROUPS if key in groups}
        fraction = float("0." + groups.get("fraction", "0"))
        captured_s = _at(mtime_s).replace(microsecond=0, **fields).timestamp() + fraction  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return mtime_s
    if fields.keys().isdisjoint(_DATE_GROUPS):
        captured_s += round((mtime_s - captured_s) / _DAY_S) * _DAY_S
    return captured_s


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as ``2026-11-22T03:00:00.123Z``, kept within the years 1970 to 9999."""
    return _at(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def legible(path: str) -> str:
    """A path as text that every JSON reader accepts: bytes that are not UTF-8 as ``\\xNN``, its end if long."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if _json_bytes(text) <= MAX_TEXT_BYTES:
        return text
    while _json_bytes("…" + text) > MAX_TEXT_BYTES:
        text = text[1:]
    return "…" + text


def _json_bytes(text: str) -> int:
    """How much of a message a text takes, without its quotes."""
    return len(msgspec.json.encode(text)) - 2


def _at(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=min(max(seconds, 0.0), _LAST_S))
