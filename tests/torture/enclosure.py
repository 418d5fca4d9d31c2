"""Where the torture runs: namespaces of its own, so that nothing of it can stay behind, and a small disk.

The harness is process 1 of a process namespace: when it ends, however it ends, the kernel kills whatever it started.
The disk is a tmpfs that only its mount namespace knows.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import subprocess
import sys
from pathlib import Path

_MARK = "TORTURE_ENCLOSED"
_NAMESPACES = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
_AS_USER = ["--user", "--map-root-user"]
_HINT = (
    "a disk of its own can't be made, and a full disk would not be real: run it as root, or where users may make "
    "namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
)
_DROPPED = {"CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3}
_PR_CAPBSET_DROP = 24


class NotPossibleError(Exception):
    """This machine does not allow what the torture needs; the message says what would."""


def enter(arguments: list[str]) -> None:
    """Start this program again inside; returns where that has happened. Raises NotPossibleError."""
    if _MARK in os.environ:
        return
    command = [*namespaces(), sys.executable, "-m", "torture", *arguments]
    os.environ[_MARK] = "1"
    os.execvp(command[0], command)


def namespaces() -> list[str]:
    """A command that runs the one behind it in namespaces of its own. Raises NotPossibleError."""
    command = ["unshare", *([] if os.geteuid() == 0 else _AS_USER), *_NAMESPACES]
    probe = [*command, "mount", "-t", "tmpfs", "probe", "/mnt"]
    try:
        refused = subprocess.run(probe, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotPossibleError("unshare is missing; install util-linux") from error
    if refused.returncode:
        raise NotPossibleError(f"{_HINT}: {refused.stderr.strip()}")
    return command


class SmallDisk:
    """A tmpfs of its own that can be filled to the last byte."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        self._ballast = path / "ballast"
        path.mkdir(parents=True, exist_ok=True)
        size = f"size={megabytes}m,mode=0755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "torture", path], check=True)

    def fill(self) -> None:
        """Leave no room; what others free meanwhile is taken too when this is called again."""
        with self._ballast.open("ab") as ballast:
            while room := os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize:
                try:
                    os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, room)
                except OSError:  # somebody else took some of it
                    return

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def check_full(self) -> None:
        """Raise NotPossibleError unless a full disk refuses a write."""
        self.fill()
        probe = self.path / "probe"
        try:
            probe.write_bytes(bytes(65536))
        except OSError:
            return
        finally:
            probe.unlink(missing_ok=True)
            self.empty()
        raise NotPossibleError(f"{self.path} took a write although it was full")


def check_read_only(directory: Path) -> None:
    """Raise NotPossibleError unless what runs ``deprived`` can write into a directory only while it is writable."""
    directory.mkdir(parents=True, exist_ok=True)
    if not _can_write(directory):
        raise NotPossibleError(f"{directory} takes no file although it is writable")
    set_writable(directory, writable=False)
    is_refused = not _can_write(directory)
    set_writable(directory, writable=True)
    if not is_refused:
        raise NotPossibleError(f"{directory} took a file although it was read-only")


def _can_write(directory: Path) -> bool:
    probe = directory / ".probe"
    touched = subprocess.run([*deprived(), "touch", probe], capture_output=True, check=False)
    probe.unlink(missing_ok=True)
    return touched.returncode == 0


def set_writable(directory: Path, *, writable: bool) -> None:
    """Allow or refuse changes in a directory and those below it."""
    for name, _, _ in os.walk(directory):
        with contextlib.suppress(FileNotFoundError):  # a claim that was settled meanwhile
            mode = stat.S_IMODE(os.stat(name).st_mode)
            os.chmod(name, mode | 0o200 if writable else mode & ~0o222)


def deprived() -> list[str]:
    """A command that runs the one behind it without root's right to pass over permissions."""
    return [sys.executable, __file__]


def _exec_deprived(command: list[str]) -> None:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for name, number in _DROPPED.items():
        if prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) and os.geteuid() == 0:
            raise OSError(ctypes.get_errno(), f"{name} can't be dropped")
    os.execvp(command[0], command)


if __name__ == "__main__":
    _exec_deprived(sys.argv[1:])
