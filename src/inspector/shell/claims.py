"""Settled files -> claimed files, and where they go after inspection: archived, deleted or left.

1. A claim is an atomic rename into a hidden directory beside the file, ``.claimed/<unique>/<name>``: on the same
   file system whatever is mounted where, and out of the way of a newer file of the same name.
2. A file that is left in place is not claimed; its version is remembered in the ledger instead.
3. Nothing here follows a symlink, and only regular files are read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import stat
import uuid
from io import FileIO
from pathlib import Path
from threading import Event, Lock

from inspector.core.frame import FrameError, Identity
from inspector.core.naming import capture_time, legible
from inspector.core.settings import Settings
from inspector.ports import Blocked, Candidate, Claimed, Entry
from inspector.shell.archive import Archive
from inspector.shell.files import modified_ns, open_regular, pinned
from inspector.shell.leases import is_being_written

log = logging.getLogger(__name__)

CLAIMED = ".claimed"
_FIX_RIGHTS = "give the component's user the right to read and write there, or set AfterInspection to leave"
_FIX_SETTLE = {
    "archive": "make room, or mend ArchiveDirectory",
    "delete": "give the component's user the right to remove it",
    "leave": f"give the component's user the right to write there, or move it out of {CLAIMED} yourself",
}
FIX_WRITER = "let the camera close each file, or rename it into place"
_UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO)
"""One file's own trouble, as long as its directory lets it be claimed."""
_LEFT_ALONE = {
    errno.ELOOP: "it is a symlink or a special file",
    errno.ENAMETOOLONG: "its path is too long to be claimed",
}
_PATH_MAX = 4096
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems say that have none: FAT and exFAT, network mounts."""
_PATIENCE = 20
"""How often a file that is still written to after it settled is read again, a settling time apart."""
_PAUSE_S = 0.1
"""How far apart at least."""


def claimed_before(root: Path, settings: Settings) -> list[Candidate]:
    """Files that an earlier run claimed, in order of capture time; their place tells the path that they had.

    What was made for a claim that did not come about is removed.
    """
    found = []
    for name, _, names in os.walk(root):  # passes over what it cannot list; follows no symlink
        directory = Path(name)
        if directory.parent.name == CLAIMED:
            found += [_claimed_before(root, directory / each, settings) for each in names]
            _remove_if_empty(directory)
            _remove_if_empty(directory.parent)
        elif directory.name == CLAIMED:
            _remove_if_empty(directory)
    return sorted((each for each in found if each), key=lambda each: each.captured_at)


def _claimed_before(root: Path, source: Path, settings: Settings) -> Candidate | None:
    path = str((source.parents[2] / source.name).relative_to(root))
    try:
        status = source.lstat()
        cause = None if stat.S_ISREG(status.st_mode) else "it is a symlink or a special file"
    except OSError as error:
        cause = error.strerror or str(error)
    if cause:
        log.warning("claimed file left alone", extra={"path": legible(path), "cause": cause})
        return None
    return describe(path, source, status, settings)


def describe(
    path: str, source: Path, status: os.stat_result, settings: Settings, occurrence: int = 0
) -> Candidate:
    """The candidate that a file of this status is; ``path`` is relative to the image directory."""
    captured_at = capture_time(source.name, status.st_mtime, settings.capture_time_pattern)
    return Candidate(path, source, modified_ns(status), status.st_size, captured_at, occurrence)


class Claims:
    """Claims, reads and settles files of one image directory."""

    def __init__(self, settings: Settings, archive: Archive | None) -> None:
        self._settings = settings
        self._archive = archive
        self._lock = Lock()  # one thread makes the directories that another removes

    def claim(self, candidate: Candidate, stop: Event) -> Claimed | None:
        """Take a file for inspection and read it; None, with a log line, where it is gone or no longer a file.

        None also where ``stop`` was set before the file had settled: the next run takes it. Raises Blocked where
        the directory does not allow it.
        """
        try:
            return self._read(candidate, self._take(candidate), stop)
        except FileNotFoundError:
            cause = "it vanished"
        except OSError as error:
            if error.errno not in _LEFT_ALONE:
                raise Blocked(f"image {candidate.source}", error.strerror, _FIX_RIGHTS) from error
            cause = _LEFT_ALONE[error.errno]
        log.warning("file left alone", extra={"path": legible(candidate.path), "cause": cause})
        return None

    def _take(self, candidate: Candidate) -> Path:
        """Rename a file unless it is claimed or to be left; return where it is now."""
        source = candidate.source
        if self._settings.after_inspection == "leave" or _is_claimed(source):
            return source
        claimed = source.parent / CLAIMED
        directory = claimed / uuid.uuid4().hex  # never one that the ledger may still know of another file
        if claimed.is_symlink():
            raise Blocked(f"directory {claimed}", "it is a symlink", "remove it")
        if len(os.fsencode(directory / source.name)) >= _PATH_MAX:  # the next run could not find it there
            raise OSError(errno.ENAMETOOLONG, "File name too long", os.fspath(source))
        with self._lock, pinned(source.parent) as parent:
            for each in (claimed, directory):
                with pinned(each.parent) as above:
                    (above / each.name).mkdir(mode=0o750, exist_ok=True)
            with pinned(directory) as target:
                (parent / source.name).rename(target / source.name)
        return directory / source.name

    def unclaimed(self, entry: Entry) -> Candidate | None:
        """The file of an entry where a power cut has undone its claim, which was before the entry was made durable.

        What lies there looks the same; only its content tells whether it is.
        """
        if not _is_claimed(entry.source) or os.path.lexists(entry.source):
            return None
        source = entry.source.parents[2] / entry.source.name
        try:
            status = source.lstat()
        except OSError:
            return None  # it was settled, and the ledger could not say so any more
        is_same = (modified_ns(status), status.st_size) == (entry.mtime_ns, entry.size_bytes)
        is_same = is_same and stat.S_ISREG(status.st_mode)
        return describe(entry.path, source, status, self._settings) if is_same else None

    def _read(self, candidate: Candidate, source: Path, stop: Event) -> Claimed | None:
        fault = None
        try:
            found = self._content(candidate, source, stop)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            found = None, source.lstat()
            fault = FrameError("unreadable", f"{error.strerror}; {_FIX_RIGHTS}")
        if found is None:
            return None
        data, status = found
        sha256 = "" if data is None else hashlib.sha256(data).hexdigest()
        identity = Identity(candidate.path, modified_ns(status), status.st_size, sha256, candidate.occurrence)
        return Claimed(identity, source, candidate.captured_at, data, fault)

    def _content(
        self, candidate: Candidate, source: Path, stop: Event
    ) -> tuple[bytes | None, os.stat_result] | None:
        # Unbuffered: a file that is read again is read from the disk, not from what was read before.
        with os.fdopen(open_regular(source), "rb", buffering=0) as file:
            return self._read_unchanged(file, candidate, stop)

    def _read_unchanged(
        self, file: FileIO, candidate: Candidate, stop: Event
    ) -> tuple[bytes | None, os.stat_result] | None:
        """Read a file; one that still changes is read again once it has settled. None: stopped before that.

        Who opened a file for writing just before the claim writes into the claimed one: nobody can open that one
        any more, so what is read of it while it has no writer is final.
        """
        version = (candidate.mtime_ns, candidate.size_bytes)
        max_bytes = int(self._settings.max_image_megabytes * 1e6)
        for _ in range(_PATIENCE):
            has_writer = is_being_written(file.fileno())
            size_bytes = os.fstat(file.fileno()).st_size
            file.seek(0)
            data = file.read(size_bytes + 1) if size_bytes <= max_bytes else None
            status = os.fstat(file.fileno())
            if (modified_ns(status), status.st_size) == version and not has_writer:
                break
            version = (modified_ns(status), status.st_size)
            if stop.wait(max(self._settings.settle_milliseconds / 1000, _PAUSE_S)):
                return None
        else:
            cause = "it is open for writing" if has_writer else "it keeps changing"
            extra = {"path": legible(candidate.path), "cause": cause, "fix": FIX_WRITER}
            log.warning("file still written to, taken as it is", extra=extra)
        return data, status

    def settle(self, entry: Entry) -> bool:
        """Archive or delete a claimed file, or put it back; return whether the file remains where it was."""
        source = entry.source
        if not _is_claimed(source):
            return True
        try:
            self._dispose(entry)
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError) and not os.path.lexists(source)
            if not is_gone:  # else it was settled before a crash that came before the ledger could say so
                fix = _FIX_SETTLE[self._settings.after_inspection]
                raise Blocked(f"file {source}", error, fix) from error
        with self._lock:
            for directory in (source.parent, source.parent.parent):
                _remove_if_empty(directory)
        return self._settings.after_inspection == "leave"

    def _dispose(self, entry: Entry) -> None:
        if self._archive:
            self._archive.add(entry)
        elif self._settings.after_inspection == "delete":
            with pinned(entry.source.parent) as parent:
                (parent / entry.source.name).unlink()
        else:  # claimed before the configuration was changed to leave
            _put_back(entry.source)


def _is_claimed(source: Path) -> bool:
    return source.parent.parent.name == CLAIMED


def _put_back(source: Path) -> None:
    """Undo a claim; where a newer file has taken the name, this one stays claimed."""
    with pinned(source.parent) as claimed, pinned(source.parents[2]) as place:
        _link_back(claimed / source.name, place / source.name)


def _link_back(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if not os.path.lexists(target):
            source.rename(target)
        return
    source.unlink()


def _remove_if_empty(directory: Path) -> None:
    """One that stays, in an image directory that has become read-only, does no harm."""
    with contextlib.suppress(OSError):
        directory.rmdir()
