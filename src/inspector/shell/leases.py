"""Whether somebody is writing to a file, by asking the kernel for a read lease, which it gives only if nobody is."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_LEASED_BY_THEIR_SERVER = {"nfs4", "cifs", "smb3"}
"""There a lease is refused for want of the server's leave too, whether or not somebody writes."""


def is_being_written(descriptor: int) -> bool | None:
    """Whether anybody has a file, open here for reading only, open for writing; None where the kernel won't tell.

    It tells the file's owner (or who has CAP_LEASE), and only where the file system has leases.
    """
    try:
        # Should a writer come while the lease is held, the kernel's SIGIO would end the process; SIGURG is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return None if _file_system(descriptor) in _LEASED_BY_THEIR_SERVER else True
    except OSError:
        return None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _file_system(descriptor: int) -> str | None:
    """The type of the file system that a file lies on, as /proc/self/mountinfo names it."""
    device = os.fstat(descriptor).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTS.read_text(errors="replace").splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == number:
            return source.split()[0]
    return None
