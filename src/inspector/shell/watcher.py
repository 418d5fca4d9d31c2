"""The image directory -> settled files, in order. The only importer of inotify.

1. A file renamed into place is settled at once; one written in place when it is closed and has not changed for
   the settling time. Whether a file found by listing is closed a lease tells; where there are none (another
   owner's files, most network mounts) the settling time decides.
2. The directory is also listed from time to time: queues overflow, and network mounts have no events.
3. Hidden and temporary names are left alone, and so is what is no regular file: nothing follows a symlink.
4. No wall clock: it jumps, and that of a network mount is another one.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from inotify_simple import INotify, flags

from inspector.core.naming import is_left_alone, legible
from inspector.core.settings import Settings
from inspector.ports import Blocked, Candidate
from inspector.shell.claims import FIX_WRITER, claimed_before, describe
from inspector.shell.files import modified_ns, open_regular
from inspector.shell.leases import is_being_written

log = logging.getLogger(__name__)

_ARRIVED = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MODIFY | flags.CREATE
_LEFT = flags.DELETE | flags.MOVED_FROM
_EVENTS = _ARRIVED | _LEFT | flags.DELETE_SELF | flags.MOVE_SELF
_ENTERED = flags.CREATE | flags.MOVED_TO
_OPTIONS = flags.ONLYDIR | flags.DONT_FOLLOW | flags.EXCL_UNLINK
_WAKE_S = 0.2
"""How long a wait for events may keep the stop event from being seen."""
_LONG_OPEN_S = 10.0
"""A file that is open for writing for so long is remarked on."""
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_FIX_WATCHES = "raise fs.inotify.max_user_watches; until then RescanSeconds decides how soon files are seen"
_FIX_DIRECTORY = "let the component's user read it, or give it a name that begins with a dot"
_GONE = (FileNotFoundError, NotADirectoryError)
_FIX = "create it, mount it, let the component's user read it, or mend ImageDirectory"


@dataclass(frozen=True, slots=True)
class Version:
    """What tells one version of a file from another, without reading it."""

    mtime_ns: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A file that will be settled at ``due_s`` (monotonic) if it is still of this version."""

    version: Version
    due_s: float


class Watcher:
    """Watches a directory and its subdirectories, one for each camera.

    ``is_inspected(path, mtime_ns, size_bytes)`` tells which versions were inspected before. Raises Blocked where
    the directory is missing or cannot be listed; a subdirectory that cannot is passed over, with a log line.
    """

    def __init__(self, root: Path, settings: Settings, is_inspected: Callable[[str, int, int], bool]) -> None:
        self._root = root
        self._settings = settings
        self._settle_s = settings.settle_milliseconds / 1000
        self._is_inspected = is_inspected
        try:
            self._inotify = INotify()
        except OSError as error:
            raise Blocked("file events", error, "raise fs.inotify.max_user_instances") from error
        self._directories: dict[int, str] = {}
        self._unwatched: set[str] = set()
        self._unreadable: set[str] = set()
        self._pending: dict[str, Pending] = {}
        self._being_written: set[str] = set()
        self._open_since: dict[str, float] = {}
        self._taken: dict[str, Version] = {}
        self._remarked: set[str] = set()

    def candidates(self, stop: Event) -> Iterator[Candidate]:
        """Files claimed by an earlier run, then each file as it settles, until ``stop`` is set."""
        try:
            yield from claimed_before(self._root, self._settings)
            next_scan_s = 0.0
            while not stop.is_set():
                if time.monotonic() >= next_scan_s:
                    self._scan("")
                    next_scan_s = time.monotonic() + self._settings.rescan_seconds
                # Before anything settles: an event may tell that a file that was listed is being written.
                self._listen(next_scan_s)
                yield from self._settled()
                self._remark_long_open()
        except OSError as error:
            raise Blocked(f"image directory {self._root}", error, _FIX) from error
        finally:
            self._inotify.close()

    def _scan(self, directory: str) -> None:
        """Notice every file of a directory and those below it; all are due together, so that they come in order."""
        paths = list(self._files(directory))
        if directory == "":
            self._forget_gone(self._taken.keys() - set(paths))
            self._being_written.intersection_update(
                paths
            )  # whose directory was renamed, its end is told elsewhere
        due_s = time.monotonic() + self._settle_s
        for path in paths:
            self._notice(path, due_s)

    def _forget_gone(self, unlisted: set[str]) -> None:
        """Where there are no events nobody tells that a file which was left in place has gone."""
        for path in unlisted:
            if not os.path.lexists(self._root / path):
                del self._taken[path]

    def _files(self, directory: str) -> Iterator[str]:
        """Each directory is watched before it is listed, so that nothing slips between."""
        try:
            self._watch(directory)
            with os.scandir(self._root / directory) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            self._pass_over(directory, error)
            return
        for name, is_directory in found:
            path = f"{directory}/{name}" if directory else name
            if is_directory and self._is_camera(path):
                yield from self._files(path)
            elif not is_directory and not is_left_alone(name, self._settings.ignore_pattern):
                yield path

    def _pass_over(self, directory: str, error: OSError) -> None:
        """A subdirectory that cannot be read is tried again at each scan; the image directory itself must be."""
        if directory == "":
            raise error
        if not isinstance(error, _GONE) and directory not in self._unreadable:
            self._unreadable.add(directory)
            extra = {"path": legible(directory), "cause": error.strerror, "fix": _FIX_DIRECTORY}
            log.warning("directory not watched", extra=extra)

    def _is_camera(self, path: str) -> bool:
        """Whether to look into a subdirectory; one that is named like a picture may hold some all the same."""
        if path.lower().endswith(_PICTURES) and path not in self._remarked:
            self._remarked.add(path)
            log.warning(
                "directory named like a picture, watched as a camera's", extra={"path": legible(path)}
            )
        return not path.rpartition("/")[2].startswith(".")

    def _watch(self, directory: str) -> None:
        path = self._root / directory
        try:
            descriptor = self._inotify.add_watch(path, _EVENTS | _OPTIONS)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise OSError(error.errno, error.strerror, os.fspath(path)) from error
            if directory not in self._unwatched:
                extra = {"path": legible(directory), "cause": error.strerror, "fix": _FIX_WATCHES}
                log.warning("no file events", extra=extra)
            self._unwatched.add(directory)
        else:
            self._directories[descriptor] = directory

    def _notice(self, path: str, due_s: float) -> None:
        """A file may be ready: it has settled if it stays as it is until ``due_s``."""
        status = self._regular(path)
        if status is None or path in self._being_written:
            return
        version, pending = _version(status), self._pending.get(path)
        if self._taken.get(path) == version:
            return
        if pending and pending.version == version:
            due_s = min(due_s, pending.due_s)
        self._pending[path] = Pending(version, due_s)

    def _regular(self, path: str) -> os.stat_result | None:
        try:
            status = (self._root / path).lstat()
        except _GONE:
            return None
        except OSError as error:
            self._pass_over(path.rpartition("/")[0], error)
            return None
        if stat.S_ISREG(status.st_mode):
            return status
        if path not in self._remarked:
            self._remarked.add(path)
            kind = "symlink" if stat.S_ISLNK(status.st_mode) else "special file"
            log.warning("file left alone", extra={"path": legible(path), "cause": f"it is a {kind}"})
        return None

    def _settled(self) -> Iterator[Candidate]:
        """Those that are due and unchanged, in order of capture time."""
        now_s = time.monotonic()
        ready = []
        for path in [path for path, pending in self._pending.items() if pending.due_s <= now_s]:
            pending = self._pending.pop(path)
            status = self._regular(path)
            if status is None:
                self._open_since.pop(path, None)
            elif _version(status) != pending.version:
                self._notice(path, now_s + self._settle_s)
            elif self._is_inspected(path, modified_ns(status), status.st_size):
                self._taken[path] = pending.version
            elif self._has_writer(path):
                self._open_since.setdefault(path, now_s)
                self._notice(path, now_s + max(self._settle_s, _WAKE_S))
            else:
                self._open_since.pop(path, None)
                ready.append(describe(path, self._root / path, status, self._settings))
        for candidate in sorted(ready, key=lambda each: each.captured_at):
            self._take(candidate)
            yield candidate

    def _has_writer(self, path: str) -> bool | None:
        try:
            descriptor = open_regular(self._root / path)
        except OSError:
            return None  # whoever claims it finds out why, and says so
        try:
            return is_being_written(descriptor)
        finally:
            os.close(descriptor)

    def _remark_long_open(self) -> None:
        long_ago_s = time.monotonic() - _LONG_OPEN_S
        for path in [path for path, since_s in self._open_since.items() if since_s < long_ago_s]:
            self._open_since[path] = math.inf
            cause = f"its writer has had it open for more than {_LONG_OPEN_S:g} s"
            extra = {"path": legible(path), "cause": cause, "fix": FIX_WRITER}
            log.warning("file not inspected until it is closed", extra=extra)

    def _take(self, candidate: Candidate) -> None:
        """A file that is left in place is found again at each scan: remember which version is under way."""
        if self._settings.after_inspection == "leave":
            self._taken[candidate.path] = Version(candidate.mtime_ns, candidate.size_bytes)

    def _listen(self, next_scan_s: float) -> None:
        """Wait for events, but no longer than until a file settles, a scan is due or the stop event is looked at."""
        next_due_s = min((each.due_s for each in self._pending.values()), default=next_scan_s)
        wait_s = min(next_due_s, next_scan_s) - time.monotonic()
        for event in self._inotify.read(timeout=1000 * min(max(wait_s, 0.0), _WAKE_S)):
            self._heed(event.wd, event.mask, event.name)

    def _heed(self, descriptor: int, mask: int, name: str) -> None:
        if mask & flags.Q_OVERFLOW:
            fix = "none needed: listing instead"
            log.warning("file events lost", extra={"cause": "queue overflow", "fix": fix})
            self._being_written.clear()
            self._open_since.clear()
            self._scan("")
            return
        directory = self._directories.get(descriptor)
        if directory is None or not name:
            self._heed_directory(descriptor, mask)
            return
        path = f"{directory}/{name}" if directory else name
        if mask & flags.ISDIR:
            if mask & _LEFT:  # the end of what is written there will be told of another path
                self._being_written = {
                    each for each in self._being_written if not each.startswith(path + "/")
                }
            elif mask & _ENTERED and self._is_camera(path):
                self._scan(path)
        elif not is_left_alone(name, self._settings.ignore_pattern):
            self._heed_file(path, mask)

    def _heed_directory(self, descriptor: int, mask: int) -> None:
        directory = self._directories.get(descriptor)
        if directory == "" and mask & (flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT):
            raise Blocked(f"image directory {self._root}", "it went away", _FIX)
        if mask & flags.IGNORED:
            self._directories.pop(descriptor, None)

    def _heed_file(self, path: str, mask: int) -> None:
        if mask & _LEFT:
            self._being_written.discard(path)
            self._open_since.pop(path, None)
            self._remarked.discard(path)
            self._taken.pop(path, None)
        elif mask & flags.MODIFY or (mask & flags.CREATE and self._is_about_to_be_filled(path)):
            self._being_written.add(path)
            self._open_since.setdefault(path, time.monotonic())
            self._pending.pop(path, None)
        else:
            self._being_written.discard(path)
            self._open_since.pop(path, None)
            self._notice(path, time.monotonic() + (0 if mask & flags.MOVED_TO else self._settle_s))

    def _is_about_to_be_filled(self, path: str) -> bool:
        """A new empty file has a writer, unless it was linked into place as any other new file was, complete."""
        status = self._regular(path)
        return status is not None and status.st_size == 0 and self._has_writer(path) is not False


def _version(status: os.stat_result) -> Version:
    return Version(modified_ns(status), status.st_size)
