"""A ring of recent images, which are moved there after their inspection.

1. A file is archived as ``<seq>-<id>-<name>``, with the first eight digits of the id: a new ledger, which counts from
   1 again, overwrites nothing.
2. A name of this form never shows half a file.
3. The archive takes in; what goes, and when, is housekeeping's. What else lies there is neither counted nor removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from itertools import islice
from pathlib import Path
from threading import Lock

from inspector.ports import Blocked, Entry
from inspector.shell.files import open_regular, pinned, restrict, write_durably

_ARCHIVED = re.compile(r"\d{12,}-")
"""How the names of archived files begin, those of earlier versions too, which had no id in them."""
_UNFINISHED = re.compile(r"\.\d{12,}-[0-9a-f]{8}\.part")
_NAME_MAX = 255
_FIX = "give the component's user the right to write there, or mend ArchiveDirectory"


class Archive:
    """Remembers its files in the order in which they came. May be called from any thread. Raises Blocked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = Lock()
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._sizes_bytes = _scan(directory)  # by name: paths would take twice the memory
        except OSError as error:
            raise Blocked(f"archive directory {directory}", error.strerror, _FIX) from error
        self.size_bytes = sum(self._sizes_bytes.values())

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._sizes_bytes)

    def add(self, entry: Entry) -> None:
        """Move an entry's file in. Raises OSError."""
        stem = f"{entry.seq:012d}-{entry.id[:8]}"
        name = os.fsdecode(os.fsencode(entry.source.name)[-(_NAME_MAX - len(stem) - 1) :])
        target = self.directory / f"{stem}-{name}"
        _move(entry.source, target, self.directory / f".{stem}.part")
        with self._lock:
            before = self._sizes_bytes.pop(target.name, 0)  # the same version, delivered again
            self._sizes_bytes[target.name] = entry.size_bytes
            self.size_bytes += entry.size_bytes - before

    def shed(self, excess_bytes: int, at_most: int) -> int:
        """Remove the oldest files until ``excess_bytes`` are gone, ``at_most`` so many; return how many went."""
        with self._lock:
            oldest = list(islice(self._sizes_bytes, at_most))
        shed = 0
        for name in oldest:
            if excess_bytes <= 0:
                break
            excess_bytes -= self._remove(name)
            shed += 1
        return shed

    def _remove(self, name: str) -> int:
        with self._lock:  # else the same file, archived again just now, would go uncounted
            try:
                (self.directory / name).unlink(missing_ok=True)
            except OSError as error:
                raise Blocked(f"archive directory {self.directory}", error.strerror, _FIX) from error
            size_bytes = self._sizes_bytes.pop(name)
            self.size_bytes -= size_bytes
        return size_bytes


def _scan(directory: Path) -> dict[str, int]:
    """The archived files and their sizes, in the order in which they were moved in; half copies are removed."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # somebody else removed it just now
                if _UNFINISHED.fullmatch(entry.name):
                    Path(entry).unlink()
                elif _ARCHIVED.match(entry.name):
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        found.append((status.st_ctime_ns, entry.name, status.st_size))
    return {name: size_bytes for _, name, size_bytes in sorted(found)}


def _move(source: Path, target: Path, temporary: Path) -> None:
    """Rename; across file systems copy, make durable, then remove."""
    restrict(source)
    with pinned(source.parent) as parent:
        ours = parent / source.name
        try:
            ours.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with os.fdopen(open_regular(source), "rb") as reader:
                mtime_ns = os.fstat(reader.fileno()).st_mtime_ns
                write_durably(reader, temporary, target, mtime_ns=mtime_ns)
            ours.unlink()
