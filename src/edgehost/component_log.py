"""A component's log file, in the classic nucleus's line format."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

log = logging.getLogger(__name__)

MAX_BYTES = 10 * 1024 * 1024
"""A file that has more becomes NAME.log.1, in place of the one before; the nucleus keeps as much in all."""


class ComponentLog:
    """Appends to ``<root>/logs/<component>.log``."""

    def __init__(self, path: Path, component: str) -> None:
        self.path = path
        self._component = component
        self._is_full = False
        path.parent.mkdir(parents=True, exist_ok=True)

    def output(self, stream: str, lines: Iterable[str], step: str) -> None:
        """Lines that the component printed: stdout as INFO, stderr as WARN."""
        level = "WARN" if stream == "stderr" else "INFO"
        name = f"services.{self._component}.lifecycle.{step}.Script"
        told = f"{{scriptName={name}, serviceName={self._component}}}"
        self._write(level, (f"{stream}. {line}. {told}" for line in lines))

    def event(self, level: str, text: str) -> None:
        """What the host has to say about the component."""
        self._write(level, [text])

    def tail(self, lines: int) -> list[str]:
        """The last lines."""
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, lines)]

    def _write(self, level: str, texts: Iterable[str]) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        start = f"{now} [{level}] (edgehost) {self._component}: "
        try:
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(f"{start}{text}\n" for text in texts)
                size = file.tell()
            if size > MAX_BYTES:
                self.path.replace(f"{self.path}.1")
            self._is_full = False
        except OSError as error:  # a full disk takes its lines, not the component
            if not self._is_full:
                log.warning("lines of %s are lost: %s; make room", self.path, error.strerror)
            self._is_full = True
