"""The image directory -> one file after another, over and over, for demonstrations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from inspector.core.naming import capture_time, is_left_alone
from inspector.core.settings import Settings
from inspector.ports import Blocked, Candidate


class Cycle:
    """Goes through the files of a directory and its subdirectories in the order of their paths.

    Raises Blocked where the directory is missing.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._settings = settings

    def candidates(self, stop: Event) -> Iterator[Candidate]:
        """One file every InferenceInterval, each time as a new occurrence, until ``stop`` is set."""
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
        parts = path.relative_to(self._root).parts
        if any(part.startswith(".") for part in parts) or path.is_symlink() or not path.is_file():
            return False
        return not is_left_alone(path.name, self._settings.ignore_pattern)

    def _candidate(self, path: Path) -> Candidate | None:
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        captured_at = capture_time(path.name, status.st_mtime, self._settings.capture_time_pattern)
        relative = path.relative_to(self._root).as_posix()
        return Candidate(relative, path, status.st_mtime_ns, status.st_size, captured_at, time.time_ns())
