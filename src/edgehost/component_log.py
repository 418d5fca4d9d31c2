"""A component's log file, in the classic nucleus's line format."""

from __future__ import annotations

import logging
from collections import deque
from datetime import datetime, timezone
from pathlib import Path

log = logging.getLogger(__name__)


class ComponentLog:
    """Appends to ``<root>/logs/<component>.log``."""

    def __init__(self, path: Path, component: str) -> None:
        self.path = path
        self._component = component
        self._is_full = False
        path.parent.mkdir(parents=True, exist_ok=True)

    def output(self, stream: str, line: str, step: str) -> None:
        """A line that the component printed: stdout as INFO, stderr as WARN."""
        level = "WARN" if stream == "stderr" else "INFO"
        name = f"services.{self._component}.lifecycle.{step}.Script"
        self._write(level, f"{stream}. {line}. {{scriptName={name}, serviceName={self._component}}}")

    def event(self, level: str, text: str) -> None:
        """What the host has to say about the component."""
        self._write(level, text)

    def tail(self, lines: int) -> list[str]:
        """The last lines."""
        if not self.path.exists():
            return []
        with self.path.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, lines)]

    def _write(self, level: str, text: str) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        try:
            with self.path.open("a") as file:
                file.write(f"{now} [{level}] (edgehost) {self._component}: {text}\n")
            self._is_full = False
        except OSError as error:  # a full disk takes its lines, not the component
            if not self._is_full:
                log.warning("lines of %s are lost: %s; make room", self.path, error.strerror)
            self._is_full = True
