"""Opening files that came from outside, writing our own, and making them durable.

Who may write images may also put a symlink where a directory was a moment ago. So a name is not looked up from the
root again once its directory is known: the directory is opened, through no symlink, and its names are looked up in
what is open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MODE = 0o640
"""The most that others may do with a file of ours."""


@contextlib.contextmanager
def pinned(directory: Path) -> Iterator[Path]:
    """A path of a directory that goes on leading to it whatever is renamed or linked meanwhile.

    A symlink anywhere on the way to ``directory`` is not followed: OSError with ELOOP. An error within names
    the file as if it were looked up in ``directory``.
    """
    descriptor = _walk(directory.absolute())
    pin = f"/proc/self/fd/{descriptor}"
    try:
        yield Path(pin)
    except OSError as error:
        if error.filename is not None:
            error.filename = os.fsdecode(error.filename).replace(pin, os.fspath(directory), 1)
        raise
    finally:
        os.close(descriptor)


def _walk(directory: Path) -> int:
    descriptor = os.open("/", _DIRECTORY)
    for name in directory.parts[1:]:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=descriptor)
        except NotADirectoryError as error:  # what the kernel says of a symlink, too
            raise OSError(errno.ELOOP, "it lies behind a symlink", os.fspath(directory)) from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(directory)) from error
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def open_regular(path: Path) -> int:
    """A descriptor to read a regular file; nothing else is read, and no symlink followed: OSError with ELOOP."""
    try:
        with pinned(path.parent) as directory:
            descriptor = os.open(directory / path.name, _TO_READ)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that isn't there
            raise OSError(errno.ELOOP, "not a regular file", os.fspath(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "not a regular file", os.fspath(path))
    return descriptor


def modified_ns(status: os.stat_result) -> int:
    """The modification time, kept within the years 1678 to 2261: a clock may say what no ledger can hold."""
    return min(max(status.st_mtime_ns, -(2**63)), 2**63 - 1)


def restrict(path: Path) -> None:
    """Take from a file what others need not have, where it is the component's own and has no other name.

    A camera that runs as another user owns its files; then it is the directory that keeps others out.
    """
    with contextlib.suppress(OSError):
        descriptor = open_regular(path)
        try:
            status = os.fstat(descriptor)
            if status.st_nlink == 1 and status.st_mode & 0o777 & ~MODE:
                os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & MODE)
        finally:
            os.close(descriptor)


def write_durably(reader: BinaryIO, temporary: Path, target: Path, *, mtime_ns: int | None = None) -> None:
    """Write a file of mode 0640: under a temporary name, fsync, rename, fsync the directory.

    ``target`` is there whole or not at all. What stands under the temporary name, left by a crash, is replaced;
    where writing fails nothing is left there, for a disk that is full must not become fuller by it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, MODE), "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            if mtime_ns is not None:
                os.utime(writer.fileno(), ns=(mtime_ns, mtime_ns))
            os.fsync(writer.fileno())
        temporary.rename(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    make_durable(target.parent)


def make_durable(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
