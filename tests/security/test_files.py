"""What the real component leaves on the disk: where, and who may read it."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from edge import DOUBTFUL, FAILING
from edgehost.thread import ThreadedHost
from lone_component import LoneComponent, running
from mosquitto_broker import until


def inspect_some(component: LoneComponent, images: Path, archive: Path) -> None:
    """An image that is archived, one that is kept, one that goes to quarantine; then a stop."""
    (images / "top").mkdir(parents=True, exist_ok=True)
    for name, source in (("fail.jpg", FAILING), ("unsure.jpg", DOUBTFUL), ("broken.jpg", None)):
        temporary = images / "top" / f".{name}.tmp"
        temporary.write_bytes(source.read_bytes() if source else b"no picture")
        temporary.chmod(0o666)
        temporary.rename(images / "top" / name)
    until(lambda: archive.is_dir() and len(list(archive.iterdir())) == 3, "all are archived", 60)
    assert component.stop() == 0, component.log


def modes(directory: Path) -> dict[str, str]:
    """Permissions of everything in a directory, by path."""
    return {
        path.relative_to(directory).as_posix(): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in directory.rglob("*")
        if not path.is_symlink()
    }


def test_nobody_else_may_read_what_it_writes(nucleus: ThreadedHost, tmp_path: Path) -> None:
    """Files 0640 and directories 0750 at most, whatever umask the nucleus has, and what a camera's files had."""
    work = tmp_path / "work"
    with running(nucleus, work) as component:
        until(lambda: (work / "images").is_dir(), "the image directory is made")
        assert stat.S_IMODE((work / "images").stat().st_mode) == 0o750
        inspect_some(component, work / "images", work / "archive")
    found = modes(work)
    for name in ("ledger.sqlite", "lock", "kept", "quarantine", "archive"):
        assert name in found
    assert any(re.fullmatch(r"kept/\w+\.json", name) for name in found)
    assert any(re.fullmatch(r"kept/\w+\.jpg", name) for name in found)
    assert any(re.fullmatch(r"quarantine/\w+\.jpg", name) for name in found)
    (work / "images" / "top").rmdir()  # the camera's, not ours
    too_open = {
        name: mode
        for name, mode in modes(work).items()
        if int(mode, 8) & ~(0o750 if (work / name).is_dir() else 0o640)
    }
    assert too_open == {}


class Write(NamedTuple):
    """A system call that changed something, and the path of what it changed."""

    call: str
    path: Path


_CALL = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>\S+.*)$")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<directory>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
_OPENED = re.compile(r"^(\d+)<(.*)>$")
_FOR_WRITING = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND")
_OPENING = "open,openat,openat2,creat"
_CHANGING = (
    "rename,renameat,renameat2,mkdir,mkdirat,rmdir,unlink,unlinkat,link,linkat,symlink,symlinkat,mknod,mknodat,"
    "truncate,chmod,fchmodat,chown,lchown,fchownat,utime,utimes,utimensat,setxattr,lsetxattr"
)


def writes(trace: Path, work: Path) -> list[Write]:
    """What one thread changed, as strace tells it.

    A path below /proc/self/fd is below what the descriptor stands for, which the same thread opened before.
    """
    descriptors: dict[str, str] = {}
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        call = _CALL.match(line)
        if call is None:
            assert line.startswith(("+++", "---")), f"not understood: {line}"
            continue
        if opened := _OPENED.match(call["result"]):
            descriptors[opened[1]] = opened[2]
        is_for_writing = any(flag in call["arguments"] for flag in _FOR_WRITING)
        if call["result"].startswith("-1") or (call["name"] in _OPENING.split(",") and not is_for_writing):
            continue
        found += [
            Write(call["name"], _resolve(work / (path["directory"] or "") / path["path"], descriptors))
            for path in _PATH.finditer(call["arguments"])
        ]
    return found


def _resolve(path: Path, descriptors: dict[str, str]) -> Path:
    pinned = re.match(r"/proc/self/fd/(\d+)(?:/|$)", str(path))
    if pinned:
        path = Path(descriptors[pinned[1]], str(path)[pinned.end() :])
    return Path(os.path.normpath(path))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (apt install strace)")
def test_it_writes_nowhere_else(nucleus: ThreadedHost, tmp_path: Path) -> None:
    """The work directory, the archive and the image directory: nothing else is made, changed or removed, from the
    start of the process to its end, by whichever library, as the kernel saw it."""
    work, images, archive = tmp_path / "work", tmp_path / "images", tmp_path / "archive"
    traces = tmp_path / "traces"
    images.mkdir()
    traces.mkdir()
    strace = ["strace", "-DD", "-ff", "-q", "-y", "-s", "4096", "-e", f"trace={_OPENING},{_CHANGING}"]
    directories = {"ImageDirectory": str(images), "ArchiveDirectory": str(archive)}
    with running(nucleus, work, prefix=[*strace, "-o", str(traces / "thread")], **directories) as component:
        inspect_some(component, images, archive)
        first = traces / f"thread.{component.process.pid}"
        until(lambda: "+++ exited with 0 +++" in first.read_text(), "the trace is complete")
    found = [write for trace in traces.iterdir() for write in writes(trace, work)]
    # By the last the process that tries a model says that it is the first to go where memory is short.
    allowed = (work, images, archive, Path("/dev/null"), Path("/proc/self/oom_score_adj"))
    assert [write for write in found if not any(write.path.is_relative_to(each) for each in allowed)] == []
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "lock", "kept", "quarantine"):
        assert any(write.path == work / name for write in found), f"the trace tells of {name}"
    moved = {write.path for write in found if write.call.startswith("rename")}
    assert images / "top" / "fail.jpg" in moved
    assert any(path.parent == archive for path in moved)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (apt install strace)")
def test_it_speaks_to_the_nucleus_alone(nucleus: ThreadedHost, tmp_path: Path) -> None:
    """From the start of the process to its end, by whichever library, there is no socket but that to the nucleus."""
    work, trace = tmp_path / "work", tmp_path / "trace"
    strace = ["strace", "-DD", "-f", "-q", "-s", "4096", "-e", "trace=socket,connect,bind", "-o", str(trace)]
    with running(nucleus, work, prefix=strace) as component:
        until(lambda: (work / "images").is_dir(), "the image directory is made")
        inspect_some(component, work / "images", work / "archive")
        # A short number is padded.
        ended = re.compile(rf"^{component.process.pid} +\+\+\+ exited", re.MULTILINE)
        until(lambda: bool(ended.search(trace.read_text())), "the trace is complete")
    calls = trace.read_text()
    assert set(re.findall(r"\bsocket\((\w+)", calls)) == {"AF_UNIX"}
    assert set(re.findall(r'\bconnect\(.*sun_path="([^"]*)"', calls)) == {str(nucleus.host.socket_path)}
    assert not re.search(r"\bbind\(", calls)
