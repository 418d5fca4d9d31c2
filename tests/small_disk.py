"""A file system small enough to be filled: a tmpfs, or where none can be mounted a directory that plays one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


class SmallDisk:
    """A directory on a small file system, and the ballast in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"
        self._ballast.mkdir()

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free

    def fill(self, free_bytes: int = 0) -> None:
        """Add ballast until only so much is free."""
        with suppress(OSError), (self._ballast / str(len(list(self._ballast.iterdir())))).open("wb") as file:
            while (missing := self.free_bytes - free_bytes) > 0:
                file.write(b"x" * min(missing, 1 << 16))
                file.flush()

    def clear(self) -> None:
        """Throw the ballast overboard."""
        for path in self._ballast.iterdir():
            path.unlink()


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounted as root, by ``sudo`` where that asks no password; else played, which the ledger does not notice."""
    directory.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes * 1_000_000},mode=0777", "small", str(directory)]
    for become_root in ([], ["sudo", "--non-interactive"]):
        with suppress(FileNotFoundError):
            if subprocess.run([*become_root, "mount", *options], capture_output=True).returncode == 0:
                try:
                    yield SmallDisk(directory)
                finally:
                    subprocess.run([*become_root, "umount", "--lazy", str(directory)], check=True)
                return
    with TemporaryDirectory(dir="/dev/shm") as played, _played(Path(played), megabytes * 1_000_000):
        yield SmallDisk(Path(played))


@contextmanager
def _played(directory: Path, size_bytes: int) -> Iterator[None]:
    """A directory whose files together are taken for all that fits; what is flushed beyond that fails."""
    usage, disk_usage, fsync = namedtuple("usage", "total used free"), shutil.disk_usage, os.fsync

    def used() -> int:
        size = 0
        for parent, _, names in os.walk(directory):
            for name in names:
                with suppress(FileNotFoundError):  # others work here
                    size += Path(parent, name).lstat().st_size
        return size

    def play_usage(path: Path) -> tuple[int, int, int]:
        if not Path(path).is_relative_to(directory):
            return disk_usage(path)
        return usage(size_bytes, used(), max(0, size_bytes - used()))

    def play_fsync(descriptor: int) -> None:
        is_inside = Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_relative_to(directory)
        if is_inside and used() > size_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", play_usage)
        patch.setattr(os, "fsync", play_fsync)
        yield
