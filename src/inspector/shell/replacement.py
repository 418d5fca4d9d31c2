"""A ledger for what its file holds: where that is no ledger, it is set aside and a new one begins.

1. Nothing is deleted, and nothing that was set aside before is overwritten.
2. A write-ahead log goes with the file that it belongs to; beside another one SQLite would delete it.
"""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from inspector.ports import LedgerBlocked, LedgerDamaged
from inspector.shell.files import make_durable
from inspector.shell.ledger import SqliteLedger

log = logging.getLogger(__name__)

_SUFFIXES = ("", "-wal", "-shm")
_MEANING = (
    "a new ledger begins, with an id of its own and seq 1; images that are still there are inspected again, and"
    " results that waited in the old one are not published"
)
_FIX = "none needed; keep the file or move it away, which ends the alarm"


def open_ledger(path: Path) -> SqliteLedger:
    """The ledger in a file, or a new one where the file is damaged. Raises LedgerBlocked."""
    if _is_orphaned(path):
        set_aside(path, "its write-ahead log lay there without it")
    try:
        return SqliteLedger(path)
    except LedgerDamaged as error:
        set_aside(path, str(error.__cause__ or error))
    return SqliteLedger(path)


def close_ledger(ledger: SqliteLedger) -> None:
    """Close a ledger; if damage was met while it was open, the next one to be opened is a new one."""
    ledger.close()
    if not ledger.is_damaged:
        return
    try:
        set_aside(ledger.path, "damage was met while it was read or written")
    except LedgerBlocked as error:
        log.error("ledger damaged and not replaced", extra={"cause": str(error)})


def damaged_ledgers(path: Path) -> list[Path]:
    """The ledgers that were set aside and are still there."""
    return [
        each for each in path.parent.glob(f"{path.name}.damaged-*") if each.name.rpartition("-")[2].isdigit()
    ]


def set_aside(path: Path, cause: str) -> None:
    """Rename a ledger's files. Raises LedgerBlocked where that cannot be done."""
    aside = _free_name(path)
    try:
        for suffix in _SUFFIXES:
            part = _with(path, suffix)
            if part.exists():
                part.rename(_with(aside, suffix))
        make_durable(path.parent)
    except OSError as error:
        fix = "let the component's user write in its directory"
        raise LedgerBlocked(f"damaged ledger {path}", error.strerror, fix) from error
    extra = {"path": path, "cause": cause, "set_aside": aside, "meaning": _MEANING, "fix": _FIX}
    log.error("ledger damaged and replaced", extra=extra)


def _free_name(path: Path) -> Path:
    names = (_with(path, f".damaged-{number}") for number in itertools.count(1))
    return next(name for name in names if not any(_with(name, suffix).exists() for suffix in _SUFFIXES))


def _is_orphaned(path: Path) -> bool:
    """Whether a write-ahead log has lost its file, as in a renaming that was cut short."""
    log_file = _with(path, "-wal")
    has_content = path.exists() and (path.is_dir() or path.stat().st_size > 0)
    return not has_content and log_file.exists() and log_file.stat().st_size > 0


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
