"""Opening files that came from outside, writing our own, and making them durable."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path) -> int:
    """A descriptor to read a regular file; nothing else is read, and no symlink followed: OSError with ELOOP."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "not a regular file", os.fspath(path))
    return descriptor


def write_durably(reader: BinaryIO, temporary: Path, target: Path, *, mtime_ns: int | None = None) -> None:
    """Write a file of mode 0640: under a temporary name, fsync, rename, fsync the directory.

    ``target`` is there whole or not at all. What stands under the temporary name, left by a crash, is replaced;
    where writing fails nothing is left there, for a disk that is full must not become fuller by it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o640), "wb") as writer:
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
