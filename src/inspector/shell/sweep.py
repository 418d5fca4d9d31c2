"""Forgets, a few at a time, the fingerprints of files that are gone.

1. A directory that is not mounted looks as if all its files were gone. So one file is only forgotten while another
   that is known is seen below the nearest directory of its path that is there.
2. What cannot be looked at is not gone.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Protocol

STEP = 100
"""Files that a step looks at."""

_GONE = (FileNotFoundError, NotADirectoryError)


class Fingerprints(Protocol):
    """What the ledger knows of files that were left in place."""

    def fingerprinted(self, after: str, limit: int) -> list[str]: ...

    def forget(self, paths: list[str]) -> None: ...


class Sweep:
    """Goes through the fingerprints of one image directory, again and again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._after = ""
        self._seen: dict[str, str] = {}
        """A file that was seen below each directory."""

    def step(self, fingerprints: Fingerprints) -> int:
        """Look at some files; return how many were forgotten. One without a witness yet may have one next time."""
        paths = fingerprints.fingerprinted(self._after, STEP)
        self._after = paths[-1] if len(paths) == STEP else ""
        gone = [path for path in paths if self._is_gone(path)]
        for path in set(paths).difference(gone):
            self._seen |= dict.fromkeys(_directories(path), path)
        forgotten = [path for path in gone if self._has_witness(path)]
        if forgotten:
            fingerprints.forget(forgotten)
        return len(forgotten)

    def _is_gone(self, path: str) -> bool:
        try:
            (self._root / path).lstat()
        except _GONE:
            return True
        except OSError:
            return False
        return False

    def _has_witness(self, path: str) -> bool:
        """Looked at after the file, so that a directory that goes away meanwhile is noticed."""
        there = next((each for each in _directories(path) if not self._is_gone(each)), None)
        witness = self._seen.get(there) if there is not None else None
        return witness is not None and self._is_there(witness)

    def _is_there(self, path: str) -> bool:
        return os.path.lexists(self._root / path)


def _directories(path: str) -> list[str]:
    """Those that a path leads through, the nearest first; the root is ``.``."""
    return [str(each) for each in PurePosixPath(path).parents]
