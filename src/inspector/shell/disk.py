"""How much room a file system has, against two watermarks."""

from __future__ import annotations

import shutil
from pathlib import Path

from inspector.ports import Blocked

HYSTERESIS = 1.1
"""A watermark holds until there is a tenth more room than it asks for, so that nothing flaps."""
_FIX = "make room there, or lower DiskFullMegabytes"


class Disk:
    """The file system that holds a directory. ``look`` takes the measure, the rest tells of the last one."""

    def __init__(self, directory: Path, low_bytes: int, full_bytes: int) -> None:
        self.directory = directory
        self._full_bytes = full_bytes
        self._low_bytes = max(low_bytes, int(full_bytes * HYSTERESIS))  # what is shed must be enough to go on
        self.free_bytes = self._low_bytes
        self.is_low = False
        self.full: Blocked | None = None
        """Why work cannot go on, with the figures of when it was noticed."""

    @property
    def short_bytes(self) -> int:
        """What has to go for as much room as the lower watermark asks for."""
        return max(0, self._low_bytes - self.free_bytes)

    def look(self) -> None:
        """Measure the room that there is. Raises Blocked where that cannot be told."""
        try:
            self.free_bytes = shutil.disk_usage(self.directory).free
        except OSError as error:
            raise Blocked(f"disk of {self.directory}", error.strerror, "see that it is mounted") from error
        self.is_low = self._is_below(self._low_bytes, self.is_low)
        if not self._is_below(self._full_bytes, self.full is not None):
            self.full = None
        elif self.full is None:
            self.full = Blocked(f"disk of {self.directory}", f"full, {self.describe(self._full_bytes)}", _FIX)

    def low(self) -> str | None:
        """Why there is an alarm, if there is."""
        return f"{self.directory}: {self.describe(self._low_bytes)}" if self.is_low else None

    def describe(self, wanted_bytes: int) -> str:
        """The room that there is, and that there should be."""
        return f"{self.free_bytes / 1e6:.0f} MB free, {wanted_bytes / 1e6:.0f} MB wanted"

    def _is_below(self, mark_bytes: int, was_below: bool) -> bool:
        return self.free_bytes < mark_bytes * (HYSTERESIS if was_below else 1)
