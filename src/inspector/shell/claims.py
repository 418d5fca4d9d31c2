"""Settled files -> claimed files, and where they go after inspection: archived, deleted or left.

1. A claim is an atomic rename into a hidden directory beside the file, ``.claimed/<unique>/<name>``: on the same
   file system whatever is mounted where, and out of the way of a newer file of the same name.
2. A file that is left in place is not claimed; its version is remembered in the ledger instead.
3. Nothing here follows a symlink, and only regular files are opened.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import stat
from collections import deque
from pathlib import Path
from threading import Event
from typing import BinaryIO

from inspector.core.frame import Identity
from inspector.core.naming import legible
from inspector.core.settings import Settings
from inspector.ports import Blocked, Candidate, Claimed, Entry

log = logging.getLogger(__name__)

CLAIMED = ".claimed"
_NAME_MAX = 255
_PATIENCE = 20
"""How often a file that is still written to after it settled is read again, a settling time apart."""


class Claims:
    """Claims, reads and settles files of one image directory."""

    def __init__(self, root: Path, settings: Settings, archive: Archive | None) -> None:
        self._root = root
        self._settings = settings
        self._archive = archive

    def claim(self, candidate: Candidate, stop: Event) -> Claimed | None:
        """Take a file for inspection and read it; None, with a log line, where it is gone or no longer a file.

        Raises Blocked where the directory does not allow it.
        """
        try:
            source = (
                self._rename(candidate) if self._settings.after_inspection != "leave" else candidate.source
            )
            return self._read(candidate, source, stop)
        except FileNotFoundError:
            log.warning("file left alone", extra={"path": legible(candidate.path), "cause": "it vanished"})
        except OSError as error:
            if error.errno != errno.ELOOP:
                fix = "give the component's user the right to read and write there, or set AfterInspection to leave"
                raise Blocked(f"image {candidate.source}", error.strerror, fix) from error
            log.warning(
                "file left alone", extra={"path": legible(candidate.path), "cause": "it is a symlink"}
            )
        return None

    def _rename(self, candidate: Candidate) -> Path:
        if candidate.source.parent.parent.name == CLAIMED:
            return candidate.source
        unique = f"{candidate.mtime_ns}-{candidate.source.lstat().st_ino}"
        directory = candidate.source.parent / CLAIMED / unique
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        return candidate.source.rename(directory / candidate.source.name)

    def _read(self, candidate: Candidate, source: Path, stop: Event) -> Claimed:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.ELOOP, "not a regular file", os.fspath(source))
            data, status = self._read_unchanged(file, (candidate.mtime_ns, candidate.size_bytes), stop)
        sha256 = "" if data is None else hashlib.sha256(data).hexdigest()
        identity = Identity(candidate.path, status.st_mtime_ns, status.st_size, sha256, candidate.occurrence)
        return Claimed(identity, source, candidate.captured_at, data)

    def _read_unchanged(
        self, file: BinaryIO, version: tuple[int, int], stop: Event
    ) -> tuple[bytes | None, os.stat_result]:
        """Read a file that is of ``version``; one that still changes is read again once it has settled."""
        max_bytes = int(self._settings.max_image_megabytes * 1e6)
        for _ in range(_PATIENCE):
            file.seek(0)
            data = file.read(max_bytes + 1)
            status = os.fstat(file.fileno())
            if (status.st_mtime_ns, status.st_size) == version:
                break
            version = (status.st_mtime_ns, status.st_size)
            if stop.wait(self._settings.settle_milliseconds / 1000):
                break
        return (data if len(data) <= max_bytes else None), status

    def settle(self, entry: Entry) -> bool:
        """Archive or delete a claimed file; return whether the file remains where it was."""
        if entry.source.parent.parent.name != CLAIMED:
            return True
        try:
            if self._archive:
                self._archive.add(entry)
            else:
                entry.source.unlink()
        except FileNotFoundError:
            pass  # settled before a crash that came before the ledger could say so
        except OSError as error:
            raise Blocked(
                f"file {entry.source}", error.strerror, "make room, or mend ArchiveDirectory"
            ) from error
        for directory in (entry.source.parent, entry.source.parent.parent):
            _remove_if_empty(directory)
        return False


class Archive:
    """A ring of recent images: when it grows above its size the oldest go."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._files = deque((path, path.lstat().st_size) for path in sorted(directory.iterdir()))
        except OSError as error:
            fix = "give the component's user the right to write there, or mend ArchiveDirectory"
            raise Blocked(f"archive directory {directory}", error.strerror, fix) from error
        self._size_bytes = sum(size for _, size in self._files)

    def add(self, entry: Entry) -> None:
        """Move a file in, as ``<seq>-<name>``, and let the oldest go."""
        prefix = f"{entry.seq:012d}-"
        name = os.fsdecode(os.fsencode(entry.source.name)[-(_NAME_MAX - len(prefix)) :])
        target = self._directory / (prefix + name)
        _move(entry.source, target)
        self._files.append((target, entry.size_bytes))
        self._size_bytes += entry.size_bytes
        while self._size_bytes > self._max_bytes and self._files:
            oldest, size_bytes = self._files.popleft()
            oldest.unlink(missing_ok=True)
            self._size_bytes -= size_bytes


def _move(source: Path, target: Path) -> None:
    """Rename; across file systems copy, make durable, then remove."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
        source.unlink()


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.EEXIST):
            raise
