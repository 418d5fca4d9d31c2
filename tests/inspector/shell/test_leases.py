"""Whether anybody writes to a file."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_writer import FileWriter
from inspector.shell import leases
from inspector.shell.files import open_regular
from inspector.shell.leases import is_being_written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.jpg").write_bytes(b"content")
    return tmp_path / "a.jpg"


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    descriptor = open_regular(path)
    yield descriptor
    os.close(descriptor)


def test_being_written(path: Path, descriptor: int) -> None:
    """A file is being written while another process has it open for writing, whether or not it writes."""
    assert is_being_written(descriptor) is False
    with FileWriter(path):
        assert is_being_written(descriptor) is True
    assert is_being_written(descriptor) is False
    with path.open("rb"):
        assert is_being_written(descriptor) is False


@pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP])
def test_no_leases(descriptor: int, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Of another owner's file, and where there are no leases, nobody can tell."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(leases.fcntl, "fcntl", refuse)
    assert is_being_written(descriptor) is None


@pytest.mark.parametrize(("kind", "expected"), [("ext4", True), ("nfs4", None), ("cifs", None)])
def test_leases_of_the_server(
    path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch, kind: str, expected: bool | None
) -> None:
    """A lease that is refused on a network mount says nothing: its server may just not have granted it."""
    device = path.stat().st_dev
    line = f"7 1 {os.major(device)}:{os.minor(device)} / /images rw shared:3 - {kind} server:/export rw\n"
    mounts = path.with_name("mountinfo")
    mounts.write_text("1 1 0:0 / / rw - tmpfs none rw\n" + line)
    monkeypatch.setattr(leases, "_MOUNTS", mounts)
    with FileWriter(path):
        assert is_being_written(descriptor) is expected


_ASK_AND_DAWDLE = """
import fcntl, os, sys
from inspector.shell.leases import is_being_written
control = fcntl.fcntl
def dawdle(descriptor, command, argument):
    if argument == fcntl.F_UNLCK:
        print(flush=True)
        sys.stdin.readline()
    return control(descriptor, command, argument)
fcntl.fcntl = dawdle
print(is_being_written(os.open(sys.argv[1], os.O_RDONLY)))
"""


def test_writer_comes_meanwhile(path: Path) -> None:
    """The signal that a writer sends who comes just while the lease is held does the process no harm."""
    command = [sys.executable, "-c", _ASK_AND_DAWDLE, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"\n"  # it has the lease
    with pytest.raises(BlockingIOError):
        os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # sends the signal, and doesn't wait for the lease to go
    assert process.communicate(b"\n") == (b"False\n", None)
    assert process.returncode == 0


def test_lease_is_given_back(path: Path, descriptor: int) -> None:
    """No writer has to wait for us."""
    is_being_written(descriptor)
    assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
