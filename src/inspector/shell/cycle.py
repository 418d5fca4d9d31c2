"""The image directory -> one file after another, over and over, for demonstrations."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from inspector.core.naming import is_left_alone, legible
from inspector.core.settings import Settings
from inspector.ports import Blocked, Candidate
from inspector.shell.claims import claimed_before, describe

log = logging.getLogger(__name__)


class Cycle:
    """Goes through the files of a directory and its subdirectories in the order of their paths.

    Raises Blocked where the directory is missing; a file that cannot be looked at is left out, with a log line.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._settings = settings
        self._remarked: set[Path] = set()

    def candidates(self, stop: Event) -> Iterator[Candidate]:
        """Files claimed by an earlier run that watched; then one every InferenceInterval until ``stop`` is set.

        Each time a file comes it is a new occurrence.
        """
        yield from claimed_before(self._root, self._settings)
        while not stop.is_set():
            paths = self._paths()
            for path in paths:
                if candidate := self._candidate(path):
                    yield candidate
                if stop.wait(self._settings.inference_interval):
                    return
            if not paths:
                stop.wait(self._settings.inference_interval)

    def _paths(self) -> list[Path]:
        try:
            if not self._root.is_dir():
                raise FileNotFoundError("it is missing")
            return sorted(path for path in self._root.rglob("*") if self._is_ours(path))
        except OSError as error:
            fix = "create it, let the component's user read it, or mend ImageDirectory"
            raise Blocked(f"image directory {self._root}", error, fix) from error

    def _is_ours(self, path: Path) -> bool:
        if any(part.startswith(".") for part in path.relative_to(self._root).parts):
            return False
        return not is_left_alone(path.name, self._settings.ignore_pattern) and self._status(path) is not None

    def _status(self, path: Path) -> os.stat_result | None:
        """None where there is no regular file; one that cannot be looked at says so once."""
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if path not in self._remarked:
                self._remarked.add(path)
                log.warning("file left alone", extra={"path": legible(str(path)), "cause": error.strerror})
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    def _candidate(self, path: Path) -> Candidate | None:
        status = self._status(path)
        if status is None:
            return None
        relative = path.relative_to(self._root).as_posix()
        return describe(relative, path, status, self._settings, occurrence=time.time_ns())
